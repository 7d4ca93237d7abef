import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import apsw
import pytest

from posthouse.database.commit import GroupCommit
from posthouse.database.connection import open_connection
from posthouse.database.errors import DatabaseClosedError, DatabaseError, DatabaseFullError
from posthouse.database.locks import FileLock
from posthouse.database.work import Unit


class Add(Unit[int]):
    """Adds a number to the table."""

    __slots__ = ("frees_space", "needs_preparing", "number", "octets")

    def __init__(self, number: int, *, octets: int = 0, frees_space: bool = False) -> None:
        super().__init__()
        self.number = number
        self.octets = octets
        self.frees_space = frees_space
        self.needs_preparing = True


class Adder:
    """Records what it is asked to do; `spoil` may raise what a disk or a mistake would."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.announced: list[list[int]] = []
        self.rooms_made = 0
        self.commits: list[tuple[int, list[int]]] = []
        self.rollbacks: list[tuple[int, str]] = []
        self.reached = threading.Event()
        self.gate = threading.Event()
        self.gate.set()
        self.spoil_prepare: Callable[[Add], None] = lambda unit: None
        self.spoil: Callable[[Add], None] = lambda unit: None

    def prepare(self, connection: apsw.Connection, units: Sequence[Add]) -> int:
        """What it gives stands for the batch: its number, from 1."""
        self.reached.set()
        self.gate.wait(10)
        self.batches.append([unit.number for unit in units])
        for unit in units:
            self.spoil_prepare(unit)
        return len(self.batches)

    def apply(self, connection: apsw.Connection, units: Sequence[Add]) -> None:
        for unit in units:
            connection.execute("INSERT INTO t VALUES (?)", (unit.number,))
            self.spoil(unit)
            unit.result = unit.number * 10

    def committed(self, prepared: int, units: Sequence[Add]) -> None:
        self.commits.append((prepared, [unit.number for unit in units if unit.failure is None]))

    def rolled_back(self, prepared: int, error: Exception) -> None:
        self.rollbacks.append((prepared, type(error).__name__))

    @contextmanager
    def room(self) -> Iterator[None]:
        self.rooms_made += 1
        yield

    def announce(self, units: Sequence[Add]) -> None:
        self.announced.append([unit.number for unit in units])


class Fixture:
    """A group commit on a file of its own."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "x.db"
        open_connection(self.path).execute("CREATE TABLE t (n PRIMARY KEY)")
        self.lock = FileLock(folder / "lock")
        self.adder = Adder()
        self.connections = 0
        self.commit: GroupCommit[Add] = GroupCommit(self.connect, self.lock, self.adder, max_units=50, max_octets=1000)

    def connect(self) -> apsw.Connection:
        self.connections += 1
        return open_connection(self.path)

    async def reached(self) -> None:
        """Until the commit thread has taken a batch."""
        await asyncio.to_thread(self.adder.reached.wait, 10)

    def rows(self) -> list[object]:
        return [number for (number,) in open_connection(self.path).execute("SELECT n FROM t ORDER BY n")]

    async def add(self, *numbers: int) -> list[object]:
        outcomes: list[object] = await asyncio.gather(
            *(self.commit.run(Add(number)) for number in numbers), return_exceptions=True
        )
        return outcomes


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Fixture]:
    made = Fixture(tmp_path)
    yield made
    await made.commit.close()


def refuse(numbers: set[int], error: Exception) -> Callable[[Add], None]:
    def spoil(unit: Add) -> None:
        if unit.number in numbers:
            raise error

    return spoil


async def test_all_that_is_submitted_at_once_is_one_batch(house: Fixture) -> None:
    assert await house.add(1, 2, 3) == [10, 20, 30]
    assert house.adder.batches == [[1, 2, 3]]
    assert house.adder.announced == [[1, 2, 3]]
    assert house.rows() == [1, 2, 3]


async def test_a_batch_is_bounded_in_count(house: Fixture) -> None:
    await house.add(*range(120))
    assert [len(batch) for batch in house.adder.batches] == [50, 50, 20]


