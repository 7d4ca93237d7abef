"""Commands (RFC 9051 6): each rule reads what stands behind a keyword. FETCH and SEARCH have files of their own."""

import calendar
import re
from collections.abc import Callable
from dataclasses import dataclass

from posthouse.message.months import month_number
from posthouse.protocol.imap import commands, mutf7
from posthouse.protocol.imap.commands import Command, Dialect
from posthouse.protocol.imap.fetch_grammar import fetch
from posthouse.protocol.imap.search_grammar import search, sort, thread
from posthouse.protocol.imap.sets import NumberSet, number_set
from posthouse.protocol.imap.states import State
from posthouse.protocol.imap.syntax import (
    Cursor,
    GrammarError,
    MailboxNameError,
    Message,
    Rule,
    astring,
    nstring,
    parenthesised,
    pattern,
)

MAX_PATTERNS = 100
_MODSEQ_LIMIT = (1 << 63) - 1
_DATE_TIME = re.compile(
    # RFC 9051 9 has two places for day and hour. Clients leave the first one empty, or leave it out.
    rb'"( ?\d|\d\d)-([A-Za-z]{3})-(\d{4}) +([01]?\d|2[0-3]):([0-5]\d):([0-5]\d|60) +([+-])(\d\d)([0-5]\d)"'
)
STATUS_ITEMS = frozenset(
    b"MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN DELETED SIZE HIGHESTMODSEQ APPENDLIMIT MAILBOXID"
    b" DELETED-STORAGE".split()
)


def mailbox_name(octets: bytes, dialect: Dialect) -> str:
    """A name as the client wrote it. Raises MailboxNameError."""
    try:
        name = octets.decode() if dialect.utf8 else mutf7.decode(octets)
    except ValueError:
        wanted = "UTF-8" if dialect.utf8 else "modified UTF-7"
        raise MailboxNameError(f"A mailbox name is written in {wanted}, this is none") from None
    if "\0" in name:
        raise MailboxNameError("A mailbox name cannot hold NUL")
    return name


def _mailbox(cursor: Cursor, dialect: Dialect) -> Rule[str]:
    return mailbox_name((yield from astring(cursor)), dialect)


def _named(make: Callable[[str], Command]) -> "Parse":
    """A command whose only argument is a mailbox."""

    def rule(cursor: Cursor, dialect: Dialect) -> Rule[Command]:
        cursor.space()
        return make((yield from _mailbox(cursor, dialect)))

    return rule


def _bare(command: Command) -> "Parse":
    """A command without arguments."""

    def rule(cursor: Cursor, dialect: Dialect) -> Rule[Command]:
        return command
        yield  # a rule is a generator

    return rule


# Mailboxes.


def _select(read_only: bool) -> "Parse":
    def rule(cursor: Cursor, dialect: Dialect) -> Rule[Command]:
        cursor.space()
        try:
            mailbox = yield from _mailbox(cursor, dialect)
        except MailboxNameError:
            mailbox = ""  # there is none of that name: a SELECT that fails still closes what was open before
        condstore, resync = False, None
        if not cursor.ended:
            cursor.space()
            cursor.opens()
            while True:
                word = cursor.keyword()
                if word == b"CONDSTORE":
                    condstore = True
                elif word == b"QRESYNC":
                    resync = _resync(cursor, dialect)
                else:
                    raise GrammarError(f"unknown SELECT parameter {word.decode()}")
                if cursor.closes():
                    break
        return commands.Select(mailbox, read_only, condstore, resync)

    return rule


def _resync(cursor: Cursor, dialect: Dialect) -> commands.Resync:
    """RFC 7162 3.2.5: (uidvalidity modseq [known-uids] [(sequence-numbers uids)])."""
    if "QRESYNC" not in dialect.enabled:
        raise GrammarError("QRESYNC is to be enabled first")
    cursor.space()
    cursor.opens()
    uidvalidity = cursor.number()
    cursor.space()
    modseq = cursor.number(_MODSEQ_LIMIT)
    known = None
    if cursor.closes():
        return commands.Resync(uidvalidity, modseq)
    if cursor.peek() != 40:
        known = _known(cursor)
        if cursor.closes():
            return commands.Resync(uidvalidity, modseq, known)
    cursor.opens()
    numbers = _known(cursor)
    cursor.space()
    match = (numbers, _known(cursor))
    if match[0].count != match[1].count:
        raise GrammarError("numbers and uids do not go together")
    cursor.shuts()
    cursor.shuts()
    return commands.Resync(uidvalidity, modseq, known, match)


