"""How values are written in answers (RFC 9051 9)."""

import re
import time
from collections.abc import Iterable

from posthouse.message.months import MONTHS
from posthouse.protocol.imap import mutf7

_PLAIN = re.compile(rb"[\x20\x21\x23-\x5b\x5d-\x7e]*\Z")  # fits between quotes as it is
_MAX_QUOTED = 1000


def string(octets: bytes) -> bytes:
    """A quoted string where that can be, else a literal."""
    if len(octets) <= _MAX_QUOTED and _PLAIN.match(octets):
        return b'"%b"' % octets
    return literal(octets)


def literal(octets: bytes) -> bytes:
    """A literal; one with NUL is a literal8."""
    return b"%b{%d}\r\n%b" % (b"~" if b"\0" in octets else b"", len(octets), octets)


def text(value: str, *, utf8: bool) -> bytes:
    """A text for humans: in quotes where the client takes UTF-8 there, else a literal."""
    octets = value.encode("utf-8", "replace")
    if utf8 and len(octets) <= _MAX_QUOTED and not any(char in value for char in '\r\n\0"\\'):
        return b'"%b"' % octets
    return string(octets)


def mailbox(name: str, *, utf8: bool) -> bytes:
    """A mailbox name: quoted, in UTF-8 or modified UTF-7."""
    octets = name.encode() if utf8 else mutf7.encode(name)
    return b'"%b"' % octets.replace(b"\\", b"\\\\").replace(b'"', b'\\"')


def internal_date(seconds: int) -> bytes:
    """A date-time in UTC, with quotes."""
    at = time.gmtime(seconds)
    month = MONTHS[at.tm_mon - 1]
    return (
        f'"{at.tm_mday:02d}-{month}-{at.tm_year:04d} {at.tm_hour:02d}:{at.tm_min:02d}:{at.tm_sec:02d} +0000"'
    ).encode()


def listed(words: Iterable[bytes]) -> bytes:
    """Words in parentheses."""
    return b"(%b)" % b" ".join(words)
