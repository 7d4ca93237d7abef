"""The arguments of MAIL and RCPT: a path and parameters (RFC 5321 4.1.2, 4.1.1.11)."""

import re

from posthouse.message.address import Address, AddressError
from posthouse.message.envelope import BodyType, Recipient, Sender
from posthouse.message.reply import Reply

_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")  # RFC 3461 4
_KEYWORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
_ROUTE = re.compile(r"@[^,:<>\s]+(?:,@[^,:<>\s]+)*:")  # RFC 5321 appendix C: accepted and ignored


class ParameterError(Exception):
    """A command that cannot be obeyed; `reply` says why."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.text)
        self.reply = reply


def parse_mail(text: str) -> Sender:
    """The argument of MAIL. Raises ParameterError."""
    path, rest = _path(text, "FROM:", "5.1.7")
    values = _parameters(rest, {"SIZE", "BODY", "SMTPUTF8", "RET", "ENVID", "AUTH"})
    utf8 = "SMTPUTF8" in values
    if utf8 and values["SMTPUTF8"] is not None:
        raise _bad("SMTPUTF8 takes no value")
    address = _address(path, utf8, "5.1.7") if path else None
    size, body, ret = (
        values.get("SIZE") or "0",
        (values.get("BODY") or "7BIT").upper(),
        (values.get("RET") or "").upper(),
    )
    if not (size.isascii() and size.isdigit() and len(size) <= 20):
        raise _bad("SIZE wants a number of octets")
    if body not in BodyType.__members__.values() or ret not in ("", "FULL", "HDRS"):
        raise _bad("BODY is 7BIT, 8BITMIME or BINARYMIME; RET is FULL or HDRS")
    envid, auth = values.get("ENVID") or "", values.get("AUTH") or ""
    if len(envid) > 100 or not _XTEXT.fullmatch(envid) or not _XTEXT.fullmatch(auth):
        raise _bad("ENVID and AUTH want xtext")
    return Sender(address, int(size), BodyType(body), utf8, ret, envid, auth)


def parse_rcpt(text: str, *, utf8: bool) -> Recipient:
    """The argument of RCPT. Raises ParameterError."""
    path, rest = _path(text, "TO:", "5.1.3")
    values = _parameters(rest, {"NOTIFY", "ORCPT"})
    address = Address("postmaster", "") if path.lower() == "postmaster" else _address(path, utf8, "5.1.3")
    notify = tuple((values["NOTIFY"] or "").upper().split(",")) if "NOTIFY" in values else ()
    if notify and notify != ("NEVER",) and not set(notify) <= {"SUCCESS", "FAILURE", "DELAY"}:
        raise _bad("NOTIFY is NEVER, or some of SUCCESS, FAILURE, DELAY")
    orcpt = values.get("ORCPT") or ""
    if "ORCPT" in values and (";" not in orcpt or len(orcpt) > 500):
        raise _bad("ORCPT wants a type, a semicolon and an address")
    return Recipient(address, notify, orcpt)


def _path(text: str, keyword: str, status: str) -> tuple[str, str]:
    """What stands between the angle brackets, and what follows them."""
    if text[: len(keyword)].upper() != keyword:
        raise ParameterError(Reply(501, "5.5.4", f"{keyword}<address> is missing"))
    rest = text[len(keyword) :].lstrip(" ")  # a space there is wrong and common
    if not rest.startswith("<"):
        raise ParameterError(Reply(501, status, "The address must stand in <angle brackets>"))
    quoted = escaped = False
    for at, char in enumerate(rest[:1100]):
        if escaped:
            escaped = False
        elif char == "\\" and quoted:
            escaped = True
        elif char == '"':
            quoted = not quoted
        elif char == ">" and not quoted:
            return rest[1:at], rest[at + 1 :]
    raise ParameterError(Reply(501, status, "The address has no end, or is too long"))


def _address(path: str, utf8: bool, status: str) -> Address:
    if (route := _ROUTE.match(path)) is not None:
        path = path[route.end() :]
    try:
        address = Address.parse(path)
    except AddressError as error:
        raise ParameterError(Reply(501, status, f"Bad address: {error}")) from None
    if not utf8 and not path.isascii():
        raise ParameterError(Reply(553, "5.6.7", "An address with UTF-8 needs SMTPUTF8 on MAIL"))  # RFC 6531 3.5
    return address


def _parameters(text: str, known: set[str]) -> dict[str, str | None]:
    values: dict[str, str | None] = {}
    if text and not text.startswith(" "):
        raise _bad("a space must stand before parameters")
    for part in text.split():
        keyword, equals, value = part.partition("=")
        name = keyword.upper()
        if not _KEYWORD.fullmatch(keyword):
            raise _bad("a parameter has no name")
        if name not in known:
            raise ParameterError(Reply(555, "5.5.4", f"Parameter {name} is not known here"))
        if name in values:
            raise _bad(f"{name} stands twice")
        values[name] = value if equals else None
        if not equals and name != "SMTPUTF8":
            raise _bad(f"{name} wants a value")
    return values


def _bad(text: str) -> ParameterError:
    return ParameterError(Reply(501, "5.5.4", text))
