"""The arguments of MAIL and RCPT: a path and parameters (RFC 5321 4.1.2, 4.1.1.11)."""

import re
from collections.abc import Callable
from datetime import datetime

from posthouse.message.address import Address, AddressError
from posthouse.message.envelope import BodyType, Recipient, ReversePath
from posthouse.message.reply import Reply
from posthouse.protocol.smtp.settings import MAX_HOLD

_BAD_SENDER = "5.1.7"  # RFC 3463 3.2
_BAD_RECIPIENT = "5.1.3"

_BARE_PATH = re.compile(r'[^@<>"\s][^<>"\s]*+')
_QUOTED_PATH = re.compile(r'<((?:[^">]++|"(?:[^"\\]++|\\.)*+")*+)>')
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*+")  # RFC 3461 4
_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+")
_KEYWORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
_DIGITS = re.compile(r"[0-9]{1,20}")  # RFC 1870 4


class ArgumentError(Exception):
    """A command that cannot be obeyed; `reply` says why."""

    def __init__(self, code: int, status: str, text: str) -> None:
        super().__init__(text)
        self.reply = Reply(code, status, text)


def parse_mail(text: str, *, future: bool = False) -> ReversePath:
    """The argument of MAIL -> Sender; `future`: it may ask to be held (RFC 4865). Raises ArgumentError."""
    path, rest = _split_path(text, "FROM:", _BAD_SENDER)
    given = _parse_parameters(rest, _FUTURE_PARAMETERS if future else _MAIL_PARAMETERS) if rest else {}
    if "HOLDFOR" in given and "HOLDUNTIL" in given:
        raise _bad("HOLDFOR and HOLDUNTIL do not go together")  # RFC 4865 4
    smtputf8 = "SMTPUTF8" in given
    address = _parse_address(path, _BAD_SENDER, smtputf8=smtputf8) if path else None
    if not given:
        return ReversePath(address)
    return ReversePath(
        address,
        size=int(given.get("SIZE", "0")),
        body=BodyType(given.get("BODY", "7BIT")),
        smtputf8=smtputf8,
        ret=given.get("RET", ""),
        envid=given.get("ENVID", ""),
        auth=given.get("AUTH", ""),
        hold_for=int(given.get("HOLDFOR", "0")),
        hold_until=int(given.get("HOLDUNTIL", "0")),
    )


def parse_rcpt(text: str, *, smtputf8: bool) -> Recipient:
    """The argument of RCPT -> Recipient; `smtputf8` as MAIL said. Raises ArgumentError."""
    path, rest = _split_path(text, "TO:", _BAD_RECIPIENT)
    address = _parse_address(path, _BAD_RECIPIENT, smtputf8=smtputf8)
    if not rest:
        return Recipient(address)
    given = _parse_parameters(rest, _RCPT_PARAMETERS)
    if not smtputf8 and not given.get("ORCPT", "").isascii():
        raise _bad("an ORCPT with UTF-8 needs SMTPUTF8 on MAIL")
    notify = given.get("NOTIFY", "")
    return Recipient(address, tuple(notify.split(",")) if notify else (), given.get("ORCPT", ""))


def _split_path(text: str, keyword: str, status: str) -> tuple[str, str]:
    """What stands between the angle brackets, and what follows them."""
    start = len(keyword)
    if text[:start].upper() != keyword:
        raise _bad(f"{keyword}<address> is missing")
    if text[start : start + 1] == " ":  # RFC 5321 3.3 forbids a space here; many clients send one
        text, start = text[start:].lstrip(" "), 0
    end = text.find(">", start)
    if end < 0 or text[start] != "<":
        return _split_bare_path(text[start:], status)
    if '"' not in text[start:end]:
        return text[start + 1 : end], text[end + 1 :]
    match = _QUOTED_PATH.match(text, start)
    if match is None:
        raise ArgumentError(501, status, "The address has a quote that is not closed")
    return match[1], text[match.end() :]


def _split_bare_path(text: str, status: str) -> tuple[str, str]:
    """The same where the brackets were left out, as devices and scripts do: RFC 5321 4.1.2 wants them.

    Taken where nothing else can be meant: one word, and what follows it behind a space (docs/decisions/025).
    """
    path = _BARE_PATH.match(text)
    if path is None or ("@" not in path[0] and path[0].lower() != "postmaster"):
        raise ArgumentError(501, status, "The address must stand in <angle brackets>")
    return path[0], text[path.end() :]


def _parse_address(path: str, status: str, *, smtputf8: bool) -> Address:
    if not smtputf8 and not path.isascii():
        raise ArgumentError(553, "5.6.7", "An address with UTF-8 needs SMTPUTF8 on MAIL")  # RFC 6531 3.5
    try:
        address = Address.parse_path(path)
    except AddressError as error:
        raise ArgumentError(501, status, f"Bad address: {error}") from None
    if not address.domain and status is _BAD_SENDER:
        raise ArgumentError(501, status, "The sender needs a domain")
    return address


