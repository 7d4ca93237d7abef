"""The tokens of IMAP's grammar (RFC 9051 9), read from a line that may go on behind a literal.

A grammar rule that may meet a literal is a generator: it yields what it wants, is given the octets, and finds the rest
of the command in the cursor. All others are plain methods.
"""

import re
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

_ATOM = re.compile(rb'[^\x00-\x20(){%*"\\\]\x7f-\xff]+')
_ASTRING = re.compile(rb'[^\x00-\x20(){%*"\\\x7f-\xff]+')
_PATTERN = re.compile(rb'[^\x00-\x20(){"\\\x7f]+')  # list-mailbox; 8-bit as rev2 clients send it
_TAG = re.compile(rb'[^\x00-\x20(){%*"\\+\x7f-\xff]{1,128}')
_KEYWORD = re.compile(rb"[A-Za-z0-9.=+\-]+")
_QUOTED = re.compile(rb'"((?:[^"\\\r\n\0]|\\["\\])*)"')
_NUMBER = re.compile(rb"\d{1,20}")
_SPACES = re.compile(rb" *")
_NEXT_WORD = re.compile(rb" *([A-Za-z0-9.=+\-]*)")
_LITERAL = re.compile(rb"(~?)\{(\d{1,20})([+-]?)\}\Z")
_ESCAPED = re.compile(rb'\\(["\\])')
_FLAG = re.compile(rb'\\?[^\x00-\x20(){%*"\\\]\x7f-\xff]+')


class GrammarError(ValueError):
    """The command is not grammatical; the text says why, in words for the client's author."""


class MailboxNameError(GrammarError):
    """What stands where a mailbox belongs is no name: NO, not BAD, for it may be what the user has typed."""


@dataclass(frozen=True, slots=True)
class Literal:
    """What a rule wants: that many octets, announced at the end of the line."""

    octets: int
    synchronous: bool  # the client waits for a word from us (RFC 7888)
    binary: bool  # literal8, may hold NUL (RFC 3516)
    message: "Message | None" = None  # set: the octets are a message, and are not given to the rule


@dataclass(frozen=True, slots=True)
class Message:
    """What goes before the octets of a message in APPEND and REPLACE."""

    mailbox: bytes
    flags: tuple[bytes, ...]
    date: int | None  # seconds since 1970
    replacing: bool = False  # another one goes in its stead


Rule = Generator[Literal, bytes, T]


