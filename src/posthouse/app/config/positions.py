"""Where keys and values stand in a TOML text: lines and columns for error messages.

The standard library's reader gives values without places. This scanner runs after it, over a text known to be
valid, so it only has to find borders: it never judges.
"""

import re
import tomllib
from dataclasses import dataclass

Path = tuple[str | int, ...]

_SPACE = re.compile(r"[ \t]*")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)*")
_KEY = re.compile(r"""[A-Za-z0-9_-]+|"(?:\\.|[^"\\])*"|'[^']*'""")
_VALUE = re.compile(
    r'''
    """(?:\\.|[^\\])*?"{3,5} | \'\'\'.*?\'{3,5}   # multi-line strings may end in up to two quotes of their own
    | "(?:\\.|[^"\\])*" | '[^']*'
    | [^,\]}\#\r\n]+                              # numbers, booleans, dates (which may hold one space)
    ''',
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Place:
    """A stretch of text on one line, both counted from 1; `length` ends at the line's end at the latest."""

    line: int
    column: int
    length: int


@dataclass(frozen=True, slots=True)
class Spot:
    """Where one setting stands: its key and its value."""

    key: Place
    value: Place


def locate(text: str) -> dict[Path, Spot]:
    """Find every key of a valid TOML text; list items are found as the list's path and their index."""
    return _Scanner(text).scan()


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._spots: dict[Path, Spot] = {}
        self._tables: dict[Path, int] = {}  # arrays of tables: how many there are so far

    def scan(self) -> dict[Path, Spot]:
        table: Path = ()
        while self._skip(_BLANK) < len(self._text):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)
        return self._spots

    def _skip(self, pattern: re.Pattern[str]) -> int:
        match = pattern.match(self._text, self._at)
        assert match is not None  # both patterns match the empty text
        self._at = match.end()
        return self._at

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            raise ValueError(f"not TOML at offset {self._at}")
        self._at = match.end()
        return match[0]

    def _place(self, start: int, end: int) -> Place:
        line_start = self._text.rfind("\n", 0, start) + 1
        line_end = self._text.find("\n", start, end)
        stop = end if line_end < 0 else line_end
        return Place(self._text.count("\n", 0, start) + 1, start - line_start + 1, max(1, stop - start))

    def _header(self) -> Path:
        start = self._at
        brackets = 2 if self._text.startswith("[[", start) else 1
        self._at += brackets
        path = self._resolved(self._key())
        self._skip(_SPACE)
        self._at += brackets
        place = self._place(start, self._at)
        if brackets == 2:
            index = self._tables.get(path, -1) + 1
            self._tables[path] = index
            self._spots.setdefault(path, Spot(place, place))
            path = (*path, index)
        self._spots[path] = Spot(place, place)
        return path

    def _resolved(self, path: Path) -> Path:
        """A header below an array of tables speaks of its last table."""
        whole: Path = ()
        for part in path[:-1]:
            whole = (*whole, part)
            if whole in self._tables:
                whole = (*whole, self._tables[whole])
        return (*whole, path[-1])

    def _key(self) -> Path:
        parts: list[str | int] = []
        while True:
            self._skip(_SPACE)
            token = self._take(_KEY)
            parts.append(next(iter(tomllib.loads(f"{token} = 0"))))
            self._skip(_SPACE)
            if not self._text.startswith(".", self._at):
                return tuple(parts)
            self._at += 1

    def _pair(self, table: Path) -> None:
        start = self._at
        key = self._key()
        key_place = self._place(start, start + len(self._text[start : self._at].rstrip()))
        self._at += 1  # "="
        self._skip(_SPACE)
        path = (*table, *key)
        value_place = self._value(path)
        for length in range(len(table) + 1, len(path)):  # the tables that a dotted key makes
            self._spots.setdefault(path[:length], Spot(key_place, value_place))
        self._spots[path] = Spot(key_place, value_place)

    def _value(self, path: Path) -> Place:
        start = self._at
        opening = self._text[start]
        if opening == "[":
            self._list(path)
        elif opening == "{":
            self._inline_table(path)
        else:
            token = self._take(_VALUE)
            self._at = start + len(token.rstrip())
        return self._place(start, self._at)

    def _list(self, path: Path) -> None:
        self._at += 1
        index = 0
        while self._skip(_BLANK) < len(self._text) and self._text[self._at] != "]":
            place = self._value((*path, index))
            self._spots[(*path, index)] = Spot(place, place)
            index += 1
            self._skip(_BLANK)
            self._at += self._text.startswith(",", self._at)
        self._at += 1

    def _inline_table(self, path: Path) -> None:
        self._at += 1
        while self._skip(_BLANK) < len(self._text) and self._text[self._at] != "}":
            self._pair(path)
            self._skip(_BLANK)
            self._at += self._text.startswith(",", self._at)
        self._at += 1
