"""Which units are committed together."""

from typing import Any

from posthouse.database.batches import BatchQueue
from posthouse.database.work import Unit

MIB = 1 << 20


class Sized(Unit[None]):
    def __init__(self, octets: int) -> None:
        super().__init__()
        self.octets = octets


def sizes(batch: list[Any]) -> list[int]:
    return [unit.octets for unit in batch]


def queue(*octets: int, units: int = 100, most: int = 10 * MIB) -> BatchQueue[Sized]:
    waiting = BatchQueue[Sized](units, most)
    waiting.extend(map(Sized, octets))
    return waiting


def test_batches_are_bounded_and_in_order() -> None:
    waiting = queue(1, 2, 3, 4, 5, units=2)
    assert [sizes(waiting.take()) for _ in range(4)] == [[1, 2], [3, 4], [5], []]
    waiting = queue(600, 300, 200, most=1000)
    assert [sizes(waiting.take()) for _ in range(2)] == [[600, 300], [200]]


def test_one_that_is_beyond_the_bound_goes_alone() -> None:
    assert sizes(queue(2000, 1, most=1000).take()) == [2000]


def test_large_ones_go_apart_in_every_other_batch() -> None:
    waiting = queue(1, 5 * MIB, 2, 5 * MIB, 3)
    assert sizes(waiting.take()) == [5 * MIB]
    waiting.extend([Sized(4)])
    assert sizes(waiting.take()) == [1, 2, 3, 4]
    assert sizes(waiting.take()) == [5 * MIB]
    assert not waiting and waiting.take() == []


def test_large_ones_alone_need_not_wait() -> None:
    waiting = queue(5 * MIB, 2 * MIB, 5 * MIB)
    assert [sizes(waiting.take()) for _ in range(2)] == [[5 * MIB, 2 * MIB], [5 * MIB]]


def test_all_that_wait() -> None:
    waiting = queue(1, 5 * MIB)
    assert sizes(waiting.take_all()) == [1, 5 * MIB] and not waiting
