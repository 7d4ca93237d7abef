"""The PROXY protocol, versions 1 and 2, for receivers: who the client behind a load balancer is.

Source: "The PROXY protocol, versions 1 & 2" by Willy Tarreau, in HAProxy's documentation (proxy-protocol.txt); the
numbers of sections below are its. Pure: bytes in, a header out.
"""

import ipaddress
import struct
from dataclasses import dataclass

from posthouse.message.ip import canonical_ip

_V1_SIGNATURE = b"PROXY "
_V1_LONGEST = 107  # section 2.1: with its CRLF
_V2_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_V2_FIXED = 16
# Section 2.2 allows 65,535 octets behind the fixed part. Real ones have under 300; a certificate in a TLV takes 2 KiB.
_V2_LONGEST = 4096


class ProxyError(Exception):
    """What came is no PROXY header. The connection must end (section 2: a receiver never guesses)."""


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """Who connects to whom, as the proxy says. None for both: the addresses of the connection itself hold.

    That is so for health checks by the proxy (LOCAL), and where it does not know (UNKNOWN, Unix sockets).
    """

    client: tuple[str, int] | None
    server: tuple[str, int] | None


_NOT_TOLD = ProxyHeader(None, None)


class ProxyParser:
    """Reads one header, in whatever pieces it comes."""

    def __init__(self) -> None:
        self._buffer = b""

    def receive(self, data: bytes) -> ProxyHeader | None:
        """Take more bytes; returns the header once it is complete. Raises ProxyError as soon as it can be none."""
        self._buffer += data
        start = self._buffer[: len(_V2_SIGNATURE)]
        if _V2_SIGNATURE.startswith(start):
            return self._version_2()
        if _V1_SIGNATURE.startswith(start[: len(_V1_SIGNATURE)]):
            return self._version_1()
        raise ProxyError("no PROXY header")

    def rest(self) -> bytes:
        """What came after the header."""
        return self._buffer

    def _version_1(self) -> ProxyHeader | None:
        end = self._buffer.find(b"\r\n", 0, _V1_LONGEST)
        if end < 0:
            if len(self._buffer) >= _V1_LONGEST:
                raise ProxyError("the line is too long")
            return None
        line, self._buffer = self._buffer[:end], self._buffer[end + 2 :]
        words = line.split(b" ")
        # Section 2.1: with UNKNOWN, whatever follows on the line is ignored.
        if words[1] == b"UNKNOWN":
            return _NOT_TOLD
        if len(words) != 6 or words[1] not in (b"TCP4", b"TCP6"):
            raise ProxyError("the line does not have the six words it should have")
        version = 4 if words[1] == b"TCP4" else 6
        return ProxyHeader(
            (_address(words[2], version), _port(words[4])),
            (_address(words[3], version), _port(words[5])),
        )

    def _version_2(self) -> ProxyHeader | None:
        if len(self._buffer) < _V2_FIXED:
            return None
        version_and_command, family, length = struct.unpack_from("!BBH", self._buffer, len(_V2_SIGNATURE))
        if version_and_command not in (0x20, 0x21):
            raise ProxyError("neither LOCAL nor PROXY of version 2")
        if length > _V2_LONGEST:
            raise ProxyError("the header is too long")
        if len(self._buffer) < _V2_FIXED + length:
            return None
        # Behind the addresses there may be TLVs; all of them are optional reading (section 2.2).
        content = self._buffer[_V2_FIXED : _V2_FIXED + length]
        self._buffer = self._buffer[_V2_FIXED + length :]
        if version_and_command == 0x20:
            return _NOT_TOLD
        if family == 0x11:
            return _unpacked("!4s4sHH", content)
        if family == 0x21:
            return _unpacked("!16s16sHH", content)
        if family >> 4 > 3 or family & 0x0F > 2:
            raise ProxyError("a reserved address family")
        return _NOT_TOLD  # Unix sockets, datagrams, unspecified


def _unpacked(form: str, content: bytes) -> ProxyHeader:
    if len(content) < struct.calcsize(form):
        raise ProxyError("the header is too short for its addresses")
    client, server, client_port, server_port = struct.unpack_from(form, content)
    return ProxyHeader(
        (canonical_ip(str(ipaddress.ip_address(client))), client_port),
        (canonical_ip(str(ipaddress.ip_address(server))), server_port),
    )


def _address(word: bytes, version: int) -> str:
    try:
        address = ipaddress.ip_address(word.decode("ascii"))
    except ValueError:
        raise ProxyError("not an address") from None
    if address.version != version or b"%" in word:
        raise ProxyError("an address of another family")
    return canonical_ip(str(address))


def _port(word: bytes) -> int:
    # Section 2.1: decimal, in 0..65535, without leading zeroes.
    if not word.isdigit() or len(word) > 5 or (word[:1] == b"0" and word != b"0") or int(word) > 65535:
        raise ProxyError("not a port")
    return int(word)