async def test_a_batch_is_bounded_in_octets(house: Fixture) -> None:
    await asyncio.gather(
        *(house.commit.run(Add(number, octets=size)) for number, size in enumerate([400] * 4 + [5000]))
    )
    assert house.adder.batches == [[0, 1], [2, 3], [4]]


async def test_small_ones_wait_for_one_batch_of_large_ones(house: Fixture) -> None:
    """And large ones for one batch of small ones; several that are only just large go together."""
    mib = 1 << 20
    sizes = [40 * mib, 40 * mib, 3 * mib, 3 * mib, 3 * mib, 40 * mib] + [1] * 120
    house.adder.gate.clear()
    first = asyncio.create_task(house.commit.run(Add(1000)))
    await house.reached()
    rest = [asyncio.create_task(house.commit.run(Add(number, octets=size))) for number, size in enumerate(sizes)]
    await asyncio.sleep(0.01)
    house.adder.gate.set()
    await asyncio.gather(first, *rest)
    small = list(range(6, 126))
    assert house.adder.batches == [[1000], [0], small[:50], [1], small[50:100], [2, 3], small[100:], [4], [5]]


async def test_what_comes_during_a_commit_waits_together(house: Fixture) -> None:
    house.adder.gate.clear()
    first = asyncio.create_task(house.commit.run(Add(1)))
    await house.reached()
    later = [asyncio.create_task(house.commit.run(Add(number))) for number in (2, 3)]
    await asyncio.sleep(0.01)
    house.adder.gate.set()
    await asyncio.gather(first, *later)
    assert house.adder.batches == [[1], [2, 3]]


async def test_an_exception_fails_its_own_unit_only(house: Fixture) -> None:
    house.adder.spoil = refuse({2, 4}, KeyError("mine"))
    outcomes = await house.add(1, 2, 3, 4, 5)
    assert [outcomes[0], outcomes[2], outcomes[4]] == [10, 30, 50]
    assert isinstance(outcomes[1], KeyError)
    assert isinstance(outcomes[3], KeyError)
    assert house.rows() == [1, 3, 5]
    assert house.adder.announced == [[1, 3, 5]]


async def test_a_broken_constraint_fails_its_own_unit_only(house: Fixture) -> None:
    await house.add(7)
    outcomes = await house.add(6, 7, 8)
    assert isinstance(outcomes[1], apsw.ConstraintError)
    assert house.rows() == [6, 7, 8]


async def test_a_unit_that_could_not_be_prepared_fails_alone(house: Fixture) -> None:
    def spoil(unit: Add) -> None:
        if unit.number == 2:
            unit.failure = OSError("no")

    house.adder.spoil_prepare = spoil
    outcomes = await house.add(1, 2, 3)
    assert isinstance(outcomes[1], OSError)
    assert house.rows() == [1, 3]


async def test_an_exception_of_prepare_fails_the_batch_and_not_the_thread(house: Fixture) -> None:
    house.adder.spoil_prepare = refuse({2}, ZeroDivisionError())
    outcomes = await house.add(1, 2)
    assert all(isinstance(outcome, DatabaseError) for outcome in outcomes)
    assert outcomes[0] is not outcomes[1]
    assert await house.add(3) == [30]
    assert house.rows() == [3]


async def test_a_full_disk_fails_those_that_need_space(house: Fixture) -> None:
    full = True

    def spoil(unit: Add) -> None:
        if full and not unit.frees_space:
            raise apsw.FullError("database or disk is full")

    house.adder.spoil = spoil
    frugal = house.commit.run(Add(2, frees_space=True))
    outcomes = await asyncio.gather(house.commit.run(Add(1)), frugal, return_exceptions=True)
    assert isinstance(outcomes[0], DatabaseFullError)
    assert outcomes[1] == 20
    assert house.adder.rooms_made == 1
    assert house.adder.rollbacks == [(1, "FullError")]
    assert house.adder.commits == [(1, [2])]
    assert house.rows() == [2]
    full = False
    assert await house.add(3) == [30]


