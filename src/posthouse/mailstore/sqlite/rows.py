"""Statements over many rows at once.

A statement costs a hand-over of the interpreter's lock, to the event loop and back; in a batch that costs more
than its rows.
"""

from array import array
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import chain
from typing import Any

import apsw

Value = int | str | bytes | None
_SIZES = (128, 64, 32, 16, 8, 4, 2, 1)  # few lengths of statement, so that each stays prepared


class Insert:
    """INSERT ... VALUES (...), (...), ... with `tail` behind the rows."""

    def __init__(self, head: str, width: int, tail: str = "") -> None:
        self._head = head
        self._width = width
        self._tail = tail

    def run(self, connection: apsw.Connection, rows: Sequence[tuple[Value, ...]]) -> None:
        """Insert them, in order."""
        done = 0
        for size, statement in self._statements:
            while len(rows) - done >= size:
                connection.execute(statement, tuple(chain.from_iterable(rows[done : done + size])))
                done += size

    @cached_property
    def _statements(self) -> list[tuple[int, str]]:
        return [(size, f"{self._head} VALUES {_tuples(size, self._width)} {self._tail}") for size in _SIZES]


class Lookup:
    """A query over a table `wanted (columns)` that is given with the call."""

    def __init__(self, columns: Sequence[str], query: str) -> None:
        self._width = len(columns)
        self._head = f"WITH wanted ({', '.join(columns)}) AS (VALUES "
        self._query = f") {query}"

    def run(self, connection: apsw.Connection, wanted: Sequence[tuple[Value, ...]]) -> Iterable[tuple[Any, ...]]:
        """The rows found, in no order; the same row may come more than once."""
        for start in range(0, len(wanted), _SIZES[0]):
            part = list(wanted[start : start + _SIZES[0]])
            size = next(size for size in reversed(_SIZES) if size >= len(part))
            part += part[-1:] * (size - len(part))
            yield from connection.execute(self._statements[size], tuple(chain.from_iterable(part)))

    @cached_property
    def _statements(self) -> dict[int, str]:
        return {size: f"{self._head}{_tuples(size, self._width)}{self._query}" for size in _SIZES}


def fetch(connection: apsw.Connection, statement: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Run a statement to its end."""
    return connection.execute(statement, values).fetchall()


def numbers(values: Iterable[int]) -> Any:
    """For `IN (SELECT value FROM carray(?))`. There must be at least one."""
    return apsw.carray(array("q", values))


def _tuples(rows: int, width: int) -> str:
    return ", ".join(["(" + ", ".join("?" * width) + ")"] * rows)
