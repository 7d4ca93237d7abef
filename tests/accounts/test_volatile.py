from contextlib import closing
from pathlib import Path

import apsw

from posthouse.accounts.sqlite import SqliteThrottleRows
from posthouse.accounts.sqlite.sending_limits import SqliteSendingLimitRows
from posthouse.accounts.sqlite.volatile import check_volatile, open_volatile
from posthouse.database.opening import ASIDE


def test_a_file_of_the_first_version_is_taken_over(tmp_path: Path) -> None:
    """It had the tables of the throttle without a count of steps."""
    path = tmp_path / "volatile.db"
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute(
            "CREATE TABLE login_failures (key BLOB PRIMARY KEY, failures INTEGER NOT NULL, until REAL NOT NULL,"
            " expires REAL NOT NULL) WITHOUT ROWID; INSERT INTO login_failures VALUES (x'01', 3, 5.0, 9.0)"
        )
    with closing(open_volatile(path)) as connection:
        assert SqliteThrottleRows(connection).counts([b"\1"])[b"\1"].failures == 3
        assert SqliteSendingLimitRows(connection).sent(1, 0) == []
    assert not path.with_name(path.name + ASIDE).exists()


def test_damage_deep_inside_is_found_before_a_server_starts(tmp_path: Path) -> None:
    path = tmp_path / "volatile.db"
    with closing(open_volatile(path)) as connection:
        connection.executemany("INSERT INTO sent VALUES (?1, ?1)", ((number,) for number in range(5000)))
    data = bytearray(path.read_bytes())
    data[-3 * 4096 :] = b"\x55" * (3 * 4096)
    path.write_bytes(data)
    check_volatile(path)
    assert path.with_name(path.name + ASIDE).read_bytes() == data
    with closing(open_volatile(path)) as connection:
        assert SqliteSendingLimitRows(connection).sent(1, 0) == []
