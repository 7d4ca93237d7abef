"""Mail addresses: the Mailbox of RFC 5321 4.1.2, with the UTF-8 of RFC 6531 and the domains of IDNA (RFC 5890).

Almost every address is plain ASCII without quotes, so one pattern takes those whole; whatever it does not match goes
the slow way, which also finds the words for what is wrong. Repetitions that could overlap are possessive or bounded, so
no text makes a pattern try twice.
"""

import functools
import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address

MAX_LOCAL = 64  # octets, RFC 5321 4.5.3.1.1
MAX_DOMAIN = 255  # octets, RFC 5321 4.5.3.1.2; of the A-labels
MAX_MAILBOX = 254  # octets: what fits the angle brackets of a Path of 256 (RFC 5321 4.5.3.1.3)
_MAX_TEXT = 1024  # octets of anything we look at: long enough for a source route before the address

_ATOM = r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]++"
# RFC 5321 allows no underscore in a domain; hosts that are named with one exist and send mail.
_LABEL = r"(?![-.])[A-Za-z0-9_-]{1,63}+(?<!-)"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*+")
_PLAIN = re.compile(rf"({_ATOM}(?:\.{_ATOM})*+)@({_LABEL}(?:\.{_LABEL})*+)")
# RFC 6531 3.3 adds every character beyond ASCII to atoms and quoted strings; controls (C1) are no such text.
_UTF8_ATOM = r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~\xa0-\ud7ff\ue000-\U0010ffff]++"
_DOT_STRING = re.compile(rf"{_UTF8_ATOM}(?:\.{_UTF8_ATOM})*+")
# Dots where RFC 5321 allows them within quotes only: providers gave such addresses away (docs/decisions/025).
_STRAY_DOTS = re.compile(rf"\.*+{_UTF8_ATOM}(?:\.++{_UTF8_ATOM})*+\.*+")
_QUOTED = re.compile(r'"((?:[ !#-\[\]-~\xa0-\ud7ff\ue000-\U0010ffff]|\\[ -~])*+)"')
_QUOTED_PAIR = re.compile(r"\\(.)")
_ROUTE = re.compile(r"@[^@,:<>\"\s]++(?:,@[^@,:<>\"\s]++)*+:")
_GENERAL_LITERAL = re.compile(r"[A-Za-z0-9-]*[A-Za-z0-9]:[!-Z^-~]+")


class AddressError(ValueError):
    """An address that cannot be read; the text is a sentence for the one who gave it."""


