"""Which of the units that wait are committed together. See commit.py."""

from collections import deque
from collections.abc import Iterable
from typing import Any, Generic, TypeVar

from posthouse.database.work import Unit

U = TypeVar("U", bound=Unit[Any])

MAX_UNITS = 512
MAX_OCTETS = 32 * 1024 * 1024
_LARGE = 1024 * 1024  # octets of a unit that others do not wait for
_LARGE_TOGETHER = 8 * 1024 * 1024  # octets of large units in one batch


class BatchQueue(Generic[U]):
    """The units that wait, in order. Used by one thread."""

    def __init__(self, max_units: int, max_octets: int) -> None:
        self._max_units = max_units
        self._max_octets = max_octets
        self._waiting: deque[U] = deque()
        self._had_large = False  # the last batch

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def extend(self, units: Iterable[U]) -> None:
        """Put units behind the others."""
        self._waiting.extend(units)

    def take(self) -> list[U]:
        """The next batch; empty when nothing waits. Large units go apart, in every other batch at most."""
        large = [unit for unit in self._waiting if unit.octets > _LARGE]
        if large and (not self._had_large or len(large) == len(self._waiting)):
            batch = _bounded(large, self._max_units, _LARGE_TOGETHER)
        else:
            small = self._waiting if not large else [unit for unit in self._waiting if unit.octets <= _LARGE]
            batch = _bounded(small, self._max_units, self._max_octets)
        self._had_large = bool(large and batch[0] is large[0])
        if len(batch) == len(self._waiting):
            self._waiting.clear()
        else:
            taken = set(map(id, batch))
            self._waiting = deque(unit for unit in self._waiting if id(unit) not in taken)
        return batch

    def take_all(self) -> list[U]:
        """All that wait."""
        everything = list(self._waiting)
        self._waiting.clear()
        return everything


def _bounded(units: Iterable[U], most: int, octets: int) -> list[U]:
    """The first ones: one at least, `most` at most, and together no more than so many octets."""
    batch: list[U] = []
    total = 0
    for unit in units:
        total += unit.octets
        if batch and (len(batch) == most or total > octets):
            break
        batch.append(unit)
    return batch