class Cursor:
    """A line without its CRLF, and where in it we are.

    The grammar wants one space between two arguments and none elsewhere. Clients write more, between them, inside of
    parentheses and at the end of the line; there they say nothing, and are taken.
    """

    __slots__ = ("_end", "at", "line")

    def __init__(self, line: bytes) -> None:
        self.go_on(line)

    def go_on(self, line: bytes) -> None:
        """The line behind a literal."""
        self.line = line
        self.at = 0
        self._end = len(line.rstrip(b" "))

    @property
    def ended(self) -> bool:
        """Whether nothing more stands in this line."""
        return self.at >= self._end

    def rest(self) -> bytes:
        """All that has not been looked at."""
        return self.line[self.at : self._end]

    def peek(self) -> int:
        """The octet at hand; -1 at the end."""
        return self.line[self.at] if self.at < len(self.line) else -1

    def sees(self, token: bytes) -> bool:
        """Whether that is what comes next; capitals do not matter."""
        return self.line[self.at : self.at + len(token)].upper() == token

    def takes(self, token: bytes) -> bool:
        """Go past the token if it is next."""
        if self.sees(token):
            self.at += len(token)
            return True
        return False

    def want(self, token: bytes) -> None:
        """Go past the token. Raises GrammarError."""
        if not self.takes(token):
            raise GrammarError(f"{_named(token)} expected{self._place()}")

    def skip(self) -> None:
        """Go past spaces, if there are any."""
        found = _SPACES.match(self.line, self.at)
        assert found is not None
        self.at = found.end()

    def space(self) -> None:
        """Go past the space between two arguments."""
        if self.ended or self.peek() != 32:
            raise GrammarError("space or argument expected" + self._place())
        self.skip()

    def opens(self) -> None:
        """Go past the parenthesis that opens a list. Raises GrammarError."""
        self.want(b"(")
        self.skip()

    def shuts(self) -> None:
        """Go past the parenthesis that ends a list. Raises GrammarError."""
        self.skip()
        self.want(b")")

    def closes(self) -> bool:
        """Go past the end of a list, or else past the space in front of its next item. Raises GrammarError."""
        before = self.at
        self.skip()
        if self.takes(b")"):
            return True
        if self.at == before:
            raise GrammarError("space or argument expected" + self._place())
        return False

    def end(self) -> None:
        """Nothing may follow."""
        if not self.ended:
            raise GrammarError("too many arguments" + self._place())

    def match(self, pattern: re.Pattern[bytes], what: str) -> bytes:
        """Go past what the pattern matches. Raises GrammarError."""
        found = pattern.match(self.line, self.at)
        if found is None:
            raise GrammarError(f"{what} expected{self._place()}")
        self.at = found.end()
        return found.group()

    def tag(self) -> bytes:
        """The tag of a command."""
        return self.match(_TAG, "tag")

    def atom(self) -> bytes:
        """An atom."""
        return self.match(_ATOM, "atom")

    def keyword(self) -> bytes:
        """A word of the grammar, in capitals."""
        return self.match(_KEYWORD, "word").upper()

    def next_word(self) -> str:
        """The word behind the space at hand, in capitals, to speak of it; "" when there is none."""
        found = _NEXT_WORD.match(self.line, self.at)
        assert found is not None
        return found.group(1).decode().upper()

    def number(self, limit: int = (1 << 32) - 1) -> int:
        """A number up to `limit`."""
        number = int(self.match(_NUMBER, "number"))
        if number > limit:
            raise GrammarError(f"number too large{self._place()}")
        return number

    def flag(self) -> bytes:
        """A flag or keyword."""
        return self.match(_FLAG, "flag")

    def flags(self) -> tuple[bytes, ...]:
        """A list of flags in parentheses."""
        return tuple(self.listed(self.flag, empty=True))

    def listed(self, item: Callable[[], T], *, empty: bool = False) -> list[T]:
        """Items in parentheses, a space between two."""
        self.opens()
        found: list[T] = []
        if empty and self.takes(b")"):
            return found
        found.append(item())
        while not self.closes():
            found.append(item())
        return found

    def quoted(self) -> bytes:
        """A quoted string."""
        found = _QUOTED.match(self.line, self.at)
        if found is None:
            raise GrammarError("unfinished quoted string" + self._place())
        self.at = found.end()
        text = found.group(1)
        return _ESCAPED.sub(rb"\1", text) if b"\\" in text else text

    def literal(self, message: Message | None = None) -> Literal:
        """The announcement of a literal, which ends the line."""
        found = _LITERAL.match(self.line, self.at)
        if found is None:
            raise GrammarError("malformed literal" + self._place())
        self.at = len(self.line)
        return _literal(found, message)

    def _place(self) -> str:
        return f" at octet {self.at + 1}"


def astring(cursor: Cursor) -> Rule[bytes]:
    """An atom (with "]") or a string."""
    octet = cursor.peek()
    if octet == 34:
        return cursor.quoted()
    if octet == 123:
        return (yield cursor.literal())
    return cursor.match(_ASTRING, "string")


def nstring(cursor: Cursor) -> Rule[bytes | None]:
    """NIL or a string; an atom for a string that lacks its quotes."""
    if cursor.takes(b"NIL"):
        return None
    if cursor.sees(b"~{"):
        return (yield cursor.literal())
    return (yield from astring(cursor))


def pattern(cursor: Cursor) -> Rule[bytes]:
    """A mailbox pattern of LIST."""
    octet = cursor.peek()
    if octet == 34:
        return cursor.quoted()
    if octet == 123:
        return (yield cursor.literal())
    return cursor.match(_PATTERN, "mailbox pattern")


def parenthesised(cursor: Cursor, item: Callable[[Cursor], Rule[T]]) -> Rule[list[T]]:
    """Items in parentheses, a space between two."""
    cursor.opens()
    found = [(yield from item(cursor))]
    while not cursor.closes():
        found.append((yield from item(cursor)))
    return found


def announced(line: bytes) -> Literal | None:
    """The literal that is announced at the end of a line, whatever stands before it."""
    found = _LITERAL.search(line)
    return _literal(found, None) if found else None


def _literal(found: re.Match[bytes], message: Message | None) -> Literal:
    # RFC 7888 5: "-" is LITERAL-'s, which we take for "+": what is larger than it allows is refused by its size.
    return Literal(int(found.group(2)), not found.group(3), bool(found.group(1)), message)


def _named(token: bytes) -> str:
    return token.decode("ascii", "replace").strip() or "space"
