from pathlib import Path

import apsw
import pytest

from posthouse.database.connection import Durability, open_connection, open_reader


def test_a_new_file_is_durable_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    connection = open_connection(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert connection.pragma("journal_mode") == "wal"
    assert connection.pragma("synchronous") == 2
    assert open_connection(path, durability=Durability.OFF).pragma("synchronous") == 0


def test_a_reader_sees_commits_and_may_not_write(tmp_path: Path) -> None:
    writer = open_connection(tmp_path / "x.db")
    writer.execute("CREATE TABLE t (n)")
    reader = open_reader(tmp_path / "x.db")
    assert reader.execute("SELECT count(*) FROM t").get == 0
    writer.execute("INSERT INTO t VALUES (1)")
    assert reader.execute("SELECT count(*) FROM t").get == 1
    with pytest.raises(apsw.ReadOnlyError):
        reader.execute("INSERT INTO t VALUES (2)")


def test_a_reader_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(apsw.CantOpenError):
        open_reader(tmp_path / "missing.db")
    assert list(tmp_path.iterdir()) == []
