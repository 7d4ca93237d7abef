"""Mail addresses: the Mailbox of RFC 5321 4.1.2, with the UTF-8 of RFC 6531 and the domains of IDNA (RFC 5890)."""

import ipaddress
import re
from dataclasses import dataclass

MAX_LOCAL = 64  # octets, RFC 5321 4.5.3.1.1
MAX_DOMAIN = 255  # octets, RFC 5321 4.5.3.1.2

_ATEXT = r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]"
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_PLAIN = re.compile(rf"({_ATEXT}+(?:\.{_ATEXT}+)*)@({_LABEL}(?:\.{_LABEL})*)")
_DOT_STRING = re.compile(r"[^\x00-\x20\x7f\"(),:;<>@\[\\\].]+(?:\.[^\x00-\x20\x7f\"(),:;<>@\[\\\].]+)*")
_QUOTED = re.compile(r'"((?:[^\x00-\x1f\x7f"\\]|\\[\x20-\x7e])*)"')
_PAIR = re.compile(r"\\(.)", re.DOTALL)


class AddressError(ValueError):
    """An address that cannot be read; the text is a sentence for the peer."""


@dataclass(frozen=True, slots=True)
class Address:
    """local-part@domain. `local` is unquoted, `domain` lower case with U-labels, or an address literal "[...]".

    An empty domain is allowed for one name only: the reserved <postmaster> (RFC 5321 4.1.1.3).
    """

    local: str
    domain: str

    def __str__(self) -> str:
        """The address as SMTP writes it, quoted where it must be."""
        if not self.domain:
            return self.local
        local = self.local
        if not _DOT_STRING.fullmatch(local):
            local = '"' + local.replace("\\", "\\\\").replace('"', '\\"') + '"'
        return f"{local}@{self.domain}"

    @property
    def is_international(self) -> bool:
        """Whether it needs SMTPUTF8 (RFC 6531)."""
        return not (self.local.isascii() and self.domain.isascii())

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Read a Mailbox. Raises AddressError."""
        match = _PLAIN.fullmatch(text)
        if match is not None and len(match[1]) <= MAX_LOCAL and len(match[2]) <= MAX_DOMAIN and "xn--" not in match[2]:
            return cls(match[1], match[2].lower())
        local, at, domain = text.rpartition("@")
        if not at:
            raise AddressError("an address needs a local part, an @ and a domain")
        return cls(_local(local), _domain(domain))


def _local(text: str) -> str:
    quoted = _QUOTED.fullmatch(text)
    local = _PAIR.sub(r"\1", quoted[1]) if quoted else text
    if quoted is None and not _DOT_STRING.fullmatch(text):
        raise AddressError("the local part before the @ has characters that need quotes, or is empty")
    if len(local.encode("utf-8", "surrogatepass")) > MAX_LOCAL:
        raise AddressError(f"the local part is longer than {MAX_LOCAL} octets")
    return local


def _domain(text: str) -> str:
    if len(text.encode("utf-8", "surrogatepass")) > MAX_DOMAIN:
        raise AddressError(f"the domain is longer than {MAX_DOMAIN} octets")
    if text.startswith("["):
        return _literal(text)
    lowered = text.lower()
    if lowered.isascii() and "xn--" not in lowered:
        if not re.fullmatch(rf"{_LABEL}(?:\.{_LABEL})*", lowered):
            raise AddressError("the domain is not a host name")
        return lowered
    import idna  # slow to import, seldom needed

    try:
        return idna.decode(idna.encode(text, uts46=True))
    except (idna.IDNAError, UnicodeError) as error:
        raise AddressError("the domain is not a valid international name") from error


def _literal(text: str) -> str:
    """RFC 5321 4.1.3."""
    inner = text[1:-1]
    tag, colon, rest = inner.partition(":")
    try:
        if not text.endswith("]"):
            raise ValueError
        if tag.lower() == "ipv6" and colon:
            return f"[IPv6:{ipaddress.IPv6Address(rest)}]"
        return f"[{ipaddress.IPv4Address(inner)}]"
    except ValueError:
        raise AddressError("the address literal is not an IPv4 or IPv6 address") from None
