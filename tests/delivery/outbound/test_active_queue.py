"""What the router may hand over at once, and what the agent finds in the lanes."""

from typing import Any

from posthouse.delivery.inbound.router import Router
from posthouse.delivery.outbound.active_queue import ActiveQueue
from posthouse.delivery.outbound.lane import Lane, RateLimit
from posthouse.queue.interface import Filter
from posthouse.queue.outcome import Permanent, Transient
from posthouse.queue.sqlite.admin import QueueAdmin
from tests.delivery.fixture import Fixture
from tests.delivery.inbound.test_pipeline import codes
from tests.delivery.sending import LATER, NEVER


class Watched:
    """A router with a real queue behind it, and what an agent would be called for."""

    def __init__(self, at: Fixture) -> None:
        self.at = at
        self.lanes: list[Lane] = []
        store: Any = at.store
        self.active = ActiveQueue(at.outgoing, store, lambda _: RateLimit(3, 60), first_retry=300.0)
        self.active.attach(self.lanes.append)
        at.router = Router(at.directory, store, lambda: at.now, outgoing=at.outgoing, active=self.active)

    async def submit(self, *to: str) -> None:
        assert set(codes(await self.at.file(*to, may_relay=True))) == {250}

    def claimed(self) -> list[str]:
        return sorted(str(row.recipient.address) for row in self.at.queued() if row.claimed)


async def test_nothing_is_handed_over_before_the_lease_was_taken(at: Fixture) -> None:
    watched = Watched(at)
    assert not watched.active.may_send
    await watched.submit("a@x.test")
    assert (watched.claimed(), watched.lanes, watched.active.held) == ([], [], set())
    await at.outgoing.renew()
    await watched.submit("b@x.test")
    assert watched.claimed() == ["b@x.test"]


async def test_one_job_for_each_destination(at: Fixture) -> None:
    watched = Watched(at)
    await at.outgoing.renew()
    await watched.submit("a@x.test", "b@x.test", "c@y.test")
    assert [lane.destination for lane in watched.lanes] == ["x.test", "y.test"]
    x, y = watched.lanes
    assert (x.connections, x.per_minute, x.held, y.held) == (3, 60, 1, 1)
    (job,) = x.jobs
    assert [str(one.recipient.address) for one in job.waiting] == ["a@x.test", "b@x.test"]
    assert job.content is not None and (await job.content.whole()).endswith(b"hi\r\n")
    assert len(watched.active.held) == 3 and await at.outgoing.claimed() == dict.fromkeys(watched.active.held, False)
    watched.active.done(x, x.jobs.popleft())
    assert (len(watched.active.held), x.held) == (1, 0)


async def test_a_lane_without_room_is_looked_at_again(at: Fixture) -> None:
    watched = Watched(at)
    await at.outgoing.renew()
    for name in ("a", "b"):
        await watched.submit(f"{name}@x.test")  # before its first answer a destination gets one message
    assert watched.claimed() == ["a@x.test"]
    (lane,) = watched.lanes
    assert lane.more
    watched.active.wake.clear()
    watched.active.done(lane, lane.jobs.popleft())
    assert watched.active.wake.is_set() and not lane.more


async def test_nothing_is_sent_that_could_not_be_recorded(at: Fixture) -> None:
    active = Watched(at).active
    await at.outgoing.renew()
    assert active.may_send
    active.recording_failed()
    assert not active.may_send
    active.renewed(active.now() + 1)  # the store can write after all: it is one message
    assert active.may_send
    active.recording_failed()
    active.recorded_late()
    active.recorded_late()
    assert active.may_send
    active.doubt()
    assert not active.may_send and active.doubts == 1
    active.is_sure = True
    active.stopping.set()
    assert not active.may_send


async def test_surplus_is_given_back(at: Fixture) -> None:
    watched = Watched(at)
    await at.outgoing.renew()
    lane = watched.active.lanes.get("x.test")
    lane.allowance = 3
    for name in "abc":
        await watched.submit(f"{name}@x.test")
    assert lane.held == 3 and watched.active.take_surplus() == []
    lane.allowance = 1
    assert len(watched.active.take_surplus()) == 2
    assert lane.held == len(watched.active.held) == 1


async def test_an_operator_tries_a_destination_that_is_down(at: Fixture) -> None:
    watched = Watched(at)
    await at.outgoing.renew()
    lane = watched.active.lanes.get("x.test")
    for failure in (Transient(LATER), Permanent(NEVER)):
        lane.went_down(watched.active.now(), failure)
        assert lane.is_down(watched.active.now())
        await watched.submit("a@x.test")
        lane.came_up()
    await at.outgoing.leave()
    await at.outgoing.renew()
    watched.active.held.clear()
    lane.went_down(watched.active.now(), Transient(LATER))
    with QueueAdmin(at.folder / "posthouse.db", clock=lambda: at.now) as admin:
        assert admin.retry(Filter()) == 2
    claimed = await at.outgoing.claim([], 10)
    assert all(one.urgent for one in claimed)
    watched.active.add(claimed, {})
    assert not lane.is_down(watched.active.now())