async def test_a_disk_too_full_even_for_freeing_space(house: Fixture) -> None:
    house.adder.spoil = refuse({1, 2}, apsw.FullError("full"))
    units = [Add(1), Add(2, frees_space=True)]
    outcomes = await asyncio.gather(*(house.commit.run(unit) for unit in units), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [DatabaseFullError] * 2
    assert await house.add(3) == [30]
    assert house.rows() == [3]


async def test_an_error_of_the_disk_fails_the_batch_and_opens_the_file_anew(house: Fixture) -> None:
    house.adder.spoil = refuse({2}, apsw.IOError("disk I/O error"))
    before = house.connections
    outcomes = await house.add(1, 2, 3)
    assert [type(outcome) for outcome in outcomes] == [DatabaseError] * 3
    assert house.connections == before + 1
    assert house.rows() == []
    assert await house.add(4) == [40]


async def test_when_the_file_cannot_be_opened_anew_the_thread_lives_on(house: Fixture) -> None:
    house.adder.spoil = refuse({1}, apsw.IOError("disk I/O error"))
    moved = house.path.with_name("gone")
    house.path.rename(moved)
    house.path.mkdir()
    assert isinstance((await house.add(1))[0], DatabaseError)
    house.path.rmdir()
    moved.rename(house.path)
    assert await house.add(2) == [20]


async def test_the_lock_is_held_for_the_transaction_alone(house: Fixture, tmp_path: Path) -> None:
    other = FileLock(tmp_path / "lock")
    with other:
        waiting = asyncio.create_task(house.commit.run(Add(1)))
        await house.reached()
        await asyncio.sleep(0.01)
        assert house.adder.batches == [[1]]
        assert not waiting.done()
    assert await waiting == 10
    with other:
        pass
    other.close()


async def test_a_cancelled_task_waits_for_the_outcome(house: Fixture) -> None:
    house.adder.gate.clear()
    task = asyncio.create_task(house.commit.run(Add(1)))
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.sleep(0.01)
    assert not task.done()
    house.adder.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert house.rows() == [1]


async def test_an_announcement_that_fails_hangs_nobody(house: Fixture) -> None:
    noted: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: noted.append(context))

    def fail(units: Sequence[Add]) -> None:
        raise KeyError("watcher")

    house.adder.announce = fail  # type: ignore[method-assign]
    assert await house.add(1, 2) == [10, 20]
    assert len(noted) == 1


async def test_close_finishes_what_waits(house: Fixture) -> None:
    waiting = [asyncio.create_task(house.commit.run(Add(number))) for number in range(5)]
    await asyncio.sleep(0)
    await house.commit.close()
    assert await asyncio.gather(*waiting) == [0, 10, 20, 30, 40]
    with pytest.raises(DatabaseClosedError):
        await house.commit.run(Add(9))
    await house.commit.close()


async def test_several_loops_share_it(house: Fixture) -> None:
    def other(numbers: range) -> list[object]:
        return asyncio.run(house.add(*numbers))

    first, second = await asyncio.gather(asyncio.to_thread(other, range(40)), asyncio.to_thread(other, range(40, 80)))
    assert first + second == [number * 10 for number in range(80)]
    assert house.rows() == list(range(80))


async def test_a_loop_that_was_closed_is_passed_over(house: Fixture) -> None:
    house.adder.gate.clear()

    def leave() -> None:
        loop = asyncio.new_event_loop()
        task = loop.create_task(house.commit.run(Add(1)))
        loop.run_until_complete(asyncio.sleep(0.01))
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        loop.close()

    await asyncio.to_thread(leave)
    house.adder.gate.set()
    assert await house.add(2) == [20]
    assert house.rows() == [1, 2]


async def test_two_processes_worth_of_writers(tmp_path: Path) -> None:
    first = Fixture(tmp_path)
    lock = FileLock(tmp_path / "lock")
    adder = Adder()
    second: GroupCommit[Add] = GroupCommit(partial(open_connection, first.path), lock, adder)
    await asyncio.gather(
        *(first.add(number) for number in range(100)), *(second.run(Add(number)) for number in range(100, 200))
    )
    assert first.rows() == list(range(200))
    await first.commit.close()
    await second.close()


