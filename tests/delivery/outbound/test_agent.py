"""The sender: whatever fails, each recipient is tried until its outcome is recorded, and no outcome is lost."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from posthouse.delivery.outbound.schedule import Schedule
from posthouse.mailstore.interface import StoreError, StoreFullError
from posthouse.queue.interface import LEASE_SECONDS, Filter, RecipientState
from posthouse.queue.sqlite.claimers import leave
from tests.delivery.sending import START, Fault, Fixture, failing, full, sending
from tests.store_invariants import assert_sound
from tests.virtual import VirtualLoop, run_virtual

Scene = Callable[[Fixture], Awaitable[None]]
Play = Callable[..., None]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    def play(scene: Scene, schedule: Schedule | None = None) -> None:
        async def work(loop: VirtualLoop) -> None:
            async with sending(tmp_path, loop, schedule) as fixture:
                await scene(fixture)

        run_virtual(work)
        assert_sound(tmp_path)

    return play


def test_what_comes_in_is_sent_at_once(play: Play) -> None:
    async def scene(fixture: Fixture) -> None:
        worker = await fixture.worker()
        await fixture.submit(worker, "b@y.test", "c@z.test")
        await asyncio.sleep(0.1)
        assert fixture.delivered() == {"b@y.test": 1, "c@z.test": 1}
        assert {each.state for each in fixture.rows().values()} == {RecipientState.DELIVERED}

    play(scene)


@pytest.mark.parametrize("word", ["later", "down"])
def test_the_recipients_of_one_message_stay_together(play: Play, word: str) -> None:
    """However often it is put off: by a reply to each of them, or because the destination is down."""

    async def scene(fixture: Fixture) -> None:
        worker = await fixture.worker()
        fixture.script["y.test"] = word
        await fixture.submit(worker, *(f"{n}@y.test" for n in range(50)))
        for _ in range(3):
            await asyncio.sleep(400)
            assert len({row.due for row in fixture.rows().values()}) == 1
        assert {row.attempts for row in fixture.rows().values()} != {0}

    play(scene, Schedule())


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("word", ["ok", "later", "never"])
def test_an_outcome_that_could_not_be_recorded_is_recorded_later_and_not_sent_again(
    play: Play, word: str, after: bool
) -> None:
    async def scene(fixture: Fixture) -> None:
        worker = await fixture.worker()
        fixture.script["y.test"] = word
        await fixture.submit(worker, "b@y.test")
        worker.store.fail = failing(3, "deliver" if word == "never" else "transact", after=after)
        await asyncio.sleep(10)
        row = fixture.rows()["b@y.test"]
        assert len(fixture.sent) == 1
        assert not row.claimed
        assert (
            row.state
            is {"ok": RecipientState.DELIVERED, "later": RecipientState.WAITING, "never": RecipientState.FAILED}[word]
        )
        assert await fixture.told() == ({"b@y.test": {"failed": 1}} if word == "never" else {})

    play(scene)


def test_space_that_comes_back_finds_each_sent_once(play: Play) -> None:
    async def scene(fixture: Fixture) -> None:
        worker = await fixture.worker()
        await fixture.submit_many(worker, 30, "y.test")
        fixture.script["z.test"] = "never"
        await fixture.submit_many(worker, 5, "z.test")
        await asyncio.sleep(0)
        worker.store.fail = full
        await asyncio.sleep(3600)
        begun = len(fixture.sent)
        assert begun < 60  # what was on its way: nothing new is sent whose outcome could not be kept
        worker.store.fail = lambda name: None
        await asyncio.sleep(600)
        assert Counter(to for _, to, _ in fixture.sent).most_common(1)[0][1] == 1
        assert {each.state for each in fixture.rows().values()} == {RecipientState.DELIVERED, RecipientState.FAILED}
        assert set((await fixture.told()).values().__iter__().__next__().values()) == {1}

    play(scene)


@pytest.mark.parametrize("word", ["raise", "short"])
def test_a_courier_that_fails_in_an_unknown_way_is_asked_again_within_a_lease(play: Play, word: str) -> None:
    async def scene(fixture: Fixture) -> None:
        worker = await fixture.worker()
        fixture.script["y.test"] = word
        await fixture.submit(worker, "b@y.test")
        await asyncio.sleep(1)
        assert not fixture.rows()["b@y.test"].claimed
        fixture.script["y.test"] = "ok"
        await asyncio.sleep(LEASE_SECONDS)
        assert fixture.delivered() == {"b@y.test": 1}

    play(scene)


@pytest.mark.parametrize("name", ["find", "transact", "ask"])
@pytest.mark.parametrize("after", [False, True])
def test_a_claim_that_fails_half_way_comes_back(play: Play, name: str, after: bool) -> None:
    async def scene(fixture: Fixture) -> None:
        worker = await fixture.worker()
        other = await fixture.worker(starts=False)
        worker.store.fail = failing(2, name, after=after)
        await fixture.submit(other, "b@y.test")  # not claimed: its worker does not send
        await asyncio.sleep(LEASE_SECONDS)
        assert fixture.delivered() == {"b@y.test": 1}

    play(scene)


def test_a_claim_that_nobody_knows_of_is_given_back(play: Play) -> None:
    """The transaction was made, and its maker was told that it was not."""

    async def scene(fixture: Fixture) -> None:
        worker = await fixture.worker()
        worker.store.fail = failing(1, "deliver", after=True)
        with pytest.raises(Exception, match="nobody knows"):
            await fixture.submit(worker, "b@y.test")
        assert fixture.rows()["b@y.test"].claimed
        await asyncio.sleep(LEASE_SECONDS)
        assert fixture.delivered() == {"b@y.test": 1}

    play(scene)


def test_a_message_whose_octets_are_gone_is_told(play: Play) -> None:
    async def scene(fixture: Fixture) -> None:
        worker = await fixture.worker()
        other = await fixture.worker(starts=False)
        await fixture.submit(other, "b@y.test")
        (entry,) = await worker.store.entries(0, "outgoing")
        await worker.store.expunge(0, "outgoing", [entry.message])
        await asyncio.sleep(5)
        assert fixture.rows()["b@y.test"].state is RecipientState.FAILED
        assert await fixture.told() == {"b@y.test": {"failed": 1}}

    play(scene)


def test_a_bounce_that_cannot_be_written_is_written_without_the_message(play: Play, monkeypatch: Any) -> None:
    async def scene(fixture: Fixture) -> None:
        worker = await fixture.worker()
        bounces: Any = worker.sender._recorder._bounces
        original = bounces._original

        async def fail(message: object, content: object) -> object:
            if content is not None:
                raise Fault("odd header")
            return await original(message, content)

        monkeypatch.setattr(bounces, "_original", fail)
        fixture.script["y.test"] = "never"
        await fixture.submit(worker, "b@y.test")
        await asyncio.sleep(10)
        assert fixture.rows()["b@y.test"].state is RecipientState.FAILED
        assert await fixture.told() == {"b@y.test": {"failed": 1}}
        assert "could not be reported" in fixture.log.text

    play(scene)


def test_every_long_task_begins_again_when_it_fails(play: Play, monkeypatch: Any) -> None:
    async def scene(fixture: Fixture) -> None:
        worker = await fixture.worker()
        calls: Counter[str] = Counter()

        def failing_twice(owner: Any, name: str) -> None:
            real = getattr(owner, name)

            def fail(*values: object, **more: object) -> object:
                calls[name] += 1
                if calls[name] in (2, 3):
                    raise Fault(name)
                return real(*values, **more)

            monkeypatch.setattr(owner, name, fail)

        failing_twice(worker.courier, "sweep")
        for name in ("watch", "renew", "tidy", "claim"):
            failing_twice(worker.outgoing, name)
        await asyncio.sleep(3000)
        assert min(calls.values()) > 4, calls
        assert fixture.log.text.count("is started again") == 2 * len(calls)
        assert sorted(task.get_name() for task in worker.sender._supervisor._tasks) == ["claims", "poll", "tidy"]

    play(scene)


def test_a_lane_whose_worker_failed_gets_another(play: Play, monkeypatch: Any) -> None:
    async def scene(fixture: Fixture) -> None:
        worker = await fixture.worker()
        lane = worker.active.lanes.get("y.test")
        calls = []

        def pause(now: float) -> float:
            calls.append(now)
            if len(calls) == 1:
                raise Fault("no pause")
            return 0.0

        monkeypatch.setattr(type(lane), "pause", lambda self, now: pause(now))
        await fixture.submit(worker, "b@y.test")
        await asyncio.sleep(5)
        assert fixture.delivered() == {"b@y.test": 1}
        assert "no pause" in fixture.log.text

    play(scene)


def test_two_workers_send_each_once_whatever_the_clock_does(play: Play) -> None:
    async def scene(fixture: Fixture) -> None:
        first, second = await fixture.worker(), await fixture.worker()
        fixture.script |= {"slow.test": "very slow", "z.test": "never"}
        await fixture.submit_many(first, 20, "slow.test")
        await fixture.submit_many(second, 20, "z.test")
        for step in (61, 120, 8 * 3600, 30 * 86400, -31 * 86400):
            fixture.step_clock(step)
            await asyncio.sleep(30)
        await asyncio.sleep(4000)
        assert set(Counter(to for _, to, _ in fixture.sent).values()) == {1}
        assert set(Counter(await fixture.told())) == {f"{n}@z.test" for n in range(20)}
        assert all(each == {"failed": 1} for each in (await fixture.told()).values())

    play(scene)


def test_a_group_that_was_stopped_sends_nothing_twice(play: Play) -> None:
    async def scene(fixture: Fixture) -> None:
        first, second = await fixture.worker(), await fixture.worker()
        fixture.script["slow.test"] = "very slow"
        await fixture.submit_many(first, 10, "slow.test")
        await fixture.submit_many(second, 10, "slow.test", first=10)
        for _ in range(3):
            await asyncio.sleep(50)
            fixture.stop_group(80)
        await asyncio.sleep(4000)
        assert set(Counter(to for _, to, _ in fixture.sent).values()) == {1}

    play(scene)


def test_a_worker_whose_lease_ran_out_does_not_send_what_another_has(play: Play) -> None:
    """It cannot write for two minutes; what waits in its memory is another's by then."""

    async def scene(fixture: Fixture) -> None:
        slow, other = await fixture.worker(), await fixture.worker(starts=False)
        fixture.script["y.test"] = "slow"
        await fixture.submit_many(slow, 3, "y.test")
        await asyncio.sleep(60)  # the lane is known to answer
        fixture.script["y.test"] = "very slow"
        await fixture.submit_many(slow, 40, "y.test", first=3)
        await asyncio.sleep(2)
        fixture.script["y.test"] = "ok"
        begun = sum(slow.courier.begun.values())
        slow.store.fail = full
        await other.sender.start()
        await asyncio.sleep(2 * LEASE_SECONDS)
        assert sum(slow.courier.begun.values()) == begun
        slow.store.fail = lambda name: None
        await asyncio.sleep(1000)
        sent = Counter(to for _, to, _ in fixture.sent)
        doubled = {to for to, count in sent.items() if count > 1}
        assert len(sent) == 43
        assert len(doubled) <= begun - 3  # at most those on the wire as the lease ran out
        assert max(sent.values()) == 2
        assert not slow.active.held

    play(scene)