def _known(cursor: Cursor) -> NumberSet:
    found = number_set(cursor)
    if found.saved or any(0 in pair for pair in found.ranges):
        raise GrammarError("a set of known numbers names them all")
    return found


def _create(cursor: Cursor, dialect: Dialect) -> Rule[Command]:
    cursor.space()
    mailbox = yield from _mailbox(cursor, dialect)
    use: tuple[str, ...] = ()
    if not cursor.ended:
        cursor.space()
        cursor.opens()
        cursor.want(b"USE")
        cursor.space()
        use = tuple(flag.decode().lower() for flag in cursor.listed(cursor.flag))
        cursor.shuts()
    return commands.Create(mailbox, use)


def _rename(cursor: Cursor, dialect: Dialect) -> Rule[Command]:
    cursor.space()
    mailbox = yield from _mailbox(cursor, dialect)
    cursor.space()
    return commands.Rename(mailbox, (yield from _mailbox(cursor, dialect)))


def _list(cursor: Cursor, dialect: Dialect) -> Rule[Command]:
    cursor.space()
    select: frozenset[str] = frozenset()
    extended = False
    if cursor.peek() == 40:
        extended = True
        select = frozenset(word.decode().lower() for word in cursor.listed(cursor.keyword, empty=True))
        if not select <= {"subscribed", "remote", "recursivematch", "special-use"}:
            raise GrammarError("unknown LIST selection option")
        if "recursivematch" in select and not select - {"recursivematch", "remote"}:
            raise GrammarError("RECURSIVEMATCH goes with another option")  # RFC 5258 3.1
        cursor.space()
    reference = _pattern_text((yield from astring(cursor)), dialect)
    cursor.space()
    if cursor.peek() == 40:
        extended = True
        octets = yield from parenthesised(cursor, pattern)
        if len(octets) > MAX_PATTERNS:
            raise GrammarError("too many patterns")
    else:
        octets = [(yield from pattern(cursor))]
    patterns = tuple(_pattern_text(each, dialect) for each in octets)
    returns, status = _list_returns(cursor)
    return commands.List(reference, patterns, select, returns, status, extended=extended or bool(returns))


def _list_returns(cursor: Cursor) -> tuple[frozenset[str], tuple[str, ...]]:
    returns: set[str] = set()
    status: tuple[str, ...] = ()
    if cursor.ended:
        return frozenset(), status
    cursor.space()
    cursor.want(b"RETURN")
    cursor.space()
    cursor.opens()
    if cursor.takes(b")"):
        return frozenset(), status
    while True:
        word = cursor.keyword().decode().lower()
        if word not in ("subscribed", "children", "special-use", "status"):
            raise GrammarError(f"unknown LIST return option {word.upper()}")
        if word == "status":
            cursor.space()
            status = _status_items(cursor)
        returns.add(word)
        if cursor.closes():
            return frozenset(returns), status


def _lsub(cursor: Cursor, dialect: Dialect) -> Rule[Command]:
    cursor.space()
    reference = _pattern_text((yield from astring(cursor)), dialect)
    cursor.space()
    text = _pattern_text((yield from pattern(cursor)), dialect)
    return commands.List(reference, (text,), frozenset({"subscribed"}), lsub=True)


def _pattern_text(octets: bytes, dialect: Dialect) -> str:
    try:
        return mailbox_name(octets, dialect)
    except GrammarError:
        # A pattern may cut a shifted run in two: then it matches what is written so, which is nothing.
        return octets.decode("utf-8", "replace")


def _status(cursor: Cursor, dialect: Dialect) -> Rule[Command]:
    cursor.space()
    mailbox = yield from _mailbox(cursor, dialect)
    cursor.space()
    return commands.Status(mailbox, _status_items(cursor))


