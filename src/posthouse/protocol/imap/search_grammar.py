"""SEARCH, SORT and THREAD (RFC 9051 6.4.4, RFC 5256, RFC 4731, RFC 5032, RFC 7162, RFC 8474, RFC 8514, RFC 9394)."""

import re
from collections.abc import Callable
from datetime import date

from posthouse.message.months import month_number
from posthouse.message.text.charsets import charset_text, is_known, raw_text
from posthouse.protocol.imap.commands import Search, SessionMode
from posthouse.protocol.imap.search_keys import (
    PLAINLY,
    Aged,
    Compared,
    Contains,
    Dated,
    Either,
    Email,
    Every,
    Everything,
    Flagged,
    InSet,
    Key,
    Modified,
    Moment,
    Not,
    Recent,
    Returning,
    Sized,
    SortBy,
)
from posthouse.protocol.imap.sets import number_set
from posthouse.protocol.imap.settings import MAX_DEPTH
from posthouse.protocol.imap.syntax import Cursor, GrammarError, Rule, astring

_EPOCH = date(1970, 1, 1).toordinal()
_DATE = re.compile(rb'("?)(\d{1,2})-([A-Za-z]{3})-(\d{4})\1')
_ENTRY = re.compile(rb'"/flags/[^"]*" (?:priv|shared|all) +', re.IGNORECASE)
_UTF8 = (b"", b"US-ASCII", b"ASCII", b"UTF-8", b"UTF8")
_MODSEQ_LIMIT = (1 << 63) - 1
_PARTIAL = re.compile(rb"(-?)(\d{1,10}):(-?)(\d{1,10})")


class CharsetError(GrammarError):
    """A charset that is not known: NO with BADCHARSET, not BAD (RFC 9051 6.4.4). `saving`: as for $."""

    def __init__(self, *, saving: bool) -> None:
        super().__init__("No such charset is known here, UTF-8 always is")
        self.saving = saving


_PLAIN: dict[bytes, Key] = {
    b"ALL": Everything(),
    b"ANSWERED": Flagged("\\Answered"),
    b"DELETED": Flagged("\\Deleted"),
    b"DRAFT": Flagged("\\Draft"),
    b"FLAGGED": Flagged("\\Flagged"),
    b"SEEN": Flagged("\\Seen"),
    b"UNANSWERED": Flagged("\\Answered", wanted=False),
    b"UNDELETED": Flagged("\\Deleted", wanted=False),
    b"UNDRAFT": Flagged("\\Draft", wanted=False),
    b"UNFLAGGED": Flagged("\\Flagged", wanted=False),
    b"UNSEEN": Flagged("\\Seen", wanted=False),
    b"RECENT": Recent(),
    b"OLD": Not(Recent()),
    b"NEW": Every((Recent(), Flagged("\\Seen", wanted=False))),
    b"SAVEDATESUPPORTED": Everything(),  # RFC 8514 4.3: every mailbox here has them
}
_TEXTS = {
    b"BCC": "bcc",
    b"BODY": "body",
    b"CC": "cc",
    b"FROM": "from",
    b"SUBJECT": "subject",
    b"TEXT": "text",
    b"TO": "to",
}
_DATES = {
    b"BEFORE": (Moment.RECEIVED, Compared.BELOW),
    b"ON": (Moment.RECEIVED, Compared.EQUAL),
    b"SINCE": (Moment.RECEIVED, Compared.ABOVE),
    b"SENTBEFORE": (Moment.SENT, Compared.BELOW),
    b"SENTON": (Moment.SENT, Compared.EQUAL),
    b"SENTSINCE": (Moment.SENT, Compared.ABOVE),
    b"SAVEDBEFORE": (Moment.SAVED, Compared.BELOW),
    b"SAVEDON": (Moment.SAVED, Compared.EQUAL),
    b"SAVEDSINCE": (Moment.SAVED, Compared.ABOVE),
}
_SORTS = frozenset(b"ARRIVAL CC DATE FROM SIZE SUBJECT TO DISPLAYFROM DISPLAYTO".split())