@pytest.mark.parametrize("how", ["late by our own clock", "late when it was done"])
def test_what_waits_in_memory_is_let_go_when_another_has_it(play: Play, monkeypatch: Any, how: str) -> None:
    """The lease ran out without anybody's noticing: nothing is sent before the tables were read."""

    async def scene(fixture: Fixture) -> None:
        worker, other = await fixture.worker(), await fixture.worker(starts=False)
        await fixture.submit_many(worker, 1, "y.test")
        for n in range(60):
            await fixture.submit(worker, f"{n}@y.test")
            await asyncio.sleep(0.1)
        begun = sum(worker.courier.begun.values())
        fixture.script["y.test"] = "slow"
        await fixture.submit_many(worker, 50, "y.test", first=100)
        await asyncio.sleep(0.1)
        assert len(worker.active.lanes.get("y.test").jobs) == 30
        token = worker.outgoing._token
        await fixture.loop.in_thread(fixture.mailstore.transact(lambda database: leave(database, token)))
        waiting = {one.key for job in worker.active.lanes.get("y.test").jobs for one in job.waiting}
        taken = await other.outgoing.claim([], 100, holding=worker.active.held - waiting)
        assert {one.key for one in taken} == waiting
        if how == "late by our own clock":
            worker.outgoing._renewed -= 100
        else:
            real = worker.outgoing.renew

            async def renew() -> bool:
                await real()
                return False

            monkeypatch.setattr(worker.outgoing, "renew", renew)
            await worker.sender._leases.renew()
        await asyncio.sleep(40)  # less than a lease: the other never shows that it is alive
        assert sum(worker.courier.begun.values()) == begun + 20
        assert not worker.active.held & waiting
        assert "renewed too late" in fixture.log.text

    play(scene)