def _status_items(cursor: Cursor) -> tuple[str, ...]:
    items = cursor.listed(cursor.keyword)
    for item in items:
        if item not in STATUS_ITEMS:
            raise GrammarError(f"unknown STATUS item {item.decode()}")
    return tuple(dict.fromkeys(item.decode() for item in items))


# Messages.


def _append(cursor: Cursor, dialect: Dialect) -> Rule[Command]:
    cursor.space()
    octets = yield from astring(cursor)
    mailbox = mailbox_name(octets, dialect)
    cursor.space()
    yield from _message(cursor, octets)
    while not cursor.ended:  # RFC 3502
        cursor.space()
        yield from _message(cursor, octets)
    return commands.Append(mailbox)


def _replace(uid: bool) -> "Parse":
    """RFC 8508 3.3."""

    def rule(cursor: Cursor, dialect: Dialect) -> Rule[Command]:
        cursor.space()
        if cursor.takes(b"*"):
            number = 0
        elif not (number := cursor.number()):
            raise GrammarError("no message has the number 0")  # RFC 9051 9, seq-number
        cursor.space()
        octets = yield from astring(cursor)
        mailbox = mailbox_name(octets, dialect)
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


def _store(uid: bool) -> "Parse":
    def rule(cursor: Cursor, dialect: Dialect) -> Rule[Command]:
        cursor.space()
        numbers = number_set(cursor)
        cursor.space()
        unchanged = None
        if cursor.peek() == 40:
            cursor.opens()
            cursor.want(b"UNCHANGEDSINCE")
            cursor.space()
            unchanged = cursor.number(_MODSEQ_LIMIT)
            cursor.shuts()
            cursor.space()
        how = cursor.line[cursor.at : cursor.at + 1].decode("latin-1")
        how = how if how in ("+", "-") else ""
        cursor.at += len(how)
        cursor.want(b"FLAGS")
        silent = cursor.takes(b".SILENT")
        cursor.space()
        if cursor.peek() == 40:
            flags = cursor.flags()
        else:
            named = [cursor.flag()]
            while not cursor.ended:
                cursor.space()
                named.append(cursor.flag())
            flags = tuple(named)
        return commands.Store(numbers, uid, how, silent, flags, unchanged)
        yield

    return rule


def _copy(uid: bool, move: bool) -> "Parse":
    def rule(cursor: Cursor, dialect: Dialect) -> Rule[Command]:
        cursor.space()
        numbers = number_set(cursor)
        cursor.space()
        return commands.Copy(numbers, uid, (yield from _mailbox(cursor, dialect)), move)

    return rule


def _uid_expunge(cursor: Cursor, dialect: Dialect) -> Rule[Command]:
    cursor.space()
    return commands.Expunge(number_set(cursor))
    yield


def _uid(cursor: Cursor, dialect: Dialect) -> Rule[Command]:
    """UID and the command that takes uids."""
    cursor.space()
    word = cursor.keyword()
    rule = _BY_UID.get(word)
    if rule is None:
        raise GrammarError(f"there is no UID {word.decode()}")
    return (yield from rule(cursor, dialect))


# Quota.


def _get_quota(cursor: Cursor, dialect: Dialect) -> Rule[Command]:
    cursor.space()
    return commands.GetQuota(root=(yield from astring(cursor)).decode("utf-8", "replace"))


def _set_quota(cursor: Cursor, dialect: Dialect) -> Rule[Command]:
    """RFC 9208 7, setquota: read to its end, so that it can be refused for what it is."""
    cursor.space()
    yield from astring(cursor)
    cursor.space()
    cursor.opens()
    if cursor.takes(b")"):
        return commands.SetQuota()
    while True:
        cursor.atom()
        cursor.space()
        cursor.number(_MODSEQ_LIMIT)
        if cursor.closes():
            return commands.SetQuota()


# What the engine itself answers.


def credentials(cursor: Cursor) -> Rule[tuple[bytes, bytes]]:
    """Behind LOGIN."""
    cursor.space()
    login = yield from astring(cursor)
    cursor.space()
    return login, (yield from astring(cursor))


