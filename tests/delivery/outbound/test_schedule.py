"""When a message is tried again, and when it is given up."""

from posthouse.delivery.outbound.schedule import Schedule

HOUR = 3600.0
DAY = 24 * HOUR
STEADY = Schedule(chance=lambda: 1.0)


def test_the_first_retry_comes_within_five_minutes_or_so() -> None:
    assert STEADY.retry_in(1) == 300
    assert Schedule().retry_in(1) <= 300


def test_retries_come_slower_and_then_by_the_hour() -> None:
    pauses = [STEADY.retry_in(n) for n in range(1, 40)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == HOUR
    at = [sum(pauses[:n]) for n in range(1, 5)]
    assert at == [300, 1200, 2700, 4800]  # 5, 20, 45, 80 minutes: squares


def test_jitter_parts_what_failed_together() -> None:
    low, high = Schedule(chance=lambda: 0.0).retry_in(9), Schedule(chance=lambda: 1.0).retry_in(9)
    assert low == 0.8 * HOUR
    assert high == HOUR


def test_a_message_is_given_up_after_its_time() -> None:
    assert not STEADY.is_over(age=4 * DAY, left=DAY, attempts=100)
    assert STEADY.is_over(age=5 * DAY, left=0, attempts=100)


def test_a_clock_that_jumps_is_no_reason_to_give_up() -> None:
    """All would be over at once; but there were hardly any tries."""
    assert not STEADY.is_over(age=400 * DAY, left=-395 * DAY, attempts=2)
    assert STEADY.is_over(age=400 * DAY, left=-395 * DAY, attempts=12)


def test_a_short_life_asks_for_fewer_tries() -> None:
    short = Schedule(first_retry=1, expire=3)
    assert short.is_over(age=3, left=0, attempts=3)
    assert not short.is_over(age=3, left=0, attempts=2)


def test_the_sender_is_told_of_a_delay_once_it_is_late() -> None:
    assert not STEADY.is_late(age=4 * HOUR - 1, attempts=20)
    assert STEADY.is_late(age=4 * HOUR, attempts=4)
    assert not Schedule(delay_warning=0).is_late(age=10 * DAY, attempts=20)


def test_a_clock_that_jumps_makes_nothing_late() -> None:
    """It was hardly tried: that it is old is the clock's word alone."""
    assert not STEADY.is_late(age=8 * HOUR, attempts=3)


def test_an_early_warning_asks_for_no_more_tries_than_come_before_it() -> None:
    assert Schedule(first_retry=300, delay_warning=200).is_late(age=200, attempts=1)
    assert Schedule(first_retry=1, delay_warning=3).is_late(age=3, attempts=2)
    assert not Schedule(first_retry=1, delay_warning=3).is_late(age=3, attempts=1)
