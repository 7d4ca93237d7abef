"""Commands (RFC 9051 6): each rule reads what stands behind a keyword. Larger ones have their own files."""

from collections.abc import Callable

from posthouse.protocol.imap import commands
from posthouse.protocol.imap.append_grammar import append, replace
from posthouse.protocol.imap.commands import Command, SessionMode
from posthouse.protocol.imap.fetch_grammar import fetch
from posthouse.protocol.imap.mailbox_grammar import mailbox_argument, mailbox_name
from posthouse.protocol.imap.search_grammar import search, sort, thread
from posthouse.protocol.imap.sets import NumberSet, number_set
from posthouse.protocol.imap.syntax import (
    Cursor,
    GrammarError,
    MailboxNameError,
    Rule,
    astring,
    parenthesised,
    pattern,
)

MAX_PATTERNS = 100
_MODSEQ_LIMIT = (1 << 63) - 1
STATUS_ITEMS = frozenset(
    b"MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN DELETED SIZE HIGHESTMODSEQ APPENDLIMIT MAILBOXID"
    b" DELETED-STORAGE".split()
)


def _named(make: Callable[[str], Command]) -> "Parse":
    """A command whose only argument is a mailbox."""

    def rule(cursor: Cursor, mode: SessionMode) -> Rule[Command]:
        cursor.space()
        return make((yield from mailbox_argument(cursor, mode)))

    return rule


def _bare(command: Command) -> "Parse":
    """A command without arguments."""

    def rule(cursor: Cursor, mode: SessionMode) -> Rule[Command]:
        return command
        yield  # a rule is a generator

    return rule


# Mailboxes.


def _select(read_only: bool) -> "Parse":
    def rule(cursor: Cursor, mode: SessionMode) -> Rule[Command]:
        cursor.space()
        try:
            mailbox = yield from mailbox_argument(cursor, mode)
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
                    resync = _resync(cursor, mode)
                else:
                    raise GrammarError(f"unknown SELECT parameter {word.decode()}")
                if cursor.closes():
                    break
        return commands.Select(mailbox, read_only, condstore, resync)

    return rule


def _resync(cursor: Cursor, mode: SessionMode) -> commands.Resync:
    """RFC 7162 3.2.5: (uidvalidity modseq [known-uids] [(sequence-numbers uids)])."""
    if "QRESYNC" not in mode.enabled:
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


def _create(cursor: Cursor, mode: SessionMode) -> Rule[Command]:
    cursor.space()
    mailbox = yield from mailbox_argument(cursor, mode)
    use: tuple[str, ...] = ()
    if not cursor.ended:
        cursor.space()
        cursor.opens()
        cursor.want(b"USE")
        cursor.space()
        use = tuple(flag.decode().lower() for flag in cursor.listed(cursor.flag))
        cursor.shuts()
    return commands.Create(mailbox, use)


def _rename(cursor: Cursor, mode: SessionMode) -> Rule[Command]:
    cursor.space()
    mailbox = yield from mailbox_argument(cursor, mode)
    cursor.space()
    return commands.Rename(mailbox, (yield from mailbox_argument(cursor, mode)))


def _list(cursor: Cursor, mode: SessionMode) -> Rule[Command]:
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
    reference = _pattern_text((yield from astring(cursor)), mode)
    cursor.space()
    if cursor.peek() == 40:
        extended = True
        octets = yield from parenthesised(cursor, pattern)
        if len(octets) > MAX_PATTERNS:
            raise GrammarError("too many patterns")
    else:
        octets = [(yield from pattern(cursor))]
    patterns = tuple(_pattern_text(each, mode) for each in octets)
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


def _lsub(cursor: Cursor, mode: SessionMode) -> Rule[Command]:
    cursor.space()
    reference = _pattern_text((yield from astring(cursor)), mode)
    cursor.space()
    text = _pattern_text((yield from pattern(cursor)), mode)
    return commands.List(reference, (text,), frozenset({"subscribed"}), lsub=True)


def _pattern_text(octets: bytes, mode: SessionMode) -> str:
    try:
        return mailbox_name(octets, mode)
    except GrammarError:
        # A pattern may cut a shifted run in two: then it matches what is written so, which is nothing.
        return octets.decode("utf-8", "replace")


