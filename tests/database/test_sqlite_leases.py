import asyncio
import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import pytest

from posthouse.database.errors import DatabaseError
from posthouse.database.leases import Lease
from posthouse.database.sqlite_leases import SqliteLeases


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def leases(tmp_path: Path, clock: Clock) -> Iterator[SqliteLeases]:
    opened = SqliteLeases(tmp_path / "leases.db", clock=clock)
    yield opened
    opened.close()


async def taken(leases: SqliteLeases, name: str = "maildrop 1") -> Lease:
    lease = await leases.take(name, 10)
    assert lease is not None
    return lease


async def test_one_holder_at_a_time(leases: SqliteLeases, tmp_path: Path, clock: Clock) -> None:
    other = SqliteLeases(tmp_path / "leases.db", clock=clock)
    lease = await taken(leases)
    assert await other.take("maildrop 1", 10) is None
    assert await leases.take("maildrop 1", 10) is None
    assert (await taken(other, "maildrop 2")).name == "maildrop 2"
    await leases.release(lease)
    assert (await taken(other)).token > lease.token
    other.close()


async def test_it_expires(leases: SqliteLeases, clock: Clock) -> None:
    first = await taken(leases)
    clock.now += 9.9
    assert await leases.take("maildrop 1", 10) is None
    clock.now += 0.1
    second = await taken(leases)
    assert second.token > first.token
    assert not await leases.renew(first, 10)
    await leases.release(first)  # lost: must not free the second
    assert await leases.take("maildrop 1", 10) is None


async def test_it_is_renewed(leases: SqliteLeases, clock: Clock) -> None:
    lease = await taken(leases)
    clock.now += 9
    assert await leases.renew(lease, 10)
    clock.now += 9
    assert await leases.take("maildrop 1", 10) is None
    clock.now += 5  # expired, but nobody has taken it
    assert await leases.renew(lease, 10)
    assert await leases.take("maildrop 1", 10) is None


async def test_what_was_released_cannot_be_renewed(leases: SqliteLeases) -> None:
    lease = await taken(leases)
    await leases.release(lease)
    assert not await leases.renew(lease, 10)
    assert not await leases.renew(Lease("never", 1), 10)


async def test_tokens_ascend_for_ever(leases: SqliteLeases, tmp_path: Path, clock: Clock) -> None:
    tokens = []
    for _ in range(5):
        lease = await taken(leases)
        tokens.append(lease.token)
        await leases.release(lease)
    leases.void_all()
    tokens.append((await taken(leases)).token)
    assert tokens == sorted(set(tokens))


async def test_void_all_ends_every_hold(leases: SqliteLeases) -> None:
    old = [await taken(leases, name) for name in ("a", "b")]
    leases.void_all()
    for lease in old:
        assert not await leases.renew(lease, 10)
        assert (await taken(leases, lease.name)).token > lease.token


@pytest.mark.parametrize("spoilt", [b"not a database at all" * 500, b""])
async def test_a_file_spoilt_by_a_crash_is_replaced(tmp_path: Path, spoilt: bytes) -> None:
    path = tmp_path / "leases.db"
    SqliteLeases(path).close()
    path.write_bytes(spoilt)
    leases = SqliteLeases(path)
    leases.void_all()
    await taken(leases)
    leases.close()


async def test_pages_spoilt_by_a_crash_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "leases.db"
    leases = SqliteLeases(path)
    for number in range(500):
        await taken(leases, f"name {number}")
    leases.close()
    data = bytearray(path.read_bytes())
    data[4096:] = b"\x55" * (len(data) - 4096)
    path.write_bytes(data)
    leases = SqliteLeases(path)
    leases.void_all()
    await taken(leases)
    leases.close()


async def test_trouble_has_one_type(leases: SqliteLeases) -> None:
    leases.close()
    with pytest.raises(DatabaseError):
        await leases.take("a", 1)
    with pytest.raises(DatabaseError):
        await leases.release(Lease("a", 1))


def _take_many(path: Path, barrier, results) -> None:  # type: ignore[no-untyped-def]
    barrier.wait()
    leases = SqliteLeases(path)

    async def take() -> list[int]:
        tokens: list[int] = []
        while len(tokens) < 50:
            lease = await leases.take("x", 60)
            if lease:
                tokens.append(lease.token)
                await leases.release(lease)
        return tokens

    results.put(asyncio.run(take()))


def test_processes_share_it(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    barrier, results = spawn.Barrier(3), spawn.Queue()
    arguments = (tmp_path / "leases.db", barrier, results)
    processes = [spawn.Process(target=_take_many, args=arguments) for _ in range(3)]
    for process in processes:
        process.start()
    tokens = [token for _ in processes for token in results.get(timeout=60)]
    for process in processes:
        process.join()
    assert sorted(tokens) == list(range(1, 151))
