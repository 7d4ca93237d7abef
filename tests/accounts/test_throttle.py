"""The rules of the throttle, on counters in memory and in rows alike."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import apsw
import pytest

from posthouse.accounts.sqlite import SqliteThrottleRows
from posthouse.accounts.throttle import (
    Charge,
    Count,
    MemoryThrottleRows,
    Throttle,
    ThrottleLimit,
    ThrottleRows,
    ThrottleUnavailableError,
)
from tests.accounts.clock import Clock

HERE, THERE = "192.0.2.1", "198.51.100.7"
LIMIT = ThrottleLimit(free=3, first=2, longest=100, forget=1_000)


@pytest.fixture(params=["memory", "sqlite"])
def rows(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ThrottleRows]:
    if request.param == "memory":
        yield MemoryThrottleRows()
        return
    connection = apsw.Connection(str(tmp_path / "volatile.db"))
    yield SqliteThrottleRows(connection)
    connection.close()


@pytest.fixture
def throttle(rows: ThrottleRows, clock: Clock) -> Throttle:
    return Throttle(
        rows, clock, pair=LIMIT, network=ThrottleLimit(10, 2, 100, 1_000), name=ThrottleLimit(12, 2, 16, 1_000)
    )


def fail(throttle: Throttle, times: int, name: str | Callable[[int], str] = "alice@a.test", ip: str = HERE) -> None:
    for number in range(times):
        throttle.failed(name if isinstance(name, str) else name(number), ip)


def test_delays_double_up_to_a_bound() -> None:
    assert [LIMIT.delay(failures) for failures in range(12)] == [0, 0, 0, 2, 4, 8, 16, 32, 64, 100, 100, 100]
    assert LIMIT.delay(1_000_000) == 100


def test_some_failures_are_free_then_the_pair_waits(throttle: Throttle, clock: Clock) -> None:
    fail(throttle, 2)
    assert throttle.wait("alice@a.test", HERE) == 0
    fail(throttle, 1)
    assert throttle.wait("alice@a.test", HERE) == 2
    assert throttle.wait("alice@a.test", THERE) == 0
    assert throttle.wait("bob@a.test", HERE) == 0
    clock.now += 1.5
    assert throttle.wait("alice@a.test", HERE) == pytest.approx(0.5)
    clock.now += 0.5
    assert throttle.wait("alice@a.test", HERE) == 0
    fail(throttle, 1)
    assert throttle.wait("alice@a.test", HERE) == 4


def test_success_resets_the_pair(throttle: Throttle) -> None:
    fail(throttle, 3)
    throttle.succeeded("alice@a.test", HERE)
    assert throttle.wait("alice@a.test", HERE) == 0
    fail(throttle, 2)
    assert throttle.wait("alice@a.test", HERE) == 0


def test_failures_are_forgotten_in_time(throttle: Throttle, clock: Clock) -> None:
    fail(throttle, 2)
    clock.now += 1_001
    fail(throttle, 2)
    assert throttle.wait("alice@a.test", HERE) == 0


def test_a_network_that_tries_many_names_waits_for_all(throttle: Throttle) -> None:
    fail(throttle, 10, lambda number: f"user{number}@a.test")
    assert throttle.wait("another@a.test", HERE) == 2
    assert throttle.wait("another@a.test", THERE) == 0


def test_a_name_tried_from_everywhere_is_held_back_but_not_shut_and_not_from_a_known_network(
    throttle: Throttle, clock: Clock
) -> None:
    throttle.succeeded("alice@a.test", HERE)
    for number in range(11):
        throttle.failed("alice@a.test", f"203.0.113.{number}")
    assert throttle.held_back("alice@a.test", THERE) == 0
    for number in range(11, 150):
        throttle.failed("alice@a.test", f"203.0.113.{number}")
        clock.now += 5  # it goes on for a while
    assert throttle.held_back("alice@a.test", THERE) == 16
    assert throttle.held_back("alice@a.test", HERE) == 0
    assert throttle.held_back("bob@a.test", THERE) == 0
    for name, ip in (("alice@a.test", THERE), ("alice@a.test", HERE), ("bob@a.test", THERE)):
        assert throttle.wait(name, ip) == 0
    throttle.succeeded("alice@a.test", THERE)  # the owner has come from there
    assert throttle.held_back("alice@a.test", THERE) == 0
    clock.now += 1_017
    assert throttle.held_back("alice@a.test", "198.51.100.8") == 0


def test_neighbours_behind_one_address_do_not_lock_each_other_out(throttle: Throttle) -> None:
    throttle.succeeded("alice@a.test", HERE)
    fail(throttle, 10, lambda number: f"user{number}@a.test")
    assert throttle.wait("bob@a.test", HERE) > 0
    assert throttle.wait("alice@a.test", HERE) == 0


def test_failures_from_a_known_network_count_for_the_pair_alone(throttle: Throttle) -> None:
    throttle.succeeded("alice@a.test", HERE)
    delays = []
    for _ in range(40):
        fail(throttle, 1)
        delays.append(throttle.held_back("alice@a.test", HERE))
    assert delays[:9] == [0, 0, 0, 0, 1, 2, 4, 8, 15]
    assert delays[9:] == [15] * 31
    for name, ip in (("alice@a.test", HERE), ("bob@a.test", HERE), ("alice@a.test", THERE)):
        assert throttle.wait(name, ip) == 0
    assert throttle.held_back("bob@a.test", HERE) == 0
    assert throttle.held_back("alice@a.test", THERE) == 0


def test_from_a_known_network_a_neighbour_who_guesses_does_not_take_all_places(throttle: Throttle) -> None:
    throttle.succeeded("alice@a.test", HERE)
    fail(throttle, 40)
    assert [throttle.begin("alice@a.test", HERE) for _ in range(10)] == [True] * 8 + [False] * 2
    fail(throttle, 40, "bob@a.test")
    assert [throttle.begin("bob@a.test", HERE) for _ in range(2)] == [True, False]


def test_a_home_is_forgotten_after_months(throttle: Throttle, clock: Clock) -> None:
    throttle.succeeded("alice@a.test", HERE)
    clock.now += 91 * 86_400
    fail(throttle, 10, lambda number: f"user{number}@a.test")
    assert throttle.wait("alice@a.test", HERE) > 0


def test_a_clock_set_back_locks_nobody_out_for_long(throttle: Throttle, clock: Clock) -> None:
    fail(throttle, 3)
    clock.now -= 10 * 365 * 86_400
    assert throttle.wait("alice@a.test", HERE) <= 100


def test_attempts_at_once_count_before_they_end(throttle: Throttle) -> None:
    assert [throttle.begin("alice@a.test", HERE) for _ in range(5)] == [True, True, True, False, False]
    assert throttle.begin("alice@a.test", THERE)
    assert throttle.begin("bob@a.test", HERE)
    for _ in range(3):
        throttle.end("alice@a.test", HERE)
    fail(throttle, 2)
    assert [throttle.begin("alice@a.test", HERE) for _ in range(2)] == [True, False]


def test_addresses_of_one_ipv6_network_share_the_counter(throttle: Throttle) -> None:
    for number in range(3):
        throttle.failed("alice@a.test", f"2001:db8::{number}")
    assert throttle.wait("alice@a.test", "2001:db8::ffff") == 2


def test_odd_names_are_counted_too(throttle: Throttle) -> None:
    for name in ("\0", "\udcff", "x" * 5_000, "'; DROP TABLE login_failures; --", "../../etc/passwd"):
        fail(throttle, 3, name)
        assert throttle.wait(name, HERE) > 0


def test_a_success_without_failures_writes_once_a_day(clock: Clock) -> None:
    class Counting(MemoryThrottleRows):
        writes = 0

        def note_known_network(self, key: bytes, until: float) -> None:
            self.writes += 1
            super().note_known_network(key, until)

        def forgive(self, key: bytes) -> None:
            self.writes += 1
            super().forgive(key)

    rows = Counting()
    throttle = Throttle(rows, clock)
    for _ in range(100):
        throttle.succeeded("alice@a.test", HERE)
    assert rows.writes == 1
    clock.now += 86_401
    throttle.succeeded("alice@a.test", HERE)
    assert rows.writes == 2


class _Broken:
    """Rows on a full disk: nothing can be written."""

    def __init__(self) -> None:
        self.readable = True

    def counts(self, keys: Sequence[bytes]) -> dict[bytes, Count]:
        if not self.readable:
            raise ThrottleUnavailableError
        return {}

    def charge(self, charges: Sequence[Charge], now: float) -> None:
        raise ThrottleUnavailableError

    def forgive(self, key: bytes) -> None:
        raise ThrottleUnavailableError

    def note_known_network(self, key: bytes, until: float) -> None:
        raise ThrottleUnavailableError

    def is_known_network(self, key: bytes, now: float) -> bool:
        raise ThrottleUnavailableError


@pytest.mark.parametrize("readable", [True, False])
def test_when_rows_cannot_be_written_this_process_counts_alone(clock: Clock, readable: bool) -> None:
    broken = _Broken()
    broken.readable = readable
    throttle = Throttle(broken, clock, pair=LIMIT)
    fail(throttle, 3)
    assert throttle.wait("alice@a.test", HERE) == 2
    throttle.succeeded("alice@a.test", HERE)
    assert throttle.wait("alice@a.test", HERE) == 0


def test_memory_is_bounded(clock: Clock) -> None:
    rows = MemoryThrottleRows(bound=30)
    throttle = Throttle(rows, clock)
    fail(throttle, 100, lambda number: f"user{number}@a.test")
    for number in range(100):
        throttle.succeeded(f"user{number}@a.test", HERE)
    assert len(rows._counts) <= 30
    assert len(rows._known_networks) <= 30


def test_a_clock_set_back_makes_nobody_wait_for_the_old_time(throttle: Throttle, clock: Clock) -> None:
    fail(throttle, 20)
    assert throttle.wait("alice@a.test", HERE) == 100
    clock.now -= 400 * 86_400
    assert throttle.wait("alice@a.test", HERE) == 0
    fail(throttle, 2)  # what was counted in the future does not count now
    assert throttle.wait("alice@a.test", HERE) == 0
    fail(throttle, 1)
    assert throttle.wait("alice@a.test", HERE) == 2


def test_a_clock_set_right_by_seconds_frees_nobody(throttle: Throttle, clock: Clock) -> None:
    fail(throttle, 20)
    clock.now -= 5
    assert throttle.wait("alice@a.test", HERE) == 100
    fail(throttle, 1)
    assert throttle.wait("alice@a.test", HERE) == 100
