"""Where a service listens: addresses with ports, and Unix sockets, as the configuration writes them."""

import ipaddress
from dataclasses import dataclass

from posthouse.message.ip import canonical_ip

_EXPECTED = 'an address like "0.0.0.0:25", "[::1]:25", ":25" (all addresses) or "unix:/run/posthouse/lmtp.sock"'


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One place to listen at: `host` and `port`, or `path` of a Unix socket. An empty `host` means all addresses."""

    host: str = ""
    port: int = 0
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> "Endpoint":
        """Read "0.0.0.0:25", "[::]:25", ":25", "localhost:25" or "unix:/path". Raises ValueError."""
        if text.startswith(("unix:", "/")):
            return cls._parse_path(text.removeprefix("unix:"))
        host, colon, port = text.rpartition(":")
        if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
            raise ValueError(_EXPECTED)
        if host.startswith("[") and host.endswith("]"):
            host = canonical_ip(_checked(host[1:-1]))
        elif ":" in host or (host and not host.replace(".", "").replace("-", "").isalnum() and host != "*"):
            raise ValueError(_EXPECTED)
        return cls("" if host == "*" else host, int(port))

    @classmethod
    def _parse_path(cls, path: str) -> "Endpoint":
        # sun_path holds 108 octets with its closing NUL.
        if not path.startswith("/") or "\0" in path or len(path.encode()) > 107:
            raise ValueError(
                'a Unix socket with an absolute path of at most 107 octets, like "unix:/run/posthouse/lmtp.sock"'
            )
        return cls(path=path)

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def _checked(host: str) -> str:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        raise ValueError(_EXPECTED) from None
    return host
