"""How much an account may send in 24 hours, counted by all processes together."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.accounts.errors import DirectoryBusyError
from posthouse.accounts.interface import UNBOUNDED, Account
from posthouse.accounts.sending_limits import PERIOD, Limit, LimitExceeded, SendingLimits, Taken
from posthouse.accounts.sqlite.sending_limits import SqliteSendingLimitRows
from posthouse.database.connection import Durability, open_connection
from posthouse.message.address import Address
from tests.accounts.clock import Clock

ALICE = Account(1, Address("alice", "a.test"), None)
BOB = Account(2, Address("bob", "a.test"), None)

SEND = """
import sys, time
from pathlib import Path
from posthouse.accounts.sqlite.sending_limits import SqliteSendingLimitRows
from posthouse.database.connection import Durability, open_connection
rows = SqliteSendingLimitRows(open_connection(Path(sys.argv[1]), durability=Durability.OFF))
for n in range(200):
    with rows.transaction():
        rows.add(1, [n.to_bytes(8, "big")], 1_800_000_000)
"""


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[apsw.Connection]:
    opened = open_connection(tmp_path / "volatile.db", durability=Durability.OFF)
    yield opened
    opened.close()


def people(*names: str) -> list[Address]:
    return [Address.parse(f"{name}@out.test") for name in names]


def bounded(connection: apsw.Connection, clock: Clock, *, messages: int = 0, recipients: int = 0) -> SendingLimits:
    rows = SqliteSendingLimitRows(connection)
    return SendingLimits(rows, clock, default_messages=messages, default_recipients=recipients)


def check(allowance: SendingLimits, account: Account, recipients: list[Address]) -> LimitExceeded | None:
    """What is said of a message that is not sent."""
    taken = allowance.take(account, recipients)
    if isinstance(taken, Taken):
        allowance.give_back(taken)
        return None
    return taken


def copy_of(connection: apsw.Connection) -> apsw.Connection:
    copy = apsw.Connection(":memory:")
    with copy.backup("main", connection, "main") as work:
        work.step()
    return copy


def add(rows: SqliteSendingLimitRows, account: int, recipients: list[bytes], now: int) -> None:
    with rows.transaction():
        rows.add(account, recipients, now)


def test_without_bounds_nothing_is_written(connection: apsw.Connection, clock: Clock) -> None:
    allowance = bounded(connection, clock)
    allowance.take(ALICE, people("x"))
    assert check(allowance, ALICE, people("x")) is None
    assert connection.execute("SELECT count(*) FROM sent").get == 0


def test_an_account_may_have_no_bound_of_its_own(connection: apsw.Connection, clock: Clock) -> None:
    allowance = bounded(connection, clock, messages=1, recipients=1)
    free = Account(3, Address("list", "a.test"), None, UNBOUNDED, UNBOUNDED)
    for n in range(5):
        assert allowance.take(free, people(f"{n}a", f"{n}b")) is None
    assert connection.execute("SELECT count(*) FROM sent").get == 0


def test_a_message_leaves_the_count_after_a_day(connection: apsw.Connection, clock: Clock) -> None:
    allowance = bounded(connection, clock, messages=2)
    began = int(clock.now)
    for _ in range(2):
        assert check(allowance, ALICE, people("x")) is None
        allowance.take(ALICE, people("x"))
        clock.now += 100
    assert check(allowance, ALICE, people("x")) == LimitExceeded(Limit.MESSAGES, 2, began + PERIOD)
    assert check(allowance, BOB, people("x")) is None
    clock.now = began + PERIOD - 1
    assert check(allowance, ALICE, people("x")) is not None
    clock.now = began + PERIOD  # when it said it would lift
    assert check(allowance, ALICE, people("x")) is None


def test_what_is_given_back_counts_no_more(connection: apsw.Connection, clock: Clock) -> None:
    allowance = bounded(connection, clock, messages=2, recipients=2)
    assert isinstance(allowance.take(ALICE, people("a")), Taken)
    taken = allowance.take(ALICE, people("a", "b"))
    assert isinstance(taken, Taken)
    assert isinstance(allowance.take(ALICE, people("a")), LimitExceeded)
    allowance.give_back(taken)
    rows = SqliteSendingLimitRows(connection)
    assert len(rows.sent(1, 0)) == len(rows.first_contacts(1, 0)) == 1  # a is known already, and stays so


def test_only_new_recipients_count(connection: apsw.Connection, clock: Clock) -> None:
    allowance = bounded(connection, clock, recipients=2)
    began = int(clock.now)
    allowance.take(ALICE, people("a", "b"))
    clock.now += 100
    assert check(allowance, ALICE, people("a", "b", "A", "B")) is None
    assert check(allowance, ALICE, people("c")) == LimitExceeded(Limit.RECIPIENTS, 2, began + PERIOD)
    assert check(allowance, ALICE, people("c", "d", "e")) == LimitExceeded(Limit.RECIPIENTS, 2, 0)
    assert check(allowance, BOB, people("c")) is None
    clock.now += PERIOD
    allowance.take(ALICE, people("c", "d"))
    clock.now += 1
    assert check(allowance, ALICE, people("a", "b", "c", "d")) is None  # known for ever, it counted once


def test_a_recipient_has_one_form(connection: apsw.Connection, clock: Clock) -> None:
    allowance = bounded(connection, clock, recipients=1)
    allowance.take(ALICE, [Address.parse("x@bücher.test")])
    for spelling in ("x@bücher.test", "X@xn--bcher-kva.test", "X@BÜCHER.test"):
        assert check(allowance, ALICE, [Address.parse(spelling)]) is None
    assert check(allowance, ALICE, [Address.parse("y@bücher.test")]) is not None


def test_one_message_to_many_spellings_counts_each_once(connection: apsw.Connection, clock: Clock) -> None:
    allowance = bounded(connection, clock, recipients=1)
    assert check(allowance, ALICE, people("x", "X", "x")) is None
    allowance.take(ALICE, people("x", "X", "x"))
    assert connection.execute("SELECT count(*) FROM met").get == 1


@pytest.mark.parametrize("own", [0, 1, 5])
def test_the_accounts_own_bound_comes_first(connection: apsw.Connection, clock: Clock, own: int) -> None:
    allowance = bounded(connection, clock, messages=3, recipients=3)
    account = Account(1, Address("alice", "a.test"), None, day_messages=own)
    sent = 0
    while sent < 9 and check(allowance, account, people("x")) is None:
        allowance.take(account, people("x"))
        sent += 1
    assert sent == own
    newcomers = Account(2, Address("bob", "a.test"), None, day_recipients=own)
    assert (check(allowance, newcomers, people(*"abcde"[: own + 1])) is None) == (own == 5)


def test_nothing_at_all_never_lifts(connection: apsw.Connection, clock: Clock) -> None:
    account = Account(1, Address("alice", "a.test"), None, day_messages=0)
    assert check(bounded(connection, clock), account, people("x")) == LimitExceeded(Limit.MESSAGES, 0, 0)


def test_many_recipients_at_once(connection: apsw.Connection, clock: Clock) -> None:
    rows = SqliteSendingLimitRows(connection)
    known = [n.to_bytes(8, "big") for n in range(250)]
    add(rows, 1, known, int(clock.now))
    newcomers = [n.to_bytes(8, "big") for n in range(1000, 1250)]
    assert rows.new_recipients(1, [*known, *newcomers]) == set(newcomers)
    assert rows.new_recipients(2, known) == set(known)
    assert rows.new_recipients(1, []) == set()


def test_rows_are_bounded_and_old_ones_forgotten(connection: apsw.Connection, clock: Clock) -> None:
    rows = SqliteSendingLimitRows(connection, bound=10)
    add(rows, 9, [b"kept"], int(clock.now))
    for n in range(30):
        clock.now += 1
        add(rows, 1, [bytes([n, 0]), bytes([n, 1])], int(clock.now))
    met = [bytes(row[0])[0] for row in connection.execute("SELECT recipient FROM met WHERE account = 1")]
    assert sorted(met) == sorted([*range(25, 30)] * 2)
    clock.now += PERIOD
    add(rows, 2, [], int(clock.now))
    assert connection.execute("SELECT count(*) FROM sent").get == 1  # account 1 is gone and nobody asked for it
    assert rows.new_recipients(9, [b"kept"]) == set()


def test_processes_count_together(tmp_path: Path, connection: apsw.Connection) -> None:
    rows = SqliteSendingLimitRows(connection)
    path = str(tmp_path / "volatile.db")
    senders = [subprocess.Popen([sys.executable, "-c", SEND, path]) for _ in range(2)]
    assert [sender.wait(60) for sender in senders] == [0, 0]
    assert len(rows.sent(1, 0)) == 400
    assert len(rows.first_contacts(1, 0)) == 200


def test_a_file_that_cannot_be_used_is_told(connection: apsw.Connection) -> None:
    rows = SqliteSendingLimitRows(connection)
    connection.execute("PRAGMA query_only = ON")
    with pytest.raises(DirectoryBusyError, match="cannot be written"):
        add(rows, 1, [b"x"], 0)
    connection.execute("PRAGMA query_only = OFF; DROP TABLE met")
    with pytest.raises(DirectoryBusyError, match="cannot be read"):
        rows.new_recipients(1, [b"x"])
    with pytest.raises(DirectoryBusyError):
        add(rows, 1, [b"x"], 0)
    assert not connection.in_transaction
    assert rows.sent(1, -1) == []  # half of a message is not counted


def test_a_full_disk_leaves_the_counts_as_they_were(connection: apsw.Connection) -> None:
    rows = SqliteSendingLimitRows(connection)
    add(rows, 1, [b"first"], 0)
    connection.pragma("max_page_count", connection.pragma("page_count"))
    with pytest.raises(DirectoryBusyError):
        for n in range(1000):
            add(rows, 1, [(n * 100 + each).to_bytes(8, "big") for each in range(100)], 0)
    sent = len(rows.sent(1, -1))
    assert len(rows.first_contacts(1, -1)) == 1 + (sent - 1) * 100
    connection.pragma("max_page_count", 1_000_000)
    add(rows, 1, [b"again"], 0)
    assert len(rows.sent(1, -1)) == sent + 1


def test_addresses_do_not_stand_in_the_file(tmp_path: Path, connection: apsw.Connection, clock: Clock) -> None:
    bounded(connection, clock, recipients=5).take(ALICE, people("somebody"))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    assert b"somebody" not in (tmp_path / "volatile.db").read_bytes()


STEPS = st.lists(
    st.tuples(st.integers(0, 40_000), st.lists(st.integers(0, 6), min_size=1, max_size=4)), min_size=1, max_size=25
)


@given(STEPS, st.integers(0, 4), st.integers(0, 4))
def test_never_more_than_the_bounds_and_it_lifts_when_it_says(
    steps: list[tuple[int, list[int]]], messages: int, recipients: int
) -> None:
    """Whatever is tried, no window of 24 hours holds more than is allowed."""
    clock = Clock(1_800_000_000.0)
    connection = apsw.Connection(":memory:")
    account = Account(1, Address("alice", "a.test"), None, day_messages=messages, day_recipients=recipients)
    allowance = SendingLimits(SqliteSendingLimitRows(connection), clock)
    sent: list[float] = []
    met: dict[int, float] = {}
    for wait, numbers in steps:
        clock.now += wait
        to = people(*(f"p{number}" for number in numbers))
        excess = check(allowance, account, to)
        if excess is not None and excess.lifts:
            now, clock.now = clock.now, float(excess.lifts)
            later = check(bounded(copy_of(connection), clock, messages=messages, recipients=recipients), account, to)
            assert now < excess.lifts <= now + PERIOD and (later is None or later.kind is not excess.kind)
            clock.now = now
        if excess is None:
            allowance.take(account, to)
            sent.append(clock.now)
            for number in numbers:
                met.setdefault(number, clock.now)
            assert sum(at > clock.now - PERIOD for at in sent) <= messages
            assert sum(at > clock.now - PERIOD for at in met.values()) <= recipients
    connection.close()


def test_a_clock_set_back_does_not_stop_an_account_until_the_old_time(
    connection: apsw.Connection, clock: Clock
) -> None:
    allowance = bounded(connection, clock, messages=2, recipients=2)
    for name in ("x", "y"):
        allowance.take(ALICE, people(name))
    assert check(allowance, ALICE, people("z")) is not None
    clock.now -= 5
    assert check(allowance, ALICE, people("z")) is not None  # a clock set right by seconds gives nothing away
    clock.now -= 400 * 86_400
    assert check(allowance, ALICE, people("z")) is None
    for name in ("v", "w"):
        allowance.take(ALICE, people(name))
    excess = check(allowance, ALICE, people("z"))
    assert excess is not None
    assert excess.lifts == int(clock.now) + PERIOD