async def test_on_a_full_disk_what_frees_space_succeeds_or_fails_alone(house: Fixture) -> None:
    """A removal is not refused because another one of its batch does not fit."""
    house.adder.spoil = refuse({1, 3}, apsw.FullError("full"))
    units = [Add(number, frees_space=number > 1) for number in range(1, 5)]
    outcomes = await asyncio.gather(*(house.commit.run(unit) for unit in units), return_exceptions=True)
    assert isinstance(outcomes[0], DatabaseFullError)
    assert isinstance(outcomes[2], DatabaseFullError)
    assert [outcomes[1], outcomes[3]] == [20, 40]
    assert house.rows() == [2, 4]


async def test_what_was_committed_is_not_failed_by_what_comes_after(house: Fixture) -> None:
    @contextmanager
    def room() -> Iterator[None]:
        yield
        raise OSError("the reserve cannot be had again")

    house.adder.room = room  # type: ignore[method-assign]
    house.adder.spoil = refuse({1}, apsw.FullError("full"))
    units = [Add(1), Add(2, frees_space=True)]
    outcomes = await asyncio.gather(*(house.commit.run(unit) for unit in units), return_exceptions=True)
    assert isinstance(outcomes[0], DatabaseFullError)
    assert outcomes[1] == 20
    assert house.rows() == [2]

    def fail(prepared: int, units: Sequence[Add]) -> None:
        raise ZeroDivisionError

    house.adder.committed = fail  # type: ignore[method-assign]
    assert await house.add(5) == [50]


async def test_who_needs_no_preparing_is_not_failed_by_it(house: Fixture) -> None:
    house.adder.spoil_prepare = refuse({1}, ZeroDivisionError())
    light = Add(2)
    light.needs_preparing = False
    outcomes = await asyncio.gather(house.commit.run(Add(1)), house.commit.run(light), return_exceptions=True)
    assert isinstance(outcomes[0], DatabaseError)
    assert outcomes[1] == 20
    assert house.rows() == [2]


async def test_the_fate_of_a_batch_is_told_with_what_was_prepared_for_it(house: Fixture) -> None:
    house.adder.spoil = refuse({2}, KeyError("mine"))
    await house.add(1, 2, 3)
    house.adder.spoil = refuse({4}, apsw.IOError("disk I/O error"))
    await house.add(4)
    house.adder.spoil = lambda unit: None
    await house.add(5)
    assert house.adder.commits == [(1, [1, 3]), (3, [5])]
    assert house.adder.rollbacks == [(2, "IOError")]


async def test_a_thread_that_ends_leaves_nobody_waiting(tmp_path: Path) -> None:
    class EndError(BaseException):
        pass

    house = Fixture(tmp_path)
    deaths: list[BaseException] = []
    dying: GroupCommit[Add] = GroupCommit(
        house.connect, FileLock(tmp_path / "lock"), house.adder, on_thread_death=deaths.append
    )

    def end(unit: Add) -> None:
        raise EndError

    house.adder.gate.clear()
    house.adder.spoil = end
    first = asyncio.create_task(dying.run(Add(1)))
    await house.reached()
    second = asyncio.create_task(dying.run(Add(2)))
    await asyncio.sleep(0)
    house.adder.gate.set()
    outcomes = await asyncio.gather(first, second, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [DatabaseClosedError] * 2
    with pytest.raises(DatabaseClosedError):
        await dying.run(Add(3))
    await dying.close()  # the thread tells of its death at its very end
    await house.commit.close()
    assert [type(death) for death in deaths] == [EndError]
    assert house.rows() == []


async def test_a_refusal_does_not_outlive_the_batch_it_came_from(house: Fixture) -> None:
    """What speaks against a unit may be what another one of the same batch has done, and that was rolled back."""
    commits = [apsw.IOError("disk I/O error")]

    def transact(units: list[Add], apply: Callable[[apsw.Connection, Sequence[Add]], None]) -> None:
        def failing(connection: apsw.Connection, some: Sequence[Add]) -> None:
            apply(connection, some)
            if apply != house.adder.apply and commits:
                raise commits.pop()

        real(units, failing)

    real = house.commit._transact
    house.commit._transact = transact  # type: ignore[method-assign]
    outcomes = await house.add(7, 7)
    assert [type(outcome) for outcome in outcomes] == [DatabaseError] * 2
    assert house.rows() == []
    assert isinstance((await house.add(7, 7))[1], apsw.ConstraintError)
