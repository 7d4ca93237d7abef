"""Lanes: how many at once, how fast, and what being down means."""

from posthouse.delivery.lane import Job, Lane
from posthouse.delivery.outcome import Transient
from posthouse.message.reply import Reply

DOWN = Transient(Reply(451, "4.4.1", "nobody there"))


def test_workers_up_to_the_bound() -> None:
    lane = Lane("y.test", 2)
    assert not lane.wants_worker()
    lane.jobs.append(Job([]))
    assert lane.wants_worker()
    lane.active = 2
    assert not lane.wants_worker()


def test_a_rate_is_kept() -> None:
    lane = Lane("y.test", 20, per_minute=60)
    pauses = [lane.pause(100.0) for _ in range(4)]
    assert [round(pause) for pause in pauses] == [1, 2, 3, 4]
    assert lane.pause(1000.0) < 1.1  # what was not used is not saved up
    lane.jobs.append(Job([]))
    lane.active = 1
    assert not lane.wants_worker()


def test_down_for_longer_each_time_and_never_too_long() -> None:
    lane = Lane("y.test", 2)
    now, lengths = 0.0, []
    for _ in range(8):
        lane.went_down(now, DOWN)
        lengths.append(lane.down_until - now)
        assert lane.is_down(now)
        now = lane.down_until
        assert not lane.is_down(now)
    assert lengths == [60, 120, 240, 480, 900, 900, 900, 900]
    lane.came_up()
    assert lane.failure is None
    lane.went_down(now, DOWN)
    assert lane.down_until - now == 60
