import subprocess
import sys
import time
from pathlib import Path

import apsw
import pytest

from posthouse.accounts.sqlite import SqliteThrottleRows
from posthouse.accounts.throttle import Charge, Throttle, ThrottleLimit, ThrottleUnavailableError
from tests.accounts.clock import Clock

LIMIT = ThrottleLimit(3, 2, 100, 1_000)

GUESS = """
import sys, time, apsw
from posthouse.accounts.sqlite import SqliteThrottleRows
from posthouse.accounts.throttle import ThrottleLimit, Throttle
connection = apsw.Connection(sys.argv[1])
connection.set_busy_timeout(5000)
many = ThrottleLimit(10_000, 1, 1)
throttle = Throttle(SqliteThrottleRows(connection), time.time, network=many, name=many)
for _ in range(int(sys.argv[2])):
    throttle.failed("alice@a.test", "192.0.2.1")
"""


def test_processes_count_together(tmp_path: Path) -> None:
    path = str(tmp_path / "volatile.db")
    connection = apsw.Connection(path)
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    connection.set_busy_timeout(5_000)
    rows = SqliteThrottleRows(connection)
    throttle = Throttle(rows, time.time)
    assert throttle.wait("alice@a.test", "192.0.2.1") == 0
    guessers = [subprocess.Popen([sys.executable, "-c", GUESS, path, "200"]) for _ in range(2)]
    assert [guesser.wait(60) for guesser in guessers] == [0, 0]
    assert throttle.wait("alice@a.test", "192.0.2.1") > 800
    assert [row[0] for row in connection.execute("SELECT failures FROM login_failures")] == [400] * 3
    connection.close()


def test_rows_are_swept_and_bounded(tmp_path: Path, clock: Clock) -> None:
    connection = apsw.Connection(str(tmp_path / "volatile.db"))
    connection.execute("PRAGMA synchronous = OFF")
    rows = SqliteThrottleRows(connection, bound=100)
    for number in range(1_024):
        clock.now += 1
        rows.charge([Charge(number.to_bytes(16, "big"), LIMIT)], clock.now)
        rows.note_known_network(number.to_bytes(16, "big"), clock.now + 1_000)
    kept = {int.from_bytes(bytes(row[0]), "big") for row in connection.execute("SELECT key FROM login_failures")}
    assert kept == set(range(924, 1_024))
    clock.now += 2_000
    for _ in range(256):
        rows.charge([Charge(b"x" * 16, LIMIT)], clock.now)
    assert connection.execute("SELECT count(*) FROM login_failures").get == 1
    assert connection.execute("SELECT count(*) FROM login_homes").get == 0
    connection.close()


def test_a_file_that_cannot_be_written_is_told_apart(tmp_path: Path) -> None:
    path = str(tmp_path / "volatile.db")
    connection = apsw.Connection(path)
    rows = SqliteThrottleRows(connection)
    connection.execute("PRAGMA query_only = ON")
    with pytest.raises(ThrottleUnavailableError):
        rows.charge([Charge(b"k", LIMIT)], 0.0)
    with pytest.raises(ThrottleUnavailableError):
        rows.forgive(b"k")
    with pytest.raises(ThrottleUnavailableError):
        rows.note_known_network(b"k", 1)
    connection.execute("PRAGMA query_only = OFF; DROP TABLE login_failures")
    with pytest.raises(ThrottleUnavailableError):
        rows.counts((b"k",))
    connection.close()


def test_a_full_disk_leaves_the_counts_as_they_were(tmp_path: Path) -> None:
    connection = apsw.Connection(str(tmp_path / "volatile.db"))
    rows = SqliteThrottleRows(connection)
    rows.charge([Charge(b"first", LIMIT)], 0.0)
    connection.pragma("max_page_count", connection.pragma("page_count"))
    with pytest.raises(ThrottleUnavailableError):
        for number in range(1_000):
            rows.charge([Charge(b"first", LIMIT), Charge(number.to_bytes(2_000, "big"), LIMIT)], 0.0)
    failures = rows.counts([b"first"])[b"first"].failures
    assert connection.execute("SELECT count(*) FROM login_failures").get == failures
    connection.pragma("max_page_count", 1_000_000)
    rows.charge([Charge(b"first", LIMIT)], 0.0)
    assert rows.counts([b"first"])[b"first"].failures == failures + 1
    connection.close()


def test_neither_names_nor_addresses_stand_in_the_file(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "volatile.db"
    connection = apsw.Connection(str(path))
    Throttle(SqliteThrottleRows(connection), clock).failed("my-password-in-the-wrong-box", "192.0.2.1")
    connection.close()
    assert b"my-password" not in path.read_bytes()
    assert b"192.0.2" not in path.read_bytes()


def test_rows_of_a_clock_that_was_ahead_are_swept(tmp_path: Path, clock: Clock) -> None:
    connection = apsw.Connection(str(tmp_path / "volatile.db"))
    rows = SqliteThrottleRows(connection)
    rows.charge([Charge(b"ahead" + bytes(11), LIMIT)], clock.now + 400 * 86_400)
    for number in range(256):
        rows.charge([Charge(number.to_bytes(16, "big"), LIMIT)], clock.now)
    assert connection.execute("SELECT count(*) FROM login_failures").get == 256
    connection.close()
