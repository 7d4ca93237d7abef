"""Lanes: how many at once, how fast, and what being down means."""

from posthouse.delivery.outbound.lane import QUIET_SECONDS, DeliveryJob, Lane, LaneState
from posthouse.message.reply import Reply
from posthouse.queue.outcome import Transient

DOWN = Transient(Reply(451, "4.4.1", "nobody there"))


def test_workers_up_to_the_bound() -> None:
    lane = Lane("y.test", 2)
    assert not lane.wants_worker()
    lane.jobs.append(DeliveryJob([]))
    assert lane.wants_worker()
    lane.active = 2
    assert not lane.wants_worker()


def test_a_rate_is_kept() -> None:
    lane = Lane("y.test", 20, per_minute=60)
    pauses = [lane.pause(100.0) for _ in range(4)]
    assert [round(pause) for pause in pauses] == [1, 2, 3, 4]
    assert lane.pause(1000.0) < 1.1  # what was not used is not saved up
    lane.jobs.append(DeliveryJob([]))
    lane.active = 1
    assert not lane.wants_worker()


def test_the_allowance_grows_with_each_answer_and_is_lost_without() -> None:
    lane = Lane("y.test", 4)
    assert lane.room(0.0) == 1
    for n in range(30):
        lane.began(float(n))
        lane.ended(n + 0.5, answered=True, waited=0.1)
    lane.state = lane.current_state(30.0)
    assert (lane.state, lane.allowance, lane.room(30.0)) == (LaneState.LIVE, 121, 121)
    for expected in (60, 30, 15, 7, 4, 4):  # what had to wait long was too much; but no less than its connections
        lane.began(40.0)
        lane.ended(41.0, answered=True, waited=QUIET_SECONDS)
        assert lane.allowance == expected
    lane.began(50.0)
    lane.ended(51.0, answered=False, waited=0.0)
    assert lane.allowance == 1
    assert not lane.is_mute
    lane.began(52.0)
    lane.ended(53.0, answered=False, waited=0.0)
    assert lane.is_mute


def test_a_lane_is_quiet_as_long_as_it_keeps_us_waiting() -> None:
    lane = Lane("y.test", 4, allowance=5)
    lane.began(0.0)
    assert lane.current_state(QUIET_SECONDS - 1) is LaneState.NEW
    lane.state = lane.current_state(QUIET_SECONDS)
    assert lane.state is LaneState.QUIET
    assert lane.room(QUIET_SECONDS) == 0
    lane.jobs.extend([DeliveryJob([]), DeliveryJob([])])
    lane.held = 3
    assert len(lane.surplus(QUIET_SECONDS)) == 2
    assert not lane.jobs
    lane.ended(20.0, answered=True, waited=0.0)
    assert lane.current_state(20.0) is LaneState.LIVE


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
