"""How names compare: domains in every written form, local parts whatever their case, addresses as people type them."""

import re
import unicodedata

import idna

from posthouse.accounts.errors import BadAddressError
from posthouse.message.address import Address

MAX_LOCAL = 64  # octets, RFC 5321 4.5.3.1.1
MAX_DOMAIN = 255  # octets, RFC 5321 4.5.3.1.2
MAX_ADDRESS = 254  # octets: what fits a Path of 256 (RFC 5321 4.5.3.1.3)
CATCH_ALL = "*"

_LABELS = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*")


def domain_key(domain: str) -> str | None:
    """The one form under which a domain is kept: A-labels, lower case. None when it can be no domain's name.

    A name of plain ASCII is not judged further: an unknown name is simply not found.
    """
    if len(domain) > MAX_DOMAIN:
        return None
    if domain.isascii():
        lowered = domain.lower().removesuffix(".")
        if "xn--" not in lowered:
            return lowered
    try:
        return idna.encode(domain, uts46=True).decode("ascii").removesuffix(".")
    except (idna.IDNAError, UnicodeError):
        return None


def local_key(local: str) -> str | None:
    """The one form under which a local part is kept: NFC, case folded. None when it is no text (lone surrogates)."""
    if local.isascii():
        return local.lower()
    try:
        local.encode()
    except UnicodeEncodeError:
        return None
    # RFC 6531 3.1 leaves comparison to us: one name, one form. Folding may undo NFC, hence twice.
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", local).casefold())


def parse_domain(text: str) -> tuple[str, str]:
    """A domain as typed -> (key, the name with U-labels). Raises BadAddressError."""
    key = domain_key(text.strip())
    if key is None or len(key) > MAX_DOMAIN - 2 or not _LABELS.fullmatch(key):
        raise BadAddressError(f"{_brief(text)} is no domain name; write it like example.org")
    return key, idna.decode(key) if "xn--" in key else key


def parse_address(text: str) -> Address:
    """An address as typed, quoted or not. Raises BadAddressError."""
    local, at, domain = text.strip().rpartition("@")
    if not at:
        raise BadAddressError(f"{_brief(text)} lacks a domain; write it like name@example.org")
    _key, name = parse_domain(domain)
    address = Address(_unquoted(local), name)
    _check_local(address.local, text)
    if len(address.local.encode()) + 1 + len(name.encode()) > MAX_ADDRESS:
        raise BadAddressError(f"{_brief(text)} is too long; an address has at most {MAX_ADDRESS} octets")
    return address


def split_login(login: str) -> tuple[str, str]:
    """A login name -> (local part, domain); the domain is empty where the name is bare."""
    local, at, domain = login.rpartition("@")
    return (_unquoted(local), domain) if at else (_unquoted(domain), "")


def text_of(address: Address) -> str:
    """The address as lists and messages show it."""
    return f"{address.local}@{address.domain}"


def _unquoted(local: str) -> str:
    if len(local) >= 2 and local[0] == local[-1] == '"':  # RFC 5321 4.1.2: Quoted-string
        return re.sub(r"\\(.)", r"\1", local[1:-1], flags=re.DOTALL)
    return local


def _check_local(local: str, text: str) -> None:
    if not local:
        raise BadAddressError(f"{_brief(text)} has nothing before the @; write it like name@example.org")
    if not local.isprintable():
        raise BadAddressError(f"{_brief(text)} holds control or invisible characters; leave them out")
    if len(local.encode()) > MAX_LOCAL:
        raise BadAddressError(f"{_brief(text)} is too long before the @; at most {MAX_LOCAL} octets are allowed")


def _brief(text: str) -> str:
    return ascii(text if len(text) <= 80 else text[:77] + "...")