def _status(cursor: Cursor, mode: SessionMode) -> Rule[Command]:
    cursor.space()
    mailbox = yield from mailbox_argument(cursor, mode)
    cursor.space()
    return commands.Status(mailbox, _status_items(cursor))


def _status_items(cursor: Cursor) -> tuple[str, ...]:
    items = cursor.listed(cursor.keyword)
    for item in items:
        if item not in STATUS_ITEMS:
            raise GrammarError(f"unknown STATUS item {item.decode()}")
    return tuple(dict.fromkeys(item.decode() for item in items))


# Messages.


def _store(uid: bool) -> "Parse":
    def rule(cursor: Cursor, mode: SessionMode) -> Rule[Command]:
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
    def rule(cursor: Cursor, mode: SessionMode) -> Rule[Command]:
        cursor.space()
        numbers = number_set(cursor)
        cursor.space()
        return commands.Copy(numbers, uid, (yield from mailbox_argument(cursor, mode)), move)

    return rule


def _uid_expunge(cursor: Cursor, mode: SessionMode) -> Rule[Command]:
    cursor.space()
    return commands.Expunge(number_set(cursor))
    yield


def _uid(cursor: Cursor, mode: SessionMode) -> Rule[Command]:
    """UID and the command that takes uids."""
    cursor.space()
    word = cursor.keyword()
    rule = _BY_UID.get(word)
    if rule is None:
        raise GrammarError(f"there is no UID {word.decode()}")
    return (yield from rule(cursor, mode))


# Quota.


def _get_quota(cursor: Cursor, mode: SessionMode) -> Rule[Command]:
    cursor.space()
    return commands.GetQuota(root=(yield from astring(cursor)).decode("utf-8", "replace"))


def _set_quota(cursor: Cursor, mode: SessionMode) -> Rule[Command]:
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


Parse = Callable[[Cursor, SessionMode], Rule[Command]]


_BY_UID: dict[bytes, Parse] = {
    b"FETCH": lambda cursor, mode: fetch(cursor, mode, uid=True),
    b"STORE": _store(uid=True),
    b"COPY": _copy(uid=True, move=False),
    b"MOVE": _copy(uid=True, move=True),
    b"SEARCH": lambda cursor, mode: search(cursor, mode, uid=True),
    b"SORT": lambda cursor, mode: sort(cursor, uid=True),
    b"THREAD": lambda cursor, mode: thread(cursor, uid=True),
    b"EXPUNGE": _uid_expunge,
    b"REPLACE": replace(uid=True),
}

# By keyword; where each is legal stands in states.LEGAL.
RULES: dict[bytes, Parse] = {
    b"NOOP": _bare(commands.Noop()),
    b"SELECT": _select(read_only=False),
    b"EXAMINE": _select(read_only=True),
    b"CREATE": _create,
    b"DELETE": _named(commands.Delete),
    b"RENAME": _rename,
    b"SUBSCRIBE": _named(lambda name: commands.Subscribe(name, wanted=True)),
    b"UNSUBSCRIBE": _named(lambda name: commands.Subscribe(name, wanted=False)),
    b"LIST": _list,
    b"LSUB": _lsub,
    b"NAMESPACE": _bare(commands.Namespace()),
    b"STATUS": _status,
    b"APPEND": append,
    b"IDLE": _bare(commands.Idle()),
    b"GETQUOTA": _get_quota,
    b"GETQUOTAROOT": _named(lambda name: commands.GetQuota(mailbox=name)),
    b"SETQUOTA": _set_quota,
    b"CHECK": _bare(commands.Noop()),
    b"CLOSE": _bare(commands.Close(expunge=True)),
    b"UNSELECT": _bare(commands.Close(expunge=False)),
    b"EXPUNGE": _bare(commands.Expunge()),
    b"FETCH": lambda cursor, mode: fetch(cursor, mode, uid=False),
    b"STORE": _store(uid=False),
    b"COPY": _copy(uid=False, move=False),
    b"MOVE": _copy(uid=False, move=True),
    b"SEARCH": lambda cursor, mode: search(cursor, mode, uid=False),
    b"SORT": lambda cursor, mode: sort(cursor, uid=False),
    b"THREAD": lambda cursor, mode: thread(cursor, uid=False),
    b"REPLACE": replace(uid=False),
    b"UID": _uid,
}
