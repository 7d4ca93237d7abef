"""Transactions of SQLite: one that ends in any case, and one that several rooms take part in."""

from pathlib import Path

import apsw
import pytest

from posthouse.database.connection import open_connection
from posthouse.database.sqlite_transaction import SqliteTransaction, connection_of, transaction
from posthouse.database.transaction import SharedTransaction


@pytest.fixture
def connection(tmp_path: Path) -> apsw.Connection:
    made = open_connection(tmp_path / "a.db")
    made.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)")
    return made


def test_committed_or_undone(connection: apsw.Connection) -> None:
    with transaction(connection):
        connection.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(apsw.ConstraintError), transaction(connection):
        connection.execute("INSERT INTO t VALUES (2)")
        connection.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(KeyboardInterrupt), transaction(connection):
        connection.execute("INSERT INTO t VALUES (3)")
        raise KeyboardInterrupt
    assert not connection.in_transaction
    assert [row[0] for row in connection.execute("SELECT n FROM t")] == [1]


def test_what_was_rolled_back_already(connection: apsw.Connection) -> None:
    with pytest.raises(RuntimeError), transaction(connection):  # as SQLite itself does when the disk is full
        connection.execute("ROLLBACK")
        raise RuntimeError
    assert not connection.in_transaction


def test_its_connection() -> None:
    connection = apsw.Connection(":memory:")
    assert connection_of(SqliteTransaction(connection)) is connection


def test_one_of_another_kind_is_refused() -> None:
    with pytest.raises(TypeError, match="Transaction is no transaction of SQLite"):
        connection_of(SharedTransaction())