def _parse_parameters(text: str, known: dict[str, Callable[[str | None], str]]) -> dict[str, str]:
    if not text.startswith(" "):
        raise _bad("a space must stand between the address and parameters")
    given: dict[str, str] = {}
    for part in text.split(" "):
        if not part:
            continue
        keyword, equals, value = part.partition("=")
        if not _KEYWORD.fullmatch(keyword):
            raise _bad("a parameter is written KEYWORD or KEYWORD=value")
        name = keyword.upper()
        check = known.get(name)
        if check is None:  # RFC 5321 4.1.1.11
            raise ArgumentError(555, "5.5.4", "A parameter is not known here; EHLO lists the extensions")
        if name in given:
            raise _bad(f"{name} stands twice")
        if name != "ORCPT" and not value.isascii():  # RFC 6533 3 alone has values beyond ASCII
            raise _bad(f"{name} wants ASCII")
        given[name] = check(value if equals else None)
    return given


def _bad(text: str) -> ArgumentError:
    return ArgumentError(501, "5.5.4", f"Bad argument: {text}")


# One check per parameter: the value as written, None when there is no "=", to the value as kept.


def _size(value: str | None) -> str:
    if value is None or not _DIGITS.fullmatch(value):
        raise _bad("SIZE wants a number of octets")
    return value


def _body(value: str | None) -> str:
    # RFC 6152 2, RFC 3030 3
    if value is None or not value.isascii() or value.upper() not in ("7BIT", "8BITMIME", "BINARYMIME"):
        raise _bad("BODY is 7BIT, 8BITMIME or BINARYMIME")
    return value.upper()


def _smtputf8(value: str | None) -> str:
    if value is not None:  # RFC 6531 3.4
        raise _bad("SMTPUTF8 takes no value")
    return ""


def _ret(value: str | None) -> str:
    if value is None or value.upper() not in ("FULL", "HDRS"):  # RFC 3461 4.3
        raise _bad("RET is FULL or HDRS")
    return value.upper()


def _envid(value: str | None) -> str:
    if not value or len(value) > 100 or not _XTEXT.fullmatch(value):  # RFC 3461 4.4
        raise _bad("ENVID wants at most 100 characters of xtext")
    return value


def _auth(value: str | None) -> str:
    if not value or len(value) > 800 or not _XTEXT.fullmatch(value):  # RFC 4954 5: xtext, or <>, which is xtext too
        raise _bad("AUTH wants at most 800 characters of xtext, or <>")
    return value


def _notify(value: str | None) -> str:
    words = (value or "").upper().split(",")
    if words == ["NEVER"]:  # RFC 3461 4.1: NEVER stands alone
        return "NEVER"
    if len(set(words)) < len(words) or not set(words) <= {"SUCCESS", "FAILURE", "DELAY"}:
        raise _bad("NOTIFY is NEVER, or some of SUCCESS, FAILURE and DELAY")
    return ",".join(words)


def _orcpt(value: str | None) -> str:
    kind, semicolon, address = (value or "").partition(";")
    if not semicolon or not address or len(value or "") > 500 or not _ATOM.fullmatch(kind):  # RFC 3461 4.2
        raise _bad("ORCPT wants an address type, a semicolon and an address")
    if kind.lower() != "utf-8" and not _XTEXT.fullmatch(address):  # RFC 6533 3: utf-8 has its own encoding
        raise _bad("ORCPT wants an address in xtext")
    return value or ""


def _hold_for(value: str | None) -> str:
    if value is None or not re.fullmatch(r"[0-9]{1,9}", value, re.ASCII) or not 0 < int(value) <= MAX_HOLD:
        raise _bad(f"HOLDFOR wants seconds, from 1 to {MAX_HOLD}")  # RFC 4865 4
    return value


def _hold_until(value: str | None) -> str:
    """An Internet date and time (RFC 3339); kept as seconds since 1970."""
    try:
        if value is None or not _DATE_TIME.fullmatch(value):
            raise ValueError
        when = datetime.fromisoformat(value.upper())
        return str(max(1, int(when.timestamp())))
    except (ValueError, OverflowError):
        raise _bad("HOLDUNTIL wants a date and time like 2027-01-31T08:00:00Z") from None  # RFC 4865 5


_MAIL_PARAMETERS: dict[str, Callable[[str | None], str]] = {
    "SIZE": _size,
    "BODY": _body,
    "SMTPUTF8": _smtputf8,
    "RET": _ret,
    "ENVID": _envid,
    "AUTH": _auth,
}
_FUTURE_PARAMETERS = _MAIL_PARAMETERS | {"HOLDFOR": _hold_for, "HOLDUNTIL": _hold_until}
_RCPT_PARAMETERS: dict[str, Callable[[str | None], str]] = {"NOTIFY": _notify, "ORCPT": _orcpt}
