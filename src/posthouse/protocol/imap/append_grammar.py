"""APPEND and REPLACE: a mailbox, and messages with flags and date (RFC 9051 6.3.12, RFC 3502, RFC 8508)."""

import calendar
import re
from collections.abc import Callable

from posthouse.message.months import month_number
from posthouse.protocol.imap import commands
from posthouse.protocol.imap.commands import Command, SessionMode
from posthouse.protocol.imap.mailbox_grammar import mailbox_name
from posthouse.protocol.imap.syntax import Cursor, GrammarError, Message, Rule, astring

_DATE_TIME = re.compile(
    # RFC 9051 9 has two places for day and hour. Clients leave the first one empty, or leave it out.
    rb'"( ?\d|\d\d)-([A-Za-z]{3})-(\d{4}) +([01]?\d|2[0-3]):([0-5]\d):([0-5]\d|60) +([+-])(\d\d)([0-5]\d)"'
)


def append(cursor: Cursor, mode: SessionMode) -> Rule[Command]:
    """APPEND."""
    cursor.space()
    octets = yield from astring(cursor)
    mailbox = mailbox_name(octets, mode)
    cursor.space()
    yield from _message(cursor, octets)
    while not cursor.ended:  # RFC 3502
        cursor.space()
        yield from _message(cursor, octets)
    return commands.Append(mailbox)


def replace(uid: bool) -> Callable[[Cursor, SessionMode], Rule[Command]]:
    """REPLACE (RFC 8508 3.3)."""

    def rule(cursor: Cursor, mode: SessionMode) -> Rule[Command]:
        cursor.space()
        if cursor.takes(b"*"):
            number = 0
        elif not (number := cursor.number()):
            raise GrammarError("no message has the number 0")  # RFC 9051 9, seq-number
        cursor.space()
        octets = yield from astring(cursor)
        mailbox = mailbox_name(octets, mode)
        cursor.space()
        yield from _message(cursor, octets, replacing=True)
        return commands.Append(mailbox, number, uid)

    return rule


def _message(cursor: Cursor, mailbox: bytes, *, replacing: bool = False) -> Rule[None]:
    flags: tuple[bytes, ...] = ()
    date = None
    if cursor.peek() == 40:
        flags = cursor.flags()
        cursor.space()
    if cursor.peek() == 34:
        date = _date_time(cursor)
        cursor.space()
    about = Message(mailbox, flags, date, replacing)
    if cursor.takes(b"UTF8"):  # RFC 6855 4
        cursor.space()
        cursor.opens()
        yield cursor.literal(about)
        cursor.shuts()
    else:
        yield cursor.literal(about)


def _date_time(cursor: Cursor) -> int:
    found = _DATE_TIME.match(cursor.line, cursor.at)
    month = month_number(found.group(2)) if found else None
    if found is None or month is None:
        raise GrammarError('date and time expected, like " 1-Feb-2024 12:30:00 +0100"')
    day, year, hour, minute, second = (int(found.group(group)) for group in (1, 3, 4, 5, 6))
    if not 1 <= day <= calendar.monthrange(year or 1, month)[1] or not year:
        raise GrammarError("there is no such date")
    zone = int(found.group(8)) * 3600 + int(found.group(9)) * 60
    cursor.at = found.end()
    local = calendar.timegm((year, month, day, hour, minute, second))
    return max(0, local - zone if found.group(7) == b"+" else local + zone)
