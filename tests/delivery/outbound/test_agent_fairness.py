"""One destination that is slow, silent or down takes nothing away from the others."""

import asyncio
import itertools

import pytest

from posthouse.delivery.outbound import lanes
from posthouse.delivery.outbound.schedule import Schedule
from posthouse.queue.interface import Filter, RecipientState
from tests.delivery.outbound.test_agent import Play, play  # noqa: F401 -- the fixture
from tests.delivery.sending import Fixture

MINUTE = 60


@pytest.mark.parametrize(("hosts", "each"), [(1, 200), (6, 40), (250, 1)])
@pytest.mark.parametrize("word", ["silent", "mute"])
def test_silent_destinations_starve_nobody(play: Play, hosts: int, each: int, word: str) -> None:  # noqa: F811
    async def scene(fixture: Fixture) -> None:
        worker, other = await fixture.worker(), await fixture.worker(starts=False)
        other.router._active = None
        names = [f"silent{n}.test" for n in range(hosts)]
        fixture.script |= dict.fromkeys(names, word)
        for n, name in itertools.product(range(each), names):
            await fixture.submit((worker, other)[n % 2], f"{n}@{name}")
        await asyncio.sleep(5)
        await fixture.submit_many(other, 100, "good.test")
        await fixture.submit_many(worker, 100, "good.test", first=100)
        await asyncio.sleep(MINUTE)
        assert len(fixture.delivered("good.test")) == 200
        assert worker.active.lanes.held <= hosts + 1

    play(scene)


def test_destinations_that_turn_silent_give_their_room_back(play: Play) -> None:  # noqa: F811
    async def scene(fixture: Fixture) -> None:
        worker = await fixture.worker()
        names = [f"turns{n}.test" for n in range(6)]
        for name in names:
            await fixture.submit_many(worker, 80, name)
            await asyncio.sleep(3)
        assert len(fixture.delivered()) == 480
        fixture.script |= dict.fromkeys(names, "mute")
        for name in names:
            await fixture.submit_many(worker, 80, name, first=80)
        held = worker.active.lanes.held
        assert held > 100
        await asyncio.sleep(30)
        assert worker.active.lanes.held <= 6 * 20  # what is on the wire
        assert sum(each.claimed for each in fixture.rows().values()) == worker.active.lanes.held
        fixture.script |= dict.fromkeys(names, "ok")
        await asyncio.sleep(3 * 3600)
        assert len(fixture.delivered()) == 960
        assert max(fixture.delivered().values()) == 1

    play(scene)


def test_a_slow_destination_is_sent_as_much_at_once_as_it_may_be(play: Play) -> None:  # noqa: F811
    """One that answers after 15 seconds is no silent one: its lane grows to all of its connections."""

    async def scene(fixture: Fixture) -> None:
        worker = await fixture.worker()
        fixture.script["slow.test"] = "slow"
        await fixture.submit_many(worker, 100, "slow.test")
        await asyncio.sleep(15 * (100 / 20 + 7))
        assert len(fixture.delivered("slow.test")) == 100

    play(scene)


def test_the_bounds_of_each_kind_hold_together(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    async def scene(fixture: Fixture) -> None:
        monkeypatch.setattr(lanes, "NEW_AT_MOST", 3)
        monkeypatch.setattr(lanes, "UNPROVEN_AT_MOST", 10)
        monkeypatch.setattr(lanes, "LIVE_AT_MOST", 8)
        worker = await fixture.worker()
        names = [f"silent{n}.test" for n in range(30)]
        fixture.script |= dict.fromkeys(names, "silent")
        await fixture.submit_many(worker, 1, "good.test")
        await asyncio.sleep(2)
        for name in names:
            await fixture.submit(worker, f"x@{name}")
        await asyncio.sleep(0.1)
        assert worker.active.lanes.held == 3
        await asyncio.sleep(100)
        assert worker.active.lanes.held == 10
        fixture.script["good.test"] = "slow"
        await asyncio.sleep(150)
        assert worker.active.lanes.held == 10

    play(scene)


def test_what_waits_for_a_dead_host_costs_nothing_and_each_is_told_and_given_up(play: Play) -> None:  # noqa: F811
    async def scene(fixture: Fixture) -> None:
        worker = await fixture.worker()
        fixture.script["dead.test"] = "down"
        await fixture.submit_many(worker, 100, "dead.test")
        await asyncio.sleep(1500)
        assert len(fixture.sent) < 20  # probes: what else is due counts as tried, without a try
        told = await fixture.told()
        assert len(told) == 100
        assert all(each == {"delayed": 1} for each in told.values())
        await asyncio.sleep(4000)
        rows = fixture.rows()
        assert {each.state for each in rows.values()} == {RecipientState.EXPIRED}
        told = await fixture.told()
        assert all(each == {"delayed": 1, "failed": 1} for each in told.values())
        assert min(each.attempts for each in rows.values()) >= 12

    play(scene, Schedule(first_retry=30, delay_warning=600, expire=3000, chance=lambda: 0.5))


def test_a_dead_host_that_comes_back_gets_everything(play: Play) -> None:  # noqa: F811
    async def scene(fixture: Fixture) -> None:
        worker = await fixture.worker()
        fixture.script["dead.test"] = "down"
        await fixture.submit_many(worker, 100, "dead.test")
        await asyncio.sleep(1800)
        fixture.script["dead.test"] = "ok"
        await asyncio.sleep(2 * 3600)
        assert fixture.delivered() == {f"{n}@dead.test": 1 for n in range(100)}

    play(scene)


def test_a_retry_asked_for_while_the_host_is_down_gets_everything_out(play: Play) -> None:  # noqa: F811
    async def scene(fixture: Fixture) -> None:
        worker = await fixture.worker()
        fixture.script["dead.test"] = "down"
        await fixture.submit_many(worker, 60, "dead.test")
        await asyncio.sleep(100)
        fixture.script["dead.test"] = "ok"
        with fixture.desk() as desk:
            assert desk.retry(Filter()) == 60
        await asyncio.sleep(10)
        assert fixture.delivered() == {f"{n}@dead.test": 1 for n in range(60)}

    play(scene)
