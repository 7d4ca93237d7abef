"""The history of deliveries: written behind everybody's back, bounded, and never in anybody's way."""

import asyncio
from pathlib import Path

import pytest

from posthouse.database.errors import DatabaseError
from posthouse.message.address import Address
from posthouse.queue.history import Delivery
from posthouse.queue.sqlite.history import _MOST_WAITING, SqliteHistory, find_deliveries

START = 1_790_000_000
ALICE, BOB = Address.parse("alice@here.test"), Address.parse("bob@here.test")


def delivery(number: int, *, at: int = START, account: Address = ALICE, kept: bool = True) -> Delivery:
    sender = Address.parse("x@there.test") if number else None
    ident = number.to_bytes(16, "big")
    return Delivery(ident, at, sender, BOB, account, f"{number}@there.test", 100, "192.0.2.1", kept)


def opened(path: Path, *, days: int = 30, octets: int = 1 << 30, now: float = START) -> SqliteHistory:
    return SqliteHistory(path, days=days, octets=octets, clock=lambda: now, on_failure=failures.append)


failures: list[str] = []


@pytest.fixture(autouse=True)
def _no_failures() -> None:
    failures.clear()


async def test_what_was_added_is_found(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    history = opened(path)
    assert find_deliveries(path, "alice@here.test", most=10) == []
    every = [delivery(0), delivery(1, account=BOB, kept=False), delivery(2)]
    history.add(every[:1])
    history.add(every[1:])
    assert not path.exists()  # nothing is done on the way of a message
    await history.flush()
    assert find_deliveries(path, "ALICE@here.test", most=10) == [every[2], every[0]]
    assert find_deliveries(path, "x@there.test", most=1) == [every[2]]
    assert find_deliveries(path, "1@there.test", most=10) == [every[1]]
    assert find_deliveries(path, "bob@here.test", most=10) == every[::-1]  # as recipient and as account
    history.add([delivery(3)])
    await history.close()  # writes what waits
    assert [each.id[-1] for each in find_deliveries(path, "alice@here.test", most=1)] == [3]
    assert path.stat().st_mode & 0o777 == 0o600
    assert failures == []


async def test_flush_and_tidy_do_not_meet(tmp_path: Path) -> None:
    """Both are called by clocks of their own, and work in threads on one connection."""
    history = opened(tmp_path / "history.db")

    async def tidy() -> None:
        for _ in range(100):
            await history.tidy()

    async def add() -> None:
        for number in range(100):
            history.add([delivery(number)] * 10)
            await history.flush()

    await asyncio.gather(tidy(), add())
    await history.close()
    assert failures == []
    assert len(find_deliveries(tmp_path / "history.db", "alice@here.test", most=10_000)) == 1000


async def test_what_is_old_is_forgotten(tmp_path: Path) -> None:
    history = opened(tmp_path / "history.db", days=7, now=START + 8 * 86400)
    history.add([delivery(1), delivery(2, at=START + 2 * 86400)])
    await history.flush()
    await history.tidy()
    await history.close()
    assert [each.id[-1] for each in find_deliveries(tmp_path / "history.db", "alice@here.test", most=10)] == [2]


async def test_it_takes_no_more_room_than_it_may(tmp_path: Path) -> None:
    history = opened(tmp_path / "history.db", octets=1 << 20)
    for start in range(0, 30_000, 1000):
        history.add([delivery(number) for number in range(start, start + 1000)])
        await history.flush()
        await history.tidy()
    await history.close()
    found = find_deliveries(tmp_path / "history.db", "alice@here.test", most=100_000)
    assert found[0] == delivery(29_999)
    assert 2000 < len(found) < 12_000
    assert (tmp_path / "history.db").stat().st_size < 2 << 20


async def test_no_octets_are_no_bound(tmp_path: Path) -> None:
    history = opened(tmp_path / "history.db", octets=0)
    history.add([delivery(number) for number in range(10)])
    await history.flush()
    await history.tidy()
    await history.close()
    assert len(find_deliveries(tmp_path / "history.db", "alice@here.test", most=100)) == 10


async def test_a_file_that_cannot_be_written_is_said_once(tmp_path: Path) -> None:
    path = tmp_path / "gone" / "history.db"
    history = opened(path)
    for number in range(3):
        history.add([delivery(number)])
        await history.flush()
    assert len(failures) == 1 and "gone" in failures[0]
    path.parent.mkdir()
    history.add([delivery(7)])
    await history.flush()
    assert [each.id[-1] for each in find_deliveries(path, "alice@here.test", most=10)] == [7]
    await history.close()


async def test_a_damaged_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    path.write_bytes(b"no database at all" * 1000)
    with pytest.raises(DatabaseError):
        find_deliveries(path, "alice@here.test", most=10)
    history = opened(path)
    history.add([delivery(7)])
    await history.flush()
    await history.close()
    assert [each.id[-1] for each in find_deliveries(path, "alice@here.test", most=10)] == [7]


async def test_memory_is_bounded_while_the_disk_stands_still(tmp_path: Path) -> None:
    history = opened(tmp_path / "history.db")
    some = [delivery(number) for number in range(1000)]
    for _ in range(_MOST_WAITING // 1000 + 10):
        history.add(some)
    assert len(history._waiting) == _MOST_WAITING
    await history.close()