def test_eight_hours_of_a_wrong_clock_warn_nobody_twice_and_give_nobody_up(play: Play) -> None:
    async def scene(fixture: Fixture) -> None:
        first, second = await fixture.worker(), await fixture.worker()
        fixture.script["y.test"] = "later"
        for n in range(30):
            await fixture.submit((first, second)[n % 2], f"{n}@y.test")
        await asyncio.sleep(400)
        for step in (8 * 3600, -8 * 3600, 8 * 3600, 30 * 86400):
            fixture.step_clock(step)
            await asyncio.sleep(60)
        told = await fixture.told()
        assert all(set(each) <= {"delayed"} and each["delayed"] <= 1 for each in told.values())
        assert {each.state for each in fixture.rows().values()} == {RecipientState.WAITING}

    play(scene)


@pytest.mark.parametrize("word", ["never", "later"])
def test_a_drop_and_a_hold_while_it_is_tried(play: Play, word: str) -> None:
    """What was dropped is never told, what is held stays so; the other recipients of the message are told."""

    async def scene(fixture: Fixture) -> None:
        worker = await fixture.worker()
        begun = asyncio.Event()
        real = worker.courier.deliver

        async def deliver(destination: str, parcel: Any) -> Any:
            begun.set()
            await asyncio.sleep(15)
            return await real(destination, parcel)

        worker.courier.deliver = deliver  # type: ignore[method-assign]
        fixture.script["y.test"] = word
        await fixture.submit(worker, "b@y.test", "c@y.test", "d@y.test")
        await begun.wait()
        with fixture.desk() as desk:
            assert desk.under_way(Filter()) == 3
            assert desk.drop(Filter(recipient="b@y.test")) == 1
            assert desk.hold(Filter(recipient="c@y.test")) == 1
        await asyncio.sleep(20)
        rows = fixture.rows()
        assert rows["b@y.test"].state is RecipientState.DROPPED
        assert rows["b@y.test"].tries[0].code in (451, 550)  # what really happened is not hidden
        if word == "never":
            assert await fixture.told() == {"c@y.test": {"failed": 1}, "d@y.test": {"failed": 1}}
            assert {rows[name].state for name in ("c@y.test", "d@y.test")} == {RecipientState.FAILED}
        else:
            assert await fixture.told() == {}
            assert rows["c@y.test"].held
            await asyncio.sleep(1000)
            assert Counter(to for _, to, _ in fixture.sent) == {"b@y.test": 1, "c@y.test": 1, "d@y.test": 2}

    play(scene)


