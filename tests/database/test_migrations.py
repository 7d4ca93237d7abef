import multiprocessing
from pathlib import Path

import apsw
import pytest

from posthouse.database.connection import open_connection
from posthouse.database.errors import SchemaTooNewError
from posthouse.database.migrations import migrate

STEPS = ("CREATE TABLE a (n); INSERT INTO a VALUES (1);", "ALTER TABLE a ADD COLUMN m DEFAULT 5;")


def test_each_step_is_done_once(tmp_path: Path) -> None:
    connection = open_connection(tmp_path / "x.db")
    assert migrate(connection, STEPS[:1]) == 1
    assert migrate(connection, STEPS) == 1
    assert migrate(connection, STEPS) == 0
    assert connection.execute("SELECT n, m FROM a").fetchall() == [(1, 5)]


def test_a_step_that_fails_leaves_all_as_it_was(tmp_path: Path) -> None:
    connection = open_connection(tmp_path / "x.db")
    migrate(connection, STEPS[:1])
    with pytest.raises(apsw.SQLError):
        migrate(connection, (*STEPS, "CREATE TABLE b (n); nonsense;"))
    assert not connection.in_transaction
    assert connection.pragma("user_version") == 1
    assert connection.execute("SELECT * FROM a").fetchall() == [(1,)]


def test_a_later_schema_is_refused(tmp_path: Path) -> None:
    connection = open_connection(tmp_path / "x.db")
    migrate(connection, STEPS)
    with pytest.raises(SchemaTooNewError):
        migrate(connection, STEPS[:1])
    assert connection.pragma("user_version") == 2


def _start(path: Path, barrier, results) -> None:  # type: ignore[no-untyped-def]
    barrier.wait()
    results.put(migrate(open_connection(path), STEPS))


def test_processes_that_start_at_once_take_turns(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    barrier, results = spawn.Barrier(4), spawn.Queue()
    processes = [spawn.Process(target=_start, args=(tmp_path / "x.db", barrier, results)) for _ in range(4)]
    for process in processes:
        process.start()
    done = sorted(results.get(timeout=60) for _ in processes)
    for process in processes:
        process.join()
    assert done == [0, 0, 0, 2]