def search(cursor: Cursor, mode: SessionMode, *, uid: bool) -> Rule[Search]:
    """Behind SEARCH."""
    cursor.space()
    returning = _returning(cursor)
    charset = b""
    if cursor.takes(b"CHARSET"):
        if "UTF8=ACCEPT" in mode.enabled:
            raise GrammarError("all is UTF-8 once UTF8=ACCEPT is enabled, leave CHARSET out")  # RFC 6855 3
        cursor.space()
        charset = yield from _charset(cursor, returning)
    keys = yield from _keys(cursor, charset)
    return _made(keys, uid, returning)


def sort(cursor: Cursor, *, uid: bool) -> Rule[Search]:
    """Behind SORT."""
    cursor.space()
    returning = _returning(cursor)
    order = tuple(_order(cursor))
    cursor.space()
    charset = yield from _charset(cursor, returning)
    keys = yield from _keys(cursor, charset)
    return _made(keys, uid, returning, sort=order)


def thread(cursor: Cursor, *, uid: bool) -> Rule[Search]:
    """Behind THREAD."""
    cursor.space()
    algorithm = cursor.keyword()
    if algorithm not in (b"REFERENCES", b"ORDEREDSUBJECT"):
        raise GrammarError("unknown threading algorithm")
    cursor.space()
    charset = yield from _charset(cursor, PLAINLY)
    keys = yield from _keys(cursor, charset)
    return _made(keys, uid, PLAINLY, thread=algorithm.decode())


def _made(keys: "_Keys", uid: bool, returning: Returning, *, sort: tuple[SortBy, ...] = (), thread: str = "") -> Search:
    found = tuple(keys.found)
    key = found[0] if len(found) == 1 else Every(found)
    return Search(key, uid, returning, sort, thread, keys.modseq)


def _charset(cursor: Cursor, returning: Returning) -> Rule[bytes]:
    name = (yield from astring(cursor)).upper()
    cursor.space()
    if not is_known(name.decode("ascii", "replace")):
        raise CharsetError(saving="save" in returning.options)
    return name


def _returning(cursor: Cursor) -> Returning:
    if not cursor.takes(b"RETURN"):
        return PLAINLY
    cursor.space()
    cursor.opens()
    options: set[str] = set()
    partial = None
    ended = cursor.takes(b")")
    while not ended:
        option = cursor.keyword().decode().lower()
        if option not in ("min", "max", "all", "count", "save", "partial"):
            raise GrammarError(f"unknown RETURN option {option.upper()}")
        if option == "partial":
            if partial is not None:
                raise GrammarError("one PARTIAL is enough")  # RFC 9394 3.1
            cursor.space()
            partial = partial_range(cursor)
        options.add(option)
        ended = cursor.closes()
    cursor.space()
    if partial is not None and "all" in options:
        raise GrammarError("PARTIAL and ALL exclude each other")  # RFC 9394 3.1
    return Returning(True, frozenset(options or {"all"}), partial)


def partial_range(cursor: Cursor) -> tuple[int, int]:
    """Two positions of one sign, from 1 or -1 on, as they were given (RFC 9394 3.1)."""
    found = _PARTIAL.match(cursor.line, cursor.at)
    if found is None or found.group(1) != found.group(3):
        raise GrammarError("range of positions expected")
    cursor.at = found.end()
    first, end = int(found.group(2)), int(found.group(4))
    if not first or not end:
        raise GrammarError("positions are not 0")
    return (-first, -end) if found.group(1) else (first, end)


def _order(cursor: Cursor) -> list[SortBy]:
    cursor.opens()
    found: list[SortBy] = []
    reverse = False
    while True:
        word = cursor.keyword()
        if word == b"REVERSE" and not reverse:
            reverse = True
        elif word in _SORTS:
            found.append(SortBy(word.decode().lower(), reverse))
            reverse = False
        else:
            raise GrammarError("unknown sort criterion")
        if reverse:
            cursor.space()
        elif cursor.closes():
            return found


class _Keys:
    """Keys that must all hold, the charset of their texts, and whether one of them was MODSEQ."""

    __slots__ = ("_charset", "found", "modseq")

    def __init__(self, charset: bytes) -> None:
        self.found: list[Key] = []
        self.modseq = False
        self._charset = charset

    def text(self, octets: bytes) -> str:
        """What is to be searched for."""
        # JavaMail says UTF-8 and sends Latin-1; raw text in mail is read the same way, so the one finds the other.
        return raw_text(octets) if self._charset in _UTF8 else charset_text(octets, self._charset)