def test_what_is_held_while_it_waits_in_memory_is_let_go(play: Play) -> None:
    async def scene(fixture: Fixture) -> None:
        worker = await fixture.worker()
        for n in range(60):
            await fixture.submit(worker, f"{n}@y.test")
            await asyncio.sleep(0.1)
        fixture.script["y.test"] = "slow"
        await fixture.submit_many(worker, 50, "y.test")
        await asyncio.sleep(0.1)
        assert len(worker.active.lanes.get("y.test").jobs) == 30
        with fixture.desk() as desk:
            assert desk.hold(Filter(destination="y.test")) == 50
            assert desk.under_way(Filter(held=True)) == 50
        await asyncio.sleep(3)
        assert worker.active.lanes.get("y.test").jobs == type(worker.active.lanes.get("y.test").jobs)()
        with fixture.desk() as desk:
            assert desk.under_way(Filter(held=True)) == 20
        await asyncio.sleep(100)
        assert len(fixture.sent) == 60 + 20
        with fixture.desk() as desk:
            assert desk.release(Filter()) == 30
        await asyncio.sleep(100)
        assert len(fixture.sent) == 60 + 50

    play(scene)


def test_the_store_may_be_full_when_the_sender_stops(play: Play) -> None:
    async def scene(fixture: Fixture) -> None:
        worker = await fixture.worker()
        await fixture.submit(worker, "b@y.test")
        worker.store.fail = full
        await asyncio.sleep(2)
        await worker.sender.stop(5)
        assert "was not left tidy" in fixture.log.text
        await asyncio.sleep(100)
        other = await fixture.worker()
        await asyncio.sleep(LEASE_SECONDS + 10)
        assert fixture.delivered() == {"b@y.test": 2}  # it was stopped before it could write down the first
        assert other.active.held == set()

    play(scene)


