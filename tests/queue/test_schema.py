"""A queue of an earlier version comes over as it is."""

from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from posthouse.database.connection import open_connection
from posthouse.database.errors import DatabaseDamagedError
from posthouse.database.migrations import migrate
from posthouse.queue.interface import RecipientState
from posthouse.queue.sqlite import claimers, claiming
from posthouse.queue.sqlite.outgoing import end_claims
from posthouse.queue.sqlite.schema import MIGRATIONS, ROOM

START = 1_790_000_000
QUEUED = "INSERT INTO queued VALUES (?, ?, ?, 5, 'a@here.test', '{}', 7, 'id@here.test', ?, ?, ?, ?)"
RECIPIENT = "INSERT INTO queued_recipient VALUES (?, ?, ?, '', '', ?, ?, ?, ?, ?, 0, ?, ?)"


def fill(connection: apsw.Connection) -> None:
    """As version 1 left it: claims of the living and of the dead, a hold, a release date, retries and an end."""
    connection.execute("INSERT INTO claimer VALUES (8, ?)", (START + 60,))
    for number in (1, 2, 3):
        connection.execute(QUEUED, (number, bytes(16), number, START, START + 1000, 3 if number == 1 else 1, None))
    connection.execute(QUEUED, (4, bytes(16), 4, START, START + 1000, 0, START))
    rows = [
        (1, 0, "fresh@a.test", "a.test", START, 0, RecipientState.WAITING, 0, 8, None),
        (1, 1, "retried@a.test", "a.test", START + 300, 2, RecipientState.WAITING, 0, 9, None),
        (1, 2, "held@b.test", "b.test", START, 1, RecipientState.WAITING, 1, 0, None),
        (2, 0, "later@c.test", "c.test", START + 5000, 0, RecipientState.WAITING, 0, 0, None),
        (3, 0, "due@d.test", "d.test", START - 50, 1, RecipientState.WAITING, 0, 0, None),
        (4, 0, "over@a.test", "a.test", START, 1, RecipientState.DELIVERED, 0, 0, START),
    ]
    connection.executemany(RECIPIENT, [tuple(map(_value, row)) for row in rows])
    connection.execute("INSERT INTO attempt VALUES (1, 1, ?, 451, 'later', '', '', '')", (START + 10,))


def _value(value: Any) -> Any:
    return int(value) if isinstance(value, RecipientState) else value


def test_a_queue_of_version_1_comes_over_whole(tmp_path: Path) -> None:
    path = tmp_path / "posthouse.db"
    connection = open_connection(path)
    migrate(connection, MIGRATIONS[:1], room=ROOM)
    fill(connection)
    before: Any = connection.execute(
        "SELECT number, n, address, destination, due, attempts, state, held, warned, finished FROM queued_recipient"
    ).fetchall()
    end_claims(path)
    after: Any = connection.execute(
        "SELECT number, n, address, destination, due, attempts, state, held, warned, finished FROM queued_recipient"
    ).fetchall()
    assert after == before
    written: Any = connection.execute("SELECT number, n, written FROM queued_recipient WHERE state = 0").fetchall()
    assert written == [(1, 0, START), (1, 1, START + 10), (1, 2, START), (2, 0, START), (3, 0, START)]
    assert connection.execute("SELECT number, hold_until FROM queued WHERE hold_until > 0").fetchall() == [
        (2, START + 5000)
    ]
    found = claiming.due(connection, START + 10_000, (), 10)
    assert found == ["d.test", "a.test", "c.test"]
    claimed = claiming.Claim(connection, 5, START).take_due(dict.fromkeys(found, 10), 10)
    assert [str(one.recipient.address) for one in claimed] == ["due@d.test", "fresh@a.test"]
    claimed += claiming.Claim(connection, 5, START + 10_000).take_due(dict.fromkeys(found, 10), 10)
    assert [str(one.recipient.address) for one in claimed[2:]] == ["retried@a.test", "later@c.test"]
    connection.close()