@dataclass(frozen=True, slots=True)
class Address:
    """local-part@domain. `local` is unquoted, `domain` lower case with U-labels, or an address literal "[...]".

    An empty domain is allowed for one name only: the reserved <postmaster> (RFC 5321 4.1.1.3).
    """

    local: str
    domain: str

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Read a Mailbox (RFC 5321 4.1.2, RFC 6531 3.3). Raises AddressError."""
        return _parse(text)

    @classmethod
    def parse_path(cls, text: str) -> "Address":
        """Read what stands between the angle brackets of a Path, <postmaster> too.

        A source route is accepted and ignored (RFC 5321 appendix C). Raises AddressError; the null reverse-path is
        the caller's matter.
        """
        if text.startswith("@"):
            route = _ROUTE.match(text)
            if route is None or len(text) > _MAX_TEXT:
                raise AddressError("a source route is written @host,@host:name@domain")
            return cls.parse(text[route.end() :])
        if len(text) == 10 and text.lower() == "postmaster":
            return cls(text, "")
        return cls.parse(text)

    def __str__(self) -> str:
        """The address as SMTP writes it, quoted where it must be, with U-labels. parse() gives it back."""
        return f"{self.written_local()}@{self.domain}" if self.domain else self.local

    @property
    def is_international(self) -> bool:
        """True when str() is not ASCII: only an SMTPUTF8 transaction may carry that form (RFC 6531 3.3)."""
        return not (self.local.isascii() and self.domain.isascii())

    @property
    def is_literal(self) -> bool:
        """True when the domain is an address literal such as [192.0.2.1] (RFC 5321 4.1.3)."""
        return self.domain.startswith("[")

    @property
    def domain_key(self) -> str:
        """The domain with A-labels, lower case: the form in which domains compare and DNS is asked."""
        return self.domain if self.domain.isascii() else to_a_labels(self.domain)

    def to_ascii(self) -> str:
        """The address with A-labels, for peers without SMTPUTF8. Raises AddressError where that cannot be."""
        if not self.local.isascii():
            raise AddressError("the local part is not ASCII, so only SMTPUTF8 can carry it")
        return f"{self.written_local()}@{self.domain_key}" if self.domain else self.local

    def written_local(self) -> str:
        """The local part as SMTP writes it, quoted where it must be."""
        return _written(self.local)


def to_a_labels(domain: str) -> str:
    """A domain of any form -> A-labels, lower case (RFC 5890 2.3.2.1). Raises AddressError."""
    if domain.isascii():
        return domain.lower()
    import idna  # slow to import, and most servers never see a name that needs it

    try:
        return idna.encode(domain, uts46=True).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError):
        raise AddressError("the domain is not a valid internationalized name") from None


def to_u_labels(domain: str) -> str:
    """A domain of A-labels -> U-labels, lower case; as it was where a label is only dressed as an A-label."""
    import idna

    try:
        unicode = idna.decode(domain)
        # Not every A-label decodes to what encodes to it again; such a name keeps the form that DNS knows.
        return unicode if idna.encode(unicode, uts46=True) == domain.encode("ascii") else domain
    except (idna.IDNAError, UnicodeError):
        return domain


@functools.lru_cache(2048)  # the same addresses come again and again; each has a bounded length
def _parse(text: str) -> Address:
    match = _PLAIN.fullmatch(text, 0, MAX_MAILBOX + 1)
    if match is not None and len(text) <= MAX_MAILBOX:
        local, domain = match.groups()
        if len(local) <= MAX_LOCAL:
            domain = domain.lower()
            if "xn--" not in domain:
                return Address(local, domain)
    return _parse_any(text)


@functools.lru_cache(2048)
def _written(local: str) -> str:
    """A local part as SMTP writes it."""
    if _DOT_STRING.fullmatch(local):
        return local
    escaped = local.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _parse_any(text: str) -> Address:
    """Any Mailbox, or the sentence that says what is wrong."""
    if len(text) > _MAX_TEXT:
        raise AddressError(f"an address has at most {MAX_MAILBOX} octets")
    written, at, rest = text.rpartition("@")
    if not at or not rest:
        raise AddressError("an address is written name@domain")
    local = _parse_local(written)
    domain = _parse_domain(rest)
    address = Address(local, domain)
    length = len(address.written_local().encode()) + 1 + len(to_a_labels(domain))
    if length > MAX_MAILBOX:
        raise AddressError(f"an address has at most {MAX_MAILBOX} octets")
    return address


def _parse_local(text: str) -> str:
    if not text:
        raise AddressError("the name before the @ is missing")
    if text.startswith('"'):
        quoted = _QUOTED.fullmatch(text)
        if quoted is None:
            raise AddressError("the quoted name before the @ is not closed, or holds a character it must not")
        local = _QUOTED_PAIR.sub(r"\1", quoted[1])
    elif _STRAY_DOTS.fullmatch(text):
        local = text
    else:
        raise AddressError("the name before the @ has a character or a dot where none may stand without quotes")
    if len(text.encode()) > MAX_LOCAL:
        raise AddressError(f"the name before the @ has at most {MAX_LOCAL} octets")
    return local


def _parse_domain(text: str) -> str:
    if text.startswith("["):
        return _parse_literal(text)
    key = to_a_labels(text).removesuffix(".")  # the root, which RFC 5321 2.3.5 leaves out
    if len(key) > MAX_DOMAIN:
        raise AddressError(f"the domain has at most {MAX_DOMAIN} octets")
    if not _HOST.fullmatch(key):
        raise AddressError("the domain is not a host name")
    return to_u_labels(key) if "xn--" in key else key


def _parse_literal(text: str) -> str:
    """RFC 5321 4.1.3: [192.0.2.1], [IPv6:2001:db8::1], or [tag:...] with a tag that is not ours to know."""
    inner = text[1:-1]
    if not text.endswith("]") or len(text) > MAX_DOMAIN or not text.isascii():
        raise AddressError("an address literal is written [192.0.2.1] or [IPv6:2001:db8::1]")
    try:
        if inner[:5].lower() == "ipv6:":
            if "%" in inner:
                raise AddressError("an address literal has no zone")
            return f"[IPv6:{IPv6Address(inner[5:]).compressed}]"
        if _GENERAL_LITERAL.fullmatch(inner):
            return f"[{inner.lower()}]"
        return f"[{IPv4Address(inner)}]"
    except AddressValueError:
        raise AddressError("an address literal is written [192.0.2.1] or [IPv6:2001:db8::1]") from None
