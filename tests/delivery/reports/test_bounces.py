"""What senders are told: once, together with the record that they were, and only of what is ours to tell."""

import asyncio
from typing import Any

import pytest

from posthouse.mailstore.interface import StoreError
from posthouse.queue.interface import Filter, RecipientState
from posthouse.queue.outcome import Permanent
from tests.delivery.outbound.test_agent import Play, play  # noqa: F401 -- the fixture
from tests.delivery.sending import NEVER, Fixture, failing, full


async def claimed(fixture: Fixture, worker: Any, *to: str, **more: Any) -> list[Any]:
    """Recipients in the hands of a worker that does not send."""
    worker.router._active = None
    await fixture.submit(worker, *to, **more)
    found: list[Any] = await worker.outgoing.claim([], 10)
    return found


async def refuse(fixture: Fixture, worker: Any, waiting: list[Any]) -> list[int]:
    """All are refused."""
    bounces, records = worker.sender._recorder._bounces, worker.sender._records
    outcome = Permanent(NEVER)
    made = records.settle_all(waiting, [outcome] * len(waiting), int(fixture.wall))
    notices = {n: bounces.notice(record, outcome) for n, record in enumerate(made)}
    told = {n: notice for n, notice in notices.items() if notice is not None}
    over: list[int] = await bounces.send(told, made, None)
    return over


def test_the_news_and_the_record_are_one(play: Play) -> None:  # noqa: F811
    async def scene(fixture: Fixture) -> None:
        worker = await fixture.worker(starts=False)
        waiting = await claimed(fixture, worker, "b@y.test", "c@y.test")
        for fail in (full, failing(1, "deliver")):
            worker.store.fail = fail
            with pytest.raises(StoreError):
                await refuse(fixture, worker, waiting)
            assert await fixture.told() == {}
            assert {row.state for row in fixture.rows().values()} == {RecipientState.WAITING}
        assert len(await refuse(fixture, worker, waiting)) == 1
        assert await fixture.told() == {"b@y.test": {"failed": 1}, "c@y.test": {"failed": 1}}
        assert {row.state for row in fixture.rows().values()} == {RecipientState.FAILED}

    play(scene)


def test_what_was_told_and_recorded_without_our_knowing_is_not_told_again(play: Play) -> None:  # noqa: F811
    async def scene(fixture: Fixture) -> None:
        worker = await fixture.worker(starts=False)
        waiting = await claimed(fixture, worker, "b@y.test")
        worker.store.fail = failing(1, "deliver", after=True)
        with pytest.raises(StoreError):
            await refuse(fixture, worker, waiting)
        assert await refuse(fixture, worker, waiting) == []
        assert await fixture.told() == {"b@y.test": {"failed": 1}}

    play(scene)


def test_what_is_not_ours_to_tell_is_left_out_of_the_message(play: Play) -> None:  # noqa: F811
    async def scene(fixture: Fixture) -> None:
        worker = await fixture.worker(starts=False)
        waiting = await claimed(fixture, worker, "b@y.test", "c@y.test")
        with fixture.desk() as desk:
            desk.drop(Filter(recipient="b@y.test"))
        await refuse(fixture, worker, waiting)
        assert await fixture.told() == {"c@y.test": {"failed": 1}}
        rows = fixture.rows()
        assert (rows["b@y.test"].state, rows["c@y.test"].state) == (RecipientState.DROPPED, RecipientState.FAILED)
        assert [len(row.tries) for row in rows.values()] == [1, 1]

    play(scene)


def test_when_nothing_is_ours_to_tell_no_message_is_written(play: Play) -> None:  # noqa: F811
    async def scene(fixture: Fixture) -> None:
        worker = await fixture.worker(starts=False)
        waiting = await claimed(fixture, worker, "b@y.test")
        with fixture.desk() as desk:
            desk.drop(Filter())
        assert await refuse(fixture, worker, waiting) == []
        assert await fixture.told() == {}

    play(scene)


def test_a_sender_who_is_nobody_is_not_told_and_the_failure_is_recorded(play: Play) -> None:  # noqa: F811
    async def scene(fixture: Fixture) -> None:
        worker = await fixture.worker(starts=False)
        waiting = await claimed(fixture, worker, "b@y.test", sender="nobody@here.test")
        assert len(await refuse(fixture, worker, waiting)) == 1
        assert fixture.rows()["b@y.test"].state is RecipientState.FAILED
        assert await fixture.told() == {}

    play(scene)


def test_a_bounce_never_bounces(play: Play) -> None:  # noqa: F811
    """RFC 5321 6.1."""

    async def scene(fixture: Fixture) -> None:
        worker = await fixture.worker()
        fixture.script["y.test"] = "never"
        await fixture.submit(worker, "b@y.test", sender="")
        await asyncio.sleep(2)
        assert fixture.rows()["b@y.test"].state is RecipientState.FAILED
        assert await fixture.told() == {}
        assert len(fixture.rows()) == 1

    play(scene)


def test_a_sender_elsewhere_is_told_by_the_queue(play: Play) -> None:  # noqa: F811
    async def scene(fixture: Fixture) -> None:
        worker = await fixture.worker()
        fixture.script["y.test"] = "never"
        await fixture.submit(worker, "b@y.test", sender="c@z.test")
        await asyncio.sleep(2)
        assert fixture.delivered() == {"c@z.test": 1}

    play(scene)