def test_a_recipient_without_its_message_does_not_keep_a_queue_from_coming_over(tmp_path: Path) -> None:
    connection = open_connection(tmp_path / "posthouse.db")
    migrate(connection, MIGRATIONS[:1], room=ROOM)
    fill(connection)
    connection.execute("DELETE FROM queued WHERE number = 2")
    migrate(connection, MIGRATIONS, room=ROOM)
    assert connection.execute("SELECT written FROM queued_recipient WHERE number = 2").get == 0
    claimed = claiming.Claim(connection, 5, START + 10_000).take_due({"c.test": 9, "d.test": 9}, 9)
    assert [str(one.recipient.address) for one in claimed] == ["due@d.test"]
    connection.close()


def test_a_damaged_page_that_is_met_as_claims_are_ended_is_told(tmp_path: Path) -> None:
    path = tmp_path / "posthouse.db"
    with closing(open_connection(path)) as connection:
        migrate(connection, MIGRATIONS, room=ROOM)
        page = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'queued_claimed'").get
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        size = connection.pragma("page_size")
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\x5a" * size)
    with pytest.raises(DatabaseDamagedError):
        end_claims(path)


def test_the_first_due_time_of_a_destination_is_never_too_late(tmp_path: Path) -> None:
    """Whatever frees a recipient, and in whatever way: a claim must find it."""
    connection = open_connection(tmp_path / "posthouse.db")
    migrate(connection, MIGRATIONS, room=ROOM)
    connection.execute("INSERT INTO queued VALUES (1, zeroblob(16), 1, 5, '', '{}', 7, '', 0, 9, 1, NULL, 0, 0)")
    connection.execute(
        "INSERT INTO queued_recipient VALUES (1, 0, 'x@a.test', '', '', 'a.test', 500, 0, 0, 1, 0, 3, 0, 0)"
    )

    def due() -> Any:
        return connection.execute("SELECT due FROM destination_due").get

    assert due() is None
    connection.execute("UPDATE queued_recipient SET held = 0")
    assert due() is None  # still claimed
    connection.execute("UPDATE queued_recipient SET claim = 0")
    assert due() == 500
    connection.execute("UPDATE queued_recipient SET due = 900")
    assert due() == 500  # too early does no harm: the next claim puts it right
    assert claiming.Claim(connection, 3, 600).take_due({"a.test": 1}, 1) == []
    assert due() == 900
    connection.execute("UPDATE queued_recipient SET due = 0")
    assert due() == 0
    assert len(claiming.Claim(connection, 3, 600).take_due({"a.test": 1}, 1)) == 1
    assert due() is None
    connection.close()


def test_what_is_asked_often_uses_an_index(tmp_path: Path) -> None:
    """However many wait for one destination: what is due elsewhere is found without looking at them."""
    connection = open_connection(tmp_path / "posthouse.db")
    migrate(connection, MIGRATIONS, room=ROOM)

    def plan(statement: str, *values: object) -> str:
        rows: Any = connection.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()
        return "; ".join(row[3] for row in rows)

    asked = [
        plan(claiming._DUE, 1, "[]", 1),
        plan(claiming._DUE_OF, 1, "[]", 1),
        plan(claiming._NEXT, "a.test", 1, 1),
        plan(claiming._FIRST, "a.test"),
        plan(claiming._LATE, "a.test", 1, 1),
        plan(claiming._CLAIM, 1, 1, 1),
        plan(claiming._CLAIMED_BY, 1),
        plan(claimers._RELEASE_ALL + " AND claim <> 0", 1),
    ]
    assert not [
        each for each in asked if "SCAN queued_recipient" in each or "SCAN d" in each or "SCAN destination" in each
    ]
    assert "SEARCH queued_recipient USING INDEX queued_free" in asked[2].replace("COVERING ", "")
    connection.close()