def identification(cursor: Cursor) -> Rule[dict[str, str]]:
    """Behind ID (RFC 2971 3.1)."""
    cursor.space()
    fields: dict[str, str] = {}
    if cursor.takes(b"NIL"):
        return fields
    cursor.opens()
    if cursor.takes(b")"):
        return fields
    while True:
        name = yield from astring(cursor)
        cursor.space()
        value = yield from nstring(cursor)
        if len(fields) >= 30 or len(name) > 30 or len(value or b"") > 1024:
            raise GrammarError("ID takes 30 fields of 30 and 1024 octets")
        fields[name.decode("utf-8", "replace")] = (value or b"").decode("utf-8", "replace")
        if cursor.closes():
            return fields


Parse = Callable[[Cursor, Dialect], Rule[Command]]


@dataclass(frozen=True, slots=True)
class Form:
    """A command: where it is legal, and the rule of its arguments."""

    states: State
    rule: Parse


_BY_UID: dict[bytes, Parse] = {
    b"FETCH": lambda cursor, dialect: fetch(cursor, dialect, uid=True),
    b"STORE": _store(uid=True),
    b"COPY": _copy(uid=True, move=False),
    b"MOVE": _copy(uid=True, move=True),
    b"SEARCH": lambda cursor, dialect: search(cursor, dialect, uid=True),
    b"SORT": lambda cursor, dialect: sort(cursor, uid=True),
    b"THREAD": lambda cursor, dialect: thread(cursor, uid=True),
    b"EXPUNGE": _uid_expunge,
    b"REPLACE": _replace(uid=True),
}
_IN, _SELECTED = State.LOGGED_IN, State.SELECTED

FORMS: dict[bytes, Form] = {
    b"NOOP": Form(_IN, _bare(commands.Noop())),
    b"SELECT": Form(_IN, _select(read_only=False)),
    b"EXAMINE": Form(_IN, _select(read_only=True)),
    b"CREATE": Form(_IN, _create),
    b"DELETE": Form(_IN, _named(commands.Delete)),
    b"RENAME": Form(_IN, _rename),
    b"SUBSCRIBE": Form(_IN, _named(lambda name: commands.Subscribe(name, wanted=True))),
    b"UNSUBSCRIBE": Form(_IN, _named(lambda name: commands.Subscribe(name, wanted=False))),
    b"LIST": Form(_IN, _list),
    b"LSUB": Form(_IN, _lsub),
    b"NAMESPACE": Form(_IN, _bare(commands.Namespace())),
    b"STATUS": Form(_IN, _status),
    b"APPEND": Form(_IN, _append),
    b"IDLE": Form(_IN, _bare(commands.Idle())),
    b"GETQUOTA": Form(_IN, _get_quota),
    b"GETQUOTAROOT": Form(_IN, _named(lambda name: commands.GetQuota(mailbox=name))),
    b"SETQUOTA": Form(_IN, _set_quota),
    b"CHECK": Form(_SELECTED, _bare(commands.Noop())),
    b"CLOSE": Form(_SELECTED, _bare(commands.Close(expunge=True))),
    b"UNSELECT": Form(_SELECTED, _bare(commands.Close(expunge=False))),
    b"EXPUNGE": Form(_SELECTED, _bare(commands.Expunge())),
    b"FETCH": Form(_SELECTED, lambda cursor, dialect: fetch(cursor, dialect, uid=False)),
    b"STORE": Form(_SELECTED, _store(uid=False)),
    b"COPY": Form(_SELECTED, _copy(uid=False, move=False)),
    b"MOVE": Form(_SELECTED, _copy(uid=False, move=True)),
    b"SEARCH": Form(_SELECTED, lambda cursor, dialect: search(cursor, dialect, uid=False)),
    b"SORT": Form(_SELECTED, lambda cursor, dialect: sort(cursor, uid=False)),
    b"THREAD": Form(_SELECTED, lambda cursor, dialect: thread(cursor, uid=False)),
    b"REPLACE": Form(_SELECTED, _replace(uid=False)),
    b"UID": Form(_SELECTED, _uid),
}
