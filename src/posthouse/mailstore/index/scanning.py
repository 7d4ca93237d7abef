"""Finds needles in the texts of many messages, by looking at all of them.

Theory of operation. There is no index of words or of trigrams. The texts of a hundred messages come out of SQLite as
one blob, in one step, and a vectorized search goes through it at several gigabytes a second: a thousand messages take
about a millisecond, and it makes no difference whether the needle is rare or common, short or long, or made of quotes.
(FTS5 with trigrams was measured: about a hundred times the work for each message and four times the space, for answers
that are not faster when words are common.)

Texts end with a line break, and no needle has one, so nothing is found across the border of two texts.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate

import apsw
import msgspec
import stringzilla

from posthouse.mailstore.index.queries import keys_of
from posthouse.mailstore.index.records import BREAK, folded
from posthouse.mailstore.sqlite.rows import fetch, numbers

_STEP = 128  # texts in one blob
_LONG = 64 * 1024  # octets; longer ones come one at a time, so that a blob has a bound
_FIELDS = frozenset({"subject", "from", "to", "cc", "bcc"})
_numbers = msgspec.json.Decoder(list[int])
_find: Callable[[bytes, bytes, int, int], int] = stringzilla.find


class Search:
    """Finds messages whose field has a needle (octets of folded text). Fields as MessageIndex.contains() has them."""

    def __init__(self, field: str, needle: bytes) -> None:
        self._among: Callable[[apsw.Connection, Sequence[int]], list[int]]
        if field in _FIELDS:
            statement = f"""
                SELECT json_group_array(id) FROM field
                WHERE id IN (SELECT value FROM carray(?1)) AND instr("{field}", ?2)
            """
            self._among = partial(_in_column, statement, needle)
        elif field == "text":
            self._among = _Scan("header || x'0a' || body", _Anywhere(needle)).run
        elif field == "body":
            self._among = _Scan("body", _Anywhere(needle)).run
        else:
            self._among = _Scan("header", _Field(folded(field.removeprefix("header:")), needle)).run

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
            if not self._needle or _find(text, self._needle, min(value + 1, end), end) >= 0:
                return at
            at = _find(text, self._name, end, len(text))
        return -1


class _Scan:
    """Looks for something in an expression over the columns of `text`."""

    def __init__(self, expression: str, what: _Anywhere | _Field) -> None:
        self._what = what
        octets = " + ".join(f"octet_length({part})" for part in expression.split(" || "))
        self._many = f"""
            SELECT json_group_array(id), json_group_array({octets} + 1), cast(group_concat(
                CASE WHEN {octets} < {_LONG} THEN {expression} || x'0a' ELSE '' END, '') AS BLOB)
            FROM text WHERE id IN (SELECT value FROM carray(?1))
        """
        self._one = f"SELECT cast({expression} || x'0a' AS BLOB) FROM text WHERE id = ?1"

    def run(self, connection: apsw.Connection, rows: Sequence[int]) -> list[int]:
        """The rows found."""
        found: list[int] = []
        for start in range(0, len(rows), _STEP):
            ids, lengths, octets = fetch(connection, self._many, (numbers(rows[start : start + _STEP]),))[0]
            self._look(_numbers.decode(ids), _numbers.decode(lengths), octets or b"", connection, found)
        return found

    def _look(
        self, ids: list[int], lengths: list[int], octets: bytes, connection: apsw.Connection, found: list[int]
    ) -> None:
        for at, length in enumerate(lengths):
            if length > _LONG:
                lengths[at] = 0
                text = fetch(connection, self._one, (ids[at],))[0][0]
                if self._what.find(text, 0) >= 0:
                    found.append(ids[at])
        ends = list(accumulate(lengths))
        start = 0
        while start < len(octets) and (hit := self._what.find(octets, start)) >= 0:
            at = bisect_right(ends, hit)
            found.append(ids[at])
            start = ends[at]


def _in_column(statement: str, needle: bytes, connection: apsw.Connection, rows: Sequence[int]) -> list[int]:
    return _numbers.decode(fetch(connection, statement, (numbers(rows), needle))[0][0])