def test_an_outcome_is_recorded_while_the_sender_stops(play: Play) -> None:
    async def scene(fixture: Fixture) -> None:
        worker = await fixture.worker()
        await fixture.submit(worker, "b@y.test")
        worker.store.fail = failing(2, "transact", error=StoreFullError)
        await asyncio.sleep(0.5)
        await worker.sender.stop(30)
        assert fixture.rows()["b@y.test"].state is RecipientState.DELIVERED

    play(scene)


def test_a_held_message_goes_at_its_time_whatever_the_clock_was(play: Play) -> None:
    async def scene(fixture: Fixture) -> None:
        worker = await fixture.worker()
        fixture.step_clock(30 * 86400)
        await asyncio.sleep(5)
        await fixture.submit(worker, "b@y.test", hold_for=3600)
        fixture.step_clock(-30 * 86400)
        await asyncio.sleep(3500)
        assert not fixture.sent
        await asyncio.sleep(200)
        assert fixture.delivered() == {"b@y.test": 1}
        assert fixture.rows()["b@y.test"].message.created < START + 4000

    play(scene)


def test_it_starts_on_a_full_disk_and_sends_when_there_is_room(play: Play) -> None:
    """Users must be able to log in and delete then; nothing is sent, for no outcome could be written down."""

    async def scene(fixture: Fixture) -> None:
        first = await fixture.worker()
        fixture.script["y.test"] = "later"
        await fixture.submit(first, "b@y.test")
        await asyncio.sleep(1)
        await first.sender.stop(1)
        fixture.script.clear()
        worker = await fixture.worker(starts=False)
        worker.store.fail = full
        await worker.sender.start()
        await asyncio.sleep(3600)
        assert fixture.delivered() == {}
        worker.store.fail = lambda name: None
        await asyncio.sleep(600)
        assert fixture.delivered() == {"b@y.test": 1}

    play(scene)


def test_one_outcome_that_can_never_be_recorded_does_not_hold_up_the_others(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    from posthouse.delivery.reports.bounces import Bounces

    async def fail(*_: object) -> list[int]:
        raise StoreError("not stored: what nobody thought of")

    async def scene(fixture: Fixture) -> None:
        worker = await fixture.worker()
        monkeypatch.setattr(Bounces, "send", fail)
        fixture.script["z.test"] = "never"
        await fixture.submit(worker, "poison@z.test")
        await asyncio.sleep(60)
        for n in range(5):
            await fixture.submit(worker, f"{n}@y.test")
            await asyncio.sleep(10)
        assert len(fixture.delivered("y.test")) == 5
        monkeypatch.undo()
        await asyncio.sleep(600)
        assert await fixture.told() == {"poison@z.test": {"failed": 1}}
        assert Counter(to for _, to, _ in fixture.sent)["poison@z.test"] == 1

    play(scene)
