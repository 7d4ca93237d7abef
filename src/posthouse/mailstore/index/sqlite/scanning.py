"""Finds needles in the texts of many messages, by looking at all of them.

Theory of operation. There is no index of words or of trigrams. The texts of some messages come out of SQLite as one
blob a column, in one step, and a vectorized search goes through it at several gigabytes a second: a thousand messages
take a millisecond or so, and it makes little difference whether the needle is rare or common, short or long, or made
of quotes. Decision 015 says why not FTS5.

Texts end with a line break, and no needle has one, so nothing is found across the border of two texts.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import accumulate

import apsw
import msgspec
import stringzilla

from posthouse.mailstore.index.records import BREAK, folded
from posthouse.mailstore.index.sqlite.queries import keys_of
from posthouse.mailstore.sqlite.rows import fetch, numbers

_STEP = 64  # texts in one blob
_LONG = 64 * 1024  # octets; longer ones come one at a time, so that a blob has a bound
_FIELDS = frozenset({"subject", "from", "to", "cc", "bcc"})
_numbers = msgspec.json.Decoder(list[int])
_find: Callable[[bytes, bytes, int, int], int] = stringzilla.find


class TextScan:
    """Finds messages whose field has a needle (octets of folded text). Fields as MessageIndex.contains() has them."""

    def __init__(self, field: str, needle: bytes) -> None:
        self._among: Callable[[apsw.Connection, Sequence[int]], Iterable[int]]
        if field in _FIELDS and needle:
            statement = f"""
                SELECT json_group_array(id) FROM field
                WHERE id IN (SELECT value FROM carray(?1)) AND instr("{field}", ?2)
            """
            self._among = partial(_in_column, statement, needle)
        elif field == "text":
            self._among = _Scan(("header", "parts", "body"), _Anywhere(needle)).run
        elif field == "body":
            self._among = _Scan(("body",), _Anywhere(needle)).run
        else:
            self._among = _Scan(("header",), _Field(folded(field.removeprefix("header:")), needle)).run

    def find(self, connection: apsw.Connection, account: int, messages: Sequence[int]) -> list[int]:
        """Ids of those of the messages that have it."""
        keys = keys_of(connection, account, messages)
        return [] if keys is None else [row - keys.base for row in self._among(connection, keys.rows)]


class _Anywhere:
    def __init__(self, needle: bytes) -> None:
        self._needle = needle

    def find(self, text: bytes, start: int) -> int:
        """Where the next match is, or -1."""
        return _find(text, self._needle, start, len(text))


class _Field:
    """Finds lines "name: value" of a header whose value has the needle. Each begins with a line break."""

    def __init__(self, name: bytes, needle: bytes) -> None:
        self._name = BREAK + name + b":"
        self._needle = needle

    def find(self, text: bytes, start: int) -> int:
        """Where the next match is, or -1."""
        at = _find(text, self._name, start, len(text))
        while at >= 0:
            value = at + len(self._name)
            end = _find(text, BREAK, value, len(text))
            end = end if end >= 0 else len(text)
            if not self._needle or _find(text, self._needle, min(value + 1, end), end) >= 0:
                return at
            at = _find(text, self._name, end, len(text))
        return -1


class _Scan:
    """Looks for something in columns of `text`."""

    def __init__(self, columns: Sequence[str], what: _Anywhere | _Field) -> None:
        self._what = what
        self._columns = columns
        lengths = [f"json_group_array(octet_length({column}) + 1)" for column in columns]
        texts = [
            f"cast(group_concat(iif(octet_length({column}) < {_LONG}, {column}, ''), x'0a') AS BLOB)"
            for column in columns
        ]
        self._statement = f"""
            SELECT json_group_array(id), {", ".join(lengths + texts)}
            FROM text WHERE id IN (SELECT value FROM carray(?1))
        """

    def run(self, connection: apsw.Connection, rows: Sequence[int]) -> set[int]:
        """The rows found."""
        found: set[int] = set()
        count = len(self._columns)
        for start in range(0, len(rows), _STEP):
            ids, *rest = fetch(connection, self._statement, (numbers(rows[start : start + _STEP]),))[0]
            keys = _numbers.decode(ids)
            for column, lengths, octets in zip(self._columns, rest[:count], rest[count:], strict=True):
                ends = list(accumulate(self._look_at_long(connection, column, keys, _numbers.decode(lengths), found)))
                found.update(keys[at] for at in self._hits(octets or b"", ends))
        return found

    def _look_at_long(
        self, connection: apsw.Connection, column: str, keys: list[int], lengths: list[int], found: set[int]
    ) -> list[int]:
        """Look at what was too long for the blob; the lengths of what is there."""
        for at, length in enumerate(lengths):
            if length > _LONG:
                lengths[at] = 1
                text = fetch(connection, f"SELECT {column} FROM text WHERE id = ?1", (keys[at],))[0][0]
                if keys[at] not in found and self._what.find(text, 0) >= 0:
                    found.add(keys[at])
        return lengths

    def _hits(self, octets: bytes, ends: list[int]) -> Iterator[int]:
        """Which of the texts in a blob have it. `ends`: where they end, with the break behind."""
        start, end = 0, ends[-1] if ends else 0
        while start < end and (hit := self._what.find(octets, start)) >= 0:
            at = bisect_right(ends, hit)
            yield at
            start = ends[at]


def _in_column(statement: str, needle: bytes, connection: apsw.Connection, rows: Sequence[int]) -> list[int]:
    return _numbers.decode(fetch(connection, statement, (numbers(rows), needle))[0][0])