def _keys(cursor: Cursor, charset: bytes) -> Rule[_Keys]:
    keys = _Keys(charset)
    keys.found.append((yield from _key(cursor, keys, 0)))
    while not cursor.ended:
        cursor.space()
        keys.found.append((yield from _key(cursor, keys, 0)))
    return keys


def _key(cursor: Cursor, keys: _Keys, depth: int) -> Rule[Key]:
    if depth > MAX_DEPTH:
        raise GrammarError("search keys are nested too deeply")
    octet = cursor.peek()
    if octet == 40:
        return (yield from _group(cursor, keys, depth))
    if octet >= 0 and octet in b"0123456789*$":
        return InSet(number_set(cursor), uid=False)
    word = cursor.keyword()
    if (plain := _PLAIN.get(word)) is not None:
        return plain
    cursor.space()
    if word == b"NOT":
        return Not((yield from _key(cursor, keys, depth + 1)))
    if word == b"OR":
        one = yield from _key(cursor, keys, depth + 1)
        cursor.space()
        return Either(one, (yield from _key(cursor, keys, depth + 1)))
    if (field := _TEXTS.get(word)) is not None:
        return Contains(field, keys.text((yield from astring(cursor))))
    if word == b"HEADER":
        return (yield from _header(cursor, keys))
    if word == b"MODSEQ":
        keys.modseq = True
    if (rule := _VALUES.get(word)) is None:
        raise GrammarError(f"unknown search key {word.decode()}")
    return rule(cursor, word)


def _group(cursor: Cursor, keys: _Keys, depth: int) -> Rule[Key]:
    cursor.opens()
    found = [(yield from _key(cursor, keys, depth + 1))]
    while not cursor.closes():
        found.append((yield from _key(cursor, keys, depth + 1)))
    return found[0] if len(found) == 1 else Every(tuple(found))


def _header(cursor: Cursor, keys: _Keys) -> Rule[Key]:
    name = keys.text((yield from astring(cursor)))
    cursor.space()
    return Contains(f"header:{name.lower()}", keys.text((yield from astring(cursor))))


def _keyword(cursor: Cursor, word: bytes) -> Key:
    return Flagged(cursor.flag().decode(), wanted=word == b"KEYWORD")


def _uid(cursor: Cursor, _word: bytes) -> Key:
    return InSet(number_set(cursor), uid=True)


def _size(cursor: Cursor, word: bytes) -> Key:
    compared = Compared.ABOVE if word == b"LARGER" else Compared.BELOW
    return Sized(compared, cursor.number(_MODSEQ_LIMIT))


def _age(cursor: Cursor, word: bytes) -> Key:
    seconds = cursor.number()
    if not seconds:
        raise GrammarError("an interval is not 0")  # RFC 5032 3: nz-number
    return Aged(seconds, younger=word == b"YOUNGER")


def _modseq(cursor: Cursor, _word: bytes) -> Key:
    entry = _ENTRY.match(cursor.line, cursor.at)
    if entry is not None:  # RFC 7162 3.1.5: we keep one modseq for all flags of a message
        cursor.at = entry.end()
    return Modified(cursor.number(_MODSEQ_LIMIT))


def _ident(cursor: Cursor, word: bytes) -> Key:
    return Email(cursor.atom().decode(), thread=word == b"THREADID")


def _dated(cursor: Cursor, word: bytes) -> Key:
    moment, compared = _DATES[word]
    found = _DATE.match(cursor.line, cursor.at)
    month = month_number(found.group(3)) if found else None
    if found is None or month is None:
        raise GrammarError("date expected, like 1-Feb-2024")
    try:
        day = date(int(found.group(4)), month, int(found.group(2))).toordinal() - _EPOCH
    except ValueError:
        raise GrammarError("there is no such date") from None
    cursor.at = found.end()
    return Dated(moment, compared, day)


_VALUES: dict[bytes, Callable[[Cursor, bytes], Key]] = {
    b"KEYWORD": _keyword,
    b"UNKEYWORD": _keyword,
    b"UID": _uid,
    b"LARGER": _size,
    b"SMALLER": _size,
    b"YOUNGER": _age,
    b"OLDER": _age,
    b"MODSEQ": _modseq,
    b"EMAILID": _ident,
    b"THREADID": _ident,
    **dict.fromkeys(_DATES, _dated),
}
