"""FETCH (RFC 9051 6.4.5, RFC 3516, RFC 7162, RFC 8474, RFC 8514, RFC 8970, RFC 9394)."""

import re

from posthouse.protocol.imap.commands import Fetch, Section, SessionMode
from posthouse.protocol.imap.search_grammar import partial_range
from posthouse.protocol.imap.sets import number_set
from posthouse.protocol.imap.syntax import Cursor, GrammarError, Rule, astring, parenthesised

MAX_ITEMS = 200
_MODSEQ_LIMIT = (1 << 63) - 1
_ITEM = re.compile(rb"[A-Za-z0-9.]+")
_PARTIAL = re.compile(rb"<(\d{1,20})\.(\d{1,20})>")
_LAZY = re.compile(rb" +\( *LAZY *\)", re.IGNORECASE)  # RFC 8970 3.2; FETCH's own modifiers may stand there, too
_NUMBERS = re.compile(rb"[1-9]\d{0,9}(?:\.[1-9]\d{0,9})*")
_MAX_LEVELS = 128

_MACROS = {
    b"ALL": ("FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE"),
    b"FAST": ("FLAGS", "INTERNALDATE", "RFC822.SIZE"),
    b"FULL": ("FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE", "BODY"),
}
_PLAIN = frozenset(
    b"BODY BODYSTRUCTURE EMAILID ENVELOPE FLAGS INTERNALDATE MODSEQ PREVIEW RFC822.SIZE SAVEDATE THREADID UID".split()
)
_OLD = {
    b"RFC822": Section(b"RFC822"),
    b"RFC822.HEADER": Section(b"RFC822.HEADER", text="HEADER", peek=True),
    b"RFC822.TEXT": Section(b"RFC822.TEXT", text="TEXT"),
}


class _Items:
    __slots__ = ("plain", "sections")

    def __init__(self) -> None:
        self.plain: list[str] = []
        self.sections: list[Section] = []

    def add(self, *names: str) -> None:
        self.plain.extend(name for name in names if name not in self.plain)

    def add_section(self, section: Section) -> None:
        if len(self.sections) >= MAX_ITEMS:
            raise GrammarError(f"more than {MAX_ITEMS} sections")
        if section not in self.sections:
            self.sections.append(section)


def fetch(cursor: Cursor, mode: SessionMode, *, uid: bool) -> Rule[Fetch]:
    """Behind FETCH."""
    cursor.space()
    numbers = number_set(cursor)
    cursor.space()
    items = _Items()
    if cursor.peek() == 40:
        cursor.opens()
        yield from _item(cursor, items, macro=False)
        while not cursor.closes():
            yield from _item(cursor, items, macro=False)
    else:
        yield from _item(cursor, items, macro=True)
    changed_since, vanished, partial = _modifiers(cursor, uid=uid)
    if vanished and "QRESYNC" not in mode.enabled:
        raise GrammarError("QRESYNC is to be enabled first")  # RFC 7162 3.2.6
    cursor.end()
    if uid:
        items.add("UID")  # RFC 9051 6.4.9
    if changed_since is not None:
        items.add("MODSEQ")  # RFC 7162 3.1.4.1
    return Fetch(numbers, uid, tuple(items.plain), tuple(items.sections), changed_since, vanished, partial)


def _item(cursor: Cursor, items: _Items, *, macro: bool) -> Rule[None]:
    name = cursor.match(_ITEM, "item to fetch").upper()
    if macro and name in _MACROS:
        items.add(*_MACROS[name])
    elif name in (b"BODY", b"BODY.PEEK", b"BINARY", b"BINARY.PEEK", b"BINARY.SIZE") and cursor.peek() == 91:
        items.add_section((yield from _section(cursor, name)))
    elif name in _PLAIN:
        items.add(name.decode())
        if name == b"PREVIEW" and (lazy := _LAZY.match(cursor.line, cursor.at)):
            cursor.at = lazy.end()
    elif name in _OLD:
        items.add_section(_OLD[name])
    else:
        raise GrammarError(f"unknown item to fetch: {name.decode()}")


def _section(cursor: Cursor, name: bytes) -> Rule[Section]:
    binary = name.startswith(b"BINARY")
    size = name == b"BINARY.SIZE"
    cursor.want(b"[")
    numbers = _part(cursor)
    text = ""
    fields: tuple[bytes, ...] = ()
    label = b".".join(b"%d" % number for number in numbers)
    if cursor.peek() != 93:
        if binary or (numbers and not cursor.takes(b".")):
            raise GrammarError("malformed section")
        text = cursor.match(_ITEM, "section").upper().decode()
        if text not in ("HEADER", "HEADER.FIELDS", "HEADER.FIELDS.NOT", "TEXT", "MIME") or (
            text == "MIME" and not numbers
        ):
            raise GrammarError("unknown section")
        label += (b"." if numbers else b"") + text.encode()
        if text.startswith("HEADER.FIELDS"):
            cursor.space()
            names = yield from parenthesised(cursor, astring)
            fields = tuple(field.upper() for field in names)
            label += b" (%b)" % b" ".join(map(_field, names))
    cursor.skip()
    cursor.want(b"]")
    partial = None if size else _octets(cursor)
    label = b"%b[%b]" % (b"BINARY.SIZE" if size else b"BINARY" if binary else b"BODY", label)
    if partial is not None:
        label += b"<%d>" % partial[0]
    return Section(label, numbers, text, fields, partial, name.endswith(b".PEEK") or size, binary, size)


def _part(cursor: Cursor) -> tuple[int, ...]:
    found = _NUMBERS.match(cursor.line, cursor.at)
    if found is None:
        return ()
    cursor.at = found.end()
    numbers = tuple(map(int, found.group().split(b".")))
    if len(numbers) > _MAX_LEVELS:
        raise GrammarError("too many levels of parts")
    return numbers


def _field(name: bytes) -> bytes:
    if name.isascii() and name.replace(b"-", b"").replace(b"_", b"").isalnum():
        return name
    if any(octet < 32 or octet in b'"\\' for octet in name):
        raise GrammarError("there is no such header field")
    return b'"%b"' % name


def _octets(cursor: Cursor) -> tuple[int, int] | None:
    if cursor.peek() != 60:
        return None
    found = _PARTIAL.match(cursor.line, cursor.at)
    if found is None:
        raise GrammarError("malformed range of octets")
    cursor.at = found.end()
    first, count = int(found.group(1)), int(found.group(2))
    if first > _MODSEQ_LIMIT or count > _MODSEQ_LIMIT:
        raise GrammarError("range of octets out of bounds")
    return first, count


def _modifiers(cursor: Cursor, *, uid: bool) -> tuple[int | None, bool, tuple[int, int] | None]:
    if cursor.ended:
        return None, False, None
    cursor.space()
    cursor.opens()
    changed_since, vanished, partial = None, False, None
    while True:
        word = cursor.keyword()
        if word == b"CHANGEDSINCE":
            cursor.space()
            changed_since = cursor.number(_MODSEQ_LIMIT)
        elif word == b"VANISHED" and uid:
            vanished = True
        elif word == b"PARTIAL" and uid:
            cursor.space()
            partial = partial_range(cursor)
        else:
            raise GrammarError(f"unknown FETCH modifier {word.decode()}")
        if cursor.closes():
            break
    if vanished and changed_since is None:
        raise GrammarError("VANISHED goes with CHANGEDSINCE only")  # RFC 7162 3.2.6
    return changed_since, vanished, partial
