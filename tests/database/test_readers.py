import asyncio
import threading
from functools import partial
from pathlib import Path

import apsw
import pytest

from posthouse.database.connection import open_connection, open_reader
from posthouse.database.errors import DatabaseClosedError, DatabaseError
from posthouse.database.readers import ReaderPool


@pytest.fixture
def path(tmp_path: Path) -> Path:
    connection = open_connection(tmp_path / "x.db")
    connection.execute("CREATE TABLE t (n); INSERT INTO t VALUES (7)")
    connection.close()
    return tmp_path / "x.db"


def number(connection: apsw.Connection) -> object:
    return connection.execute("SELECT n FROM t").get


async def test_jobs_run_off_the_loop(path: Path) -> None:
    pool = ReaderPool(partial(open_reader, path))
    assert await pool.run(number) == 7
    assert await pool.run(lambda connection: threading.current_thread()) is not threading.current_thread()
    await pool.close()


async def test_as_many_threads_as_needed_and_no_more(path: Path) -> None:
    pool = ReaderPool(partial(open_reader, path), threads=2)
    both = threading.Barrier(2)
    meeting = [pool.run(lambda connection: both.wait(10)) for _ in range(2)]
    assert sorted(await asyncio.gather(*meeting)) == [0, 1]
    names = await asyncio.gather(*(pool.run(lambda connection: threading.current_thread().name) for _ in range(50)))
    assert len(set(names)) <= 2
    await pool.close()


async def test_errors_reach_the_caller_alone(path: Path) -> None:
    pool = ReaderPool(partial(open_reader, path), threads=1)

    def fail(connection: apsw.Connection) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError):
        await pool.run(fail)
    with pytest.raises(DatabaseError):
        await pool.run(lambda connection: connection.execute("nonsense"))
    assert await pool.run(number) == 7
    await pool.close()


async def test_a_missing_file_is_tried_again(tmp_path: Path) -> None:
    pool = ReaderPool(partial(open_reader, tmp_path / "x.db"), threads=1)
    with pytest.raises(DatabaseError):
        await pool.run(number)
    open_connection(tmp_path / "x.db").execute("CREATE TABLE t (n); INSERT INTO t VALUES (7)")
    assert await pool.run(number) == 7
    await pool.close()


async def test_a_cancelled_caller_is_no_trouble(path: Path) -> None:
    pool = ReaderPool(partial(open_reader, path), threads=1)
    go = threading.Event()
    task = asyncio.create_task(pool.run(lambda connection: go.wait(10)))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go.set()
    assert await pool.run(number) == 7
    await pool.close()


async def test_close_finishes_what_waits(path: Path) -> None:
    pool = ReaderPool(partial(open_reader, path), threads=1)
    waiting = [asyncio.create_task(pool.run(number)) for _ in range(5)]
    await asyncio.sleep(0)
    await pool.close()
    assert await asyncio.gather(*waiting) == [7] * 5
    with pytest.raises(DatabaseClosedError):
        await pool.run(number)
    await pool.close()


async def test_owners_take_turns(path: Path) -> None:
    """Who has asked for much waits for himself."""
    pool = ReaderPool(partial(open_reader, path), threads=1)
    going = threading.Event()
    order: list[str] = []

    def job(name: str) -> None:
        def work(connection: apsw.Connection) -> None:
            going.wait(10)
            order.append(name)

        jobs.append(asyncio.ensure_future(pool.run(work, name[0])))

    jobs: list[asyncio.Future[None]] = []
    for number in range(50):
        job(f"a{number}")
    await asyncio.sleep(0)
    for name in ("b0", "c0", "b1"):
        job(name)
    await asyncio.sleep(0)
    going.set()
    await asyncio.gather(*jobs)
    # The first of a's may have been at work already; then each in turn.
    at = order.index("b0")
    assert at <= 2 and order[at : at + 4] == ["b0", "c0", f"a{at}", "b1"]
    assert [name for name in order if name[0] == "a"] == [f"a{number}" for number in range(50)]
    await pool.close()


async def test_what_was_asked_for_is_answered_before_the_end(path: Path) -> None:
    pool = ReaderPool(partial(open_reader, path))
    waiting = [asyncio.ensure_future(pool.run(number, owner % 3)) for owner in range(20)]
    await asyncio.sleep(0)
    await pool.close()
    assert await asyncio.gather(*waiting) == [7] * 20
