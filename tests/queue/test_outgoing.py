"""The sender's side of the queue, over a real mailstore."""

from pathlib import Path

import pytest

from posthouse.database.transaction import SharedTransaction
from posthouse.mailstore.interface import DeliveryResult, StoreError, StoreFullError, Target
from posthouse.message.address import Address
from posthouse.message.envelope import BodyType, Recipient, ReversePath
from posthouse.queue.interface import ACCOUNT, LEASE_SECONDS, MAILBOX, AttemptRecord, Delay, Fresh, RecipientState, Try
from posthouse.queue.sqlite.claimers import leave_all, read_claimers
from posthouse.queue.sqlite.outgoing import SqliteOutgoing, reroute
from posthouse.queue.sqlite.recording import TRIES_KEPT
from posthouse.queue.sqlite.upkeep import KEPT_SECONDS
from tests.queue.fixture import LATER, SENDER, START, Fixture, FullDisk, SlowReads, names, settled
from tests.stores import Bytes, delivery_id

DAY = 86400


async def test_what_was_put_is_claimed_once(house: Fixture) -> None:
    first, second = await house.queue(), await house.queue()
    await house.put(first, "b@y.test", "c@z.test")
    claimed = await first.claim([], 10)
    assert names(claimed) == ["b@y.test", "c@z.test"]
    assert [one.destination for one in claimed] == ["y.test", "z.test"]
    assert claimed[0].message.sender == SENDER
    assert claimed[0].message.account == 7
    assert await second.claim([], 10) == await first.claim([], 10) == []


async def test_a_message_that_is_sent_at_once_is_nobody_elses(house: Fixture) -> None:
    queue = await house.queue()
    put = await house.put(queue, "b@y.test", mine=True)
    assert names(put.waiting) == ["b@y.test"]
    assert await queue.claim([], 10) == await (await house.queue()).claim([], 10) == []
    assert (await house.put(queue, "b@y.test")).waiting == []


async def test_all_that_is_known_of_the_sender_comes_back(house: Fixture) -> None:
    queue = await house.queue()
    sender = ReversePath(None, body=BodyType.EIGHT_BIT, smtputf8=True, ret="FULL", envid="x+2B")
    await house.put(queue, "jörg@bücher.test", sender=sender)
    (claimed,) = await queue.claim([], 10)
    assert claimed.message.sender == sender
    assert names([claimed]) == ["jörg@bücher.test"]


async def test_oldest_first_and_none_for_the_busy(house: Fixture) -> None:
    queue = await house.queue()
    for n, destination in enumerate(["c.test", "a.test", "b.test"]):
        house.now = START + n
        await house.put(queue, f"x@{destination}")
    assert names(await queue.claim(["c.test"], 1)) == ["x@a.test"]
    assert names(await queue.claim([], 10)) == ["x@c.test", "x@b.test"]


async def test_a_retry_waits_until_it_is_due(house: Fixture) -> None:
    queue = await house.queue()
    await house.put(queue, "b@y.test")
    (one,) = await queue.claim([], 10)
    assert await queue.record([AttemptRecord(one, RecipientState.WAITING, LATER, due=START + 300, warned=True)]) == []
    assert await queue.claim([], 10) == []
    house.now = START + 300
    (again,) = await queue.claim([], 10)
    assert again.attempts == 1
    assert again.warned


async def test_the_last_one_frees_the_body(house: Fixture) -> None:
    queue = await house.queue()
    await house.put(queue, "b@y.test", "c@y.test")
    (body,) = await house.bodies()
    first, second = await queue.claim([], 10)
    assert await queue.record([settled(first)]) == []
    assert await queue.needed_bodies() == {body.message}
    assert await queue.record([settled(second, RecipientState.FAILED)]) == [body.message]
    assert await queue.needed_bodies() == set()
    assert await queue.waiting_count() == 0


async def test_the_dead_lose_their_claims_after_a_minute(house: Fixture) -> None:
    dead, alive = await house.queue(), await house.queue()
    await house.put(dead, "b@y.test")
    (lost,) = await dead.claim([], 10)
    await house.lose(alive, seconds=LEASE_SECONDS - 1)
    assert await alive.claim([], 10) == []
    await house.lose(alive, seconds=2)
    (one,) = await alive.claim([], 10)
    # The dead one was only slow: that it failed must not settle another's work, but is kept for the trace.
    assert await dead.record([settled(lost, RecipientState.FAILED)]) == []
    assert await alive.waiting_count() == 1
    assert await alive.record([settled(one)]) != []


async def test_what_was_delivered_does_not_fail_in_the_hands_of_another(house: Fixture) -> None:
    """A worker stood still for longer than its lease; the other server says 250 to it, and 550 to the next one."""
    slow, other = await house.queue(), await house.queue()
    await house.put(slow, "b@y.test")
    (lost,) = await slow.claim([], 10)
    await house.lose(other)
    (one,) = await other.claim([], 10)
    await slow.renew()
    assert not await other.watch()
    (body,) = await slow.record([settled(lost)])
    assert body == lost.message.body
    assert await other.watch()  # it may still let go before its own try
    assert not await slow.watch()
    assert await other.claimed() == {}
    recorder = other.recorder([settled(one, RecipientState.FAILED)], [0])
    with pytest.raises(StoreError):
        await house.store.deliver(
            delivery_id(), Bytes(b"news"), [Target(77, b"")], START, all_or_nothing=False, in_transaction=[recorder]
        )
    assert recorder.lost == {0}
    assert await other.record([settled(one, RecipientState.FAILED)]) == []
    look = "SELECT state, waiting FROM queued_recipient JOIN queued USING (number)"
    assert await house.store.read_rows(lambda connection: connection.execute(look).fetchall()) == [
        (RecipientState.DELIVERED, 0)
    ]


async def test_a_delivery_is_told_though_another_has_the_claim(house: Fixture) -> None:
    """RFC 3461: its sender had asked to be told."""
    slow, other = await house.queue(), await house.queue()
    await house.put(slow, "b@y.test")
    (lost,) = await slow.claim([], 10)
    await house.lose(other)
    (one,) = await other.claim([], 10)
    for queue, waiting in ((slow, lost), (other, one)):
        recorder = queue.recorder([settled(waiting)], [0])
        news = house.store.deliver(
            delivery_id(), Bytes(b"news"), [Target(77, b"")], START, all_or_nothing=False, in_transaction=[recorder]
        )
        if queue is slow:
            await news
            assert len(recorder.over) == 1
            continue
        with pytest.raises(StoreError):
            await news
        assert recorder.lost == {0}
    assert len(await house.store.entries(77)) == 1


async def test_a_clock_that_steps_ends_no_claims(house: Fixture) -> None:
    mine, other = await house.queue(), await house.queue()
    await house.put(mine, "b@y.test", mine=True)
    for step in (LEASE_SECONDS + 1, 8 * 3600, 30 * 86400, -400 * 86400):
        house.now += step
        await other.watch()
        assert await other.claim([], 10) == await mine.claim([], 10) == []


async def test_a_group_that_was_stopped_ends_no_claims(house: Fixture) -> None:
    """All stand still, and go on at the same moment: the first one to look has seen nothing for 80 seconds."""
    mine, other = await house.queue(), await house.queue()
    await house.put(mine, "b@y.test", mine=True)
    await other.watch()
    for _ in range(5):
        house.running += 80
        assert not mine.is_alive  # what it may not know: whether it alone was stopped
        await other.watch()
        assert not await mine.renew()
    assert await other.claim([], 10) == []
    assert list(await mine.claimed()) == [(1, 0)]


async def test_what_is_renewed_too_late_is_said_so(house: Fixture) -> None:
    queue = await house.queue()
    house.running += LEASE_SECONDS - 1
    assert queue.is_alive
    assert await queue.renew()
    house.running += LEASE_SECONDS
    assert not queue.is_alive
    assert not await queue.renew()
    assert queue.is_alive


async def test_claims_whose_claimer_is_in_no_table_come_back(house: Fixture) -> None:
    """It was taken for dead, claimed once more, and died."""
    dead, alive = await house.queue(), await house.queue()
    await house.lose(alive)
    await house.put(dead, "b@y.test", mine=True)
    assert sorted((await house.store.read_rows(read_claimers)).values()) == [(-1, 0), (5, 0)]
    await house.lose(alive)
    assert names(await alive.claim([], 10)) == ["b@y.test"]


async def test_a_beat_at_the_last_moment_saves_the_claims(house: Fixture) -> None:
    slow, other = await house.queue(), await house.queue()
    await house.put(slow, "b@y.test", mine=True)
    await house.lose(other, seconds=LEASE_SECONDS)
    await slow.renew()
    await other.watch()
    assert await other.claim([], 10) == []


async def test_a_beat_that_a_slow_look_has_seen_counts_from_its_end(house: Fixture) -> None:
    """The claimer renewed while the look was under way: it may rely on a whole lease from then on."""
    slow = SlowReads(house)
    observer = SqliteOutgoing(slow, lambda: house.now, monotonic=lambda: house.running)
    other = await house.queue()
    await house.put(other, "b@y.test", mine=True)
    await observer.watch()
    house.running += 1.0
    slow.meanwhile = 5.0, other
    await observer.watch()
    for _ in range(LEASE_SECONDS - 1):
        assert other.is_alive
        house.running += 1.0
        await observer.watch()
    assert await observer.claim([], 10) == []
    house.running += 1.0
    await observer.watch()
    assert names(await observer.claim([], 10)) == ["b@y.test"]


async def test_what_i_hold_is_not_claimed_by_me_again(house: Fixture) -> None:
    """Not even when it is free by the tables: a worker that was taken for dead may be sending it still."""
    mine, other = await house.queue(), await house.queue()
    await house.put(mine, "b@y.test", "c@y.test")
    first, second = await mine.claim([], 10)
    await house.lose(other)
    assert await mine.claim([], 10, holding={first.key, second.key}) == []
    assert await mine.claim([], 10, holding={first.key}) == [second]


async def test_the_last_word_counts_when_nobody_has_taken_a_claim_that_was_lost(house: Fixture) -> None:
    mine, other = await house.queue(), await house.queue()
    await house.put(mine, "b@y.test", "c@y.test")
    first, second = await mine.claim([], 10)
    await house.lose(other)
    assert await mine.record([settled(first), AttemptRecord(second, RecipientState.WAITING, LATER, due=START)]) == []
    assert await mine.waiting_count() == 1
    (again,) = await other.claim([], 10)
    assert again.attempts == 1
    await other.record([AttemptRecord(again, RecipientState.WAITING, LATER, due=START)])
    # Meanwhile another has tried: a failure from before that is no news any more, a success is.
    await mine.record([settled(second, RecipientState.FAILED)])
    assert await mine.waiting_count() == 1
    await mine.record([settled(second)])
    assert await mine.waiting_count() == 0


async def test_a_failure_is_told_by_whoever_holds_the_claim_alone(house: Fixture) -> None:
    dead, alive = await house.queue(), await house.queue()
    await house.put(dead, "b@y.test")
    (lost,) = await dead.claim([], 10)
    await house.lose(alive)
    (one,) = await alive.claim([], 10)
    for queue, waiting in ((alive, one), (dead, lost)):
        recorder = queue.recorder([settled(waiting, RecipientState.FAILED)], [0])
        news = house.store.deliver(
            delivery_id(), Bytes(b"news"), [Target(77, b"")], START, all_or_nothing=False, in_transaction=[recorder]
        )
        if queue is alive:
            await news
            continue
        with pytest.raises(StoreError):
            await news
        assert recorder.lost == {0}
        assert not recorder.done
    assert len(await house.store.entries(77)) == 1


async def test_renewing_keeps_claims(house: Fixture) -> None:
    queue, other = await house.queue(), await house.queue()
    await house.put(queue, "b@y.test", mine=True)
    await house.lose(queue, other, seconds=2 * LEASE_SECONDS)
    assert await other.claim([], 10) == []


async def test_what_is_given_back_is_free(house: Fixture) -> None:
    queue = await house.queue()
    await house.put(queue, "b@y.test")
    (one,) = await queue.claim([], 10)
    await (await house.queue()).release([one.key])  # another cannot
    assert list(await queue.claimed()) == [one.key]
    await queue.release([one.key])
    assert await queue.claim([], 10) == [one]


async def test_each_destination_gets_its_share(house: Fixture) -> None:
    """Not the oldest alone: a thousand that wait for one destination are no reason for another to wait."""
    queue = await house.queue()
    for n in range(30):
        await house.put(queue, f"{n}@a.test", f"x{n}@a.test")
    for name in "bcd":
        house.now += 1
        await house.put(queue, f"x@{name}.test")
    claimed = await queue.claim([], 100, share=lambda destination: 0 if destination == "c.test" else 2)
    assert names(claimed) == ["0@a.test", "x0@a.test", "1@a.test", "x1@a.test", "x@b.test", "x@d.test"]
    assert names(await queue.claim([], 100, only=["c.test", "e.test"])) == ["x@c.test"]
    assert await queue.due_among(["a.test", "b.test"], 10) == ["a.test"]
    assert len(await queue.claim([], 3)) == 3


async def test_a_destination_that_is_left_out_is_found_again_when_something_becomes_due(house: Fixture) -> None:
    queue = await house.queue()
    await house.put(queue, "b@y.test", due=START + 100)
    assert await queue.claim([], 10) == []
    house.now += 100
    (one,) = await queue.claim([], 10)
    await queue.record([AttemptRecord(one, RecipientState.WAITING, LATER, due=int(house.now) + 300)])
    await house.put(queue, "c@y.test")
    assert names(await queue.claim([], 10)) == ["c@y.test"]
    house.now += 300
    assert names(await queue.claim([], 10)) == ["b@y.test"]


async def test_what_waits_for_a_destination_that_is_down_counts_as_tried(house: Fixture) -> None:
    queue = await house.queue()
    await house.put(queue, "b@y.test", "c@y.test", "d@y.test")
    told = {1}

    def later(delay: Delay) -> int | None:
        assert (delay.warned, delay.created, delay.expires) == (False, START, START + 1000)
        return None if delay.attempts in told else START + 300

    assert await queue.postpone("y.test", LATER, later, 2) == []
    assert await queue.postpone("y.test", LATER, later, 2) == []
    assert await queue.claim([], 10) == []
    house.now += 300
    house.running += 300
    assert names(await queue.postpone("y.test", LATER, later, 10)) == ["b@y.test", "c@y.test", "d@y.test"]
    counted = await house.store.read_rows(lambda connection: connection.execute("SELECT count(*) FROM attempt").get)
    assert counted == 3  # the first time, that people see why it waits


async def test_one_that_an_operator_wants_tried_is_tried_though_the_destination_is_down(house: Fixture) -> None:
    """It shows whether that is so; the others wait for what it shows."""
    queue = await house.queue()
    await house.put(queue, "b@y.test", "c@y.test")
    await house.store.transact(lambda connection: connection.execute("UPDATE queued_recipient SET due = 0").get)
    (one,) = await queue.postpone("y.test", LATER, lambda delay: START + 300, 10)
    assert one.urgent
    assert names(await queue.claim([], 10)) == ["c@y.test"]


async def test_only_the_last_attempts_are_kept(house: Fixture) -> None:
    queue = await house.queue()
    await house.put(queue, "b@y.test")
    for n in range(TRIES_KEPT + 20):
        (one,) = await queue.claim([], 1)
        await queue.record([AttemptRecord(one, RecipientState.WAITING, Try(n, 451, "", "", "", ""), due=START)])
    kept = await house.store.read_rows(
        lambda connection: connection.execute("SELECT min(at), count(*) FROM attempt").get
    )
    assert kept == (20, TRIES_KEPT)


async def test_leaving_gives_claims_back_at_once(house: Fixture) -> None:
    queue = await house.queue()
    await house.put(queue, "b@y.test", mine=True)
    await queue.leave()
    assert len(await (await house.queue()).claim([], 10)) == 1


async def test_what_ends_a_try_is_written_down_on_a_full_disk(house: Fixture, tmp_path: Path) -> None:
    """A message that was sent must not be sent again because there was no space to say so."""
    queue = SqliteOutgoing(FullDisk(house.store, tmp_path / "reserve"), lambda: house.now)
    put = await house.put(queue, "b@y.test", "c@y.test", "d@y.test", mine=True)
    sent, given_back, left = put.waiting
    await house.put(queue, "e@y.test")
    with pytest.raises(StoreFullError):
        await queue.claim([], 10)
    await queue.renew()
    assert queue.is_alive
    await queue.record([settled(sent)])
    await queue.release([given_back.key])
    assert list(await queue.claimed()) == [left.key]
    await queue.leave()
    assert await queue.claimed() == {}
    assert await queue.waiting_count() == 3


async def test_a_server_that_starts_ends_all_claims(house: Fixture) -> None:
    dead = await house.queue()
    await house.put(dead, "b@y.test", mine=True)
    await house.store.transact(leave_all)
    assert len(await (await house.queue()).claim([], 10)) == 1


async def test_news_and_record_are_one(house: Fixture) -> None:
    """A recorder that rides on a delivery happens with it, or not at all."""
    queue = await house.queue()
    await house.put(queue, "b@y.test")
    (one,) = await queue.claim([], 10)

    def fail(transaction: SharedTransaction, copies: object) -> None:
        recorder(transaction, ())
        raise ValueError("power cut")

    recorder = queue.recorder([settled(one, RecipientState.FAILED)])
    with pytest.raises(StoreError):
        await house.store.deliver(
            delivery_id(), Bytes(b"news"), [Target(9, b"")], START, all_or_nothing=True, in_transaction=[fail]
        )
    assert await queue.waiting_count() == 1
    assert await house.store.entries(9) == []
    recorder = queue.recorder([settled(one, RecipientState.FAILED)])
    news = (
        await house.store.deliver(
            delivery_id(), Bytes(b"news"), [Target(9, b"")], START, all_or_nothing=True, in_transaction=[recorder]
        )
    ).results
    assert news == [DeliveryResult.KEPT]
    assert recorder.done
    assert len(recorder.over) == 1
    assert await queue.waiting_count() == 0


async def test_nothing_is_queued_when_the_body_was_not_kept(house: Fixture) -> None:
    queue = await house.queue()
    to = ((Recipient(Address.parse("b@y.test")), "y.test"),)
    put = queue.put(Fresh(delivery_id(), 5, SENDER, None, "", START, START + 9, to, START), mine=True)
    placements = [Target(1, b"", quota=1), Target(ACCOUNT, b"", MAILBOX)]
    filed = (
        await house.store.deliver(
            delivery_id(), Bytes(b"hello"), placements, START, all_or_nothing=True, in_transaction=[put]
        )
    ).results
    assert filed == [DeliveryResult.OVER_QUOTA, DeliveryResult.WITHHELD]
    assert put.waiting == []
    assert await queue.waiting_count() == 0


async def test_a_clock_that_was_set_back_delays_nothing(house: Fixture) -> None:
    queue = await house.queue()
    await house.put(queue, "b@y.test")
    await house.put(queue, "later@y.test", due=START + 20 * 86400)  # asked for by its sender
    (one,) = await queue.claim([], 10)
    await queue.record([AttemptRecord(one, RecipientState.WAITING, LATER, due=START + 300)])
    house.now = START - 10 * 86400
    await queue.tidy()
    assert await queue.claim([], 10) == []
    house.now += 300
    (again,) = await queue.claim([], 10)
    assert names([again]) == ["b@y.test"]
    assert queue.now_for(again.message) == again.message.created  # as old as before: no time has gone by
    assert again.message.created == START - 10 * 86400
    assert again.message.expires == again.message.created + 1000


async def test_one_message_is_put_off_as_one(house: Fixture) -> None:
    queue = await house.queue()
    await house.put(queue, *(f"{n}@y.test" for n in range(20)))
    times = iter(range(START + 300, START + 400))
    assert await queue.postpone("y.test", LATER, lambda delay: next(times), 100) == []
    house.now = START + 300
    assert len(await queue.claim([], 100)) == 20


async def test_a_first_try_does_not_wait_for_a_wrong_clock(house: Fixture) -> None:
    house.now += 30 * 86400
    dead = await house.queue()
    await house.put(dead, "b@y.test")
    await house.put(dead, "c@y.test", mine=True)  # by a process that dies now
    house.now -= 30 * 86400
    alive = await house.queue()
    await alive.tidy()
    await house.lose(alive)
    assert names(await alive.claim([], 10)) == ["b@y.test", "c@y.test"]


@pytest.mark.parametrize(
    ("asked", "due"),
    [
        (ReversePath(None, hold_for=500), START + 500),  # a length of time
        (ReversePath(None, hold_until=START + 7000), START + 7000),  # a moment, which for the wrong clock was long ago
        (ReversePath(None, hold_until=START + 40 * 86400), START + 40 * 86400),
    ],
)
async def test_what_was_asked_for_is_not_cut_when_the_clock_is_put_right(
    house: Fixture, asked: ReversePath, due: int
) -> None:
    """RFC 4865: HOLDFOR and HOLDUNTIL, as the router makes due times of them."""
    house.now += 30 * 86400
    queue = await house.queue()
    until = int(house.now) + asked.hold_for if asked.hold_for else max(int(house.now), asked.hold_until)
    await house.put(queue, "b@y.test", sender=asked, due=until)
    house.now -= 30 * 86400
    await queue.tidy()
    house.now = due - 1
    assert await queue.claim([], 10) == []
    house.now = due
    assert names(await queue.claim([], 10)) == ["b@y.test"]


@pytest.mark.parametrize("steps", [(-400 * DAY, 0), (400 * DAY, 0), (-400 * DAY, 400 * DAY, 0), (8 * 3600,), (-61,)])
async def test_no_step_of_the_clock_makes_a_message_older(house: Fixture, steps: tuple[int, ...]) -> None:
    """Neither for a server that runs meanwhile, nor for one that is started anew on the same system."""
    queue = await house.queue()
    await house.put(queue, "b@y.test")
    house.start("boot 1")
    house.running += 500
    for step in steps:
        house.now = START + 500 + step
        await queue.tidy()
    seen: list[Delay] = []
    now = int(house.now)

    def later(delay: Delay) -> int:
        seen.append(delay)
        return now + 100

    await queue.postpone("y.test", LATER, later, 10)
    assert [(now - each.created, each.expires - now) for each in seen] == [(500, 500)]
    house.now += 5 * DAY  # and once more, while the server is off
    house.start("boot 1")
    await queue.tidy()
    (one,) = await queue.claim([], 10)
    assert int(house.now) - one.message.created == queue.now_for(one.message) - one.message.created == 500


async def test_a_step_that_nobody_has_seen_yet_changes_no_age(house: Fixture) -> None:
    """While a message is in a sender's hands, and before the tables were put right."""
    queue = await house.queue()
    put = await house.put(queue, "b@y.test", mine=True)
    house.running += 500
    house.now += 500 + 8 * 3600
    assert queue.now_for(put.waiting[0].message) - put.waiting[0].message.created == 500


async def test_ages_go_on_by_the_clock_when_the_system_was_started(house: Fixture) -> None:
    queue = await house.queue()
    await house.put(queue, "b@y.test")
    house.start("boot 1")
    house.now += 3600
    house.running = 5.0
    house.start("boot 2")
    (one,) = await queue.claim([], 10)
    assert queue.now_for(one.message) - one.message.created == 3600
    house.now -= 400 * DAY
    house.start("boot 3")
    (age,) = await house.store.read_rows(
        lambda connection: connection.execute("SELECT created, expires FROM queued").fetchall()
    )
    assert age == (int(house.now), int(house.now) + 1000)  # for how long it was off nobody knows


async def test_settled_messages_are_forgotten_after_a_week(house: Fixture) -> None:
    queue = await house.queue()
    for _ in range(3):
        await house.put(queue, "b@y.test")
    claimed = await queue.claim([], 10)
    await queue.record([settled(one) for one in claimed[:2]])
    house.now += KEPT_SECONDS + 1
    await queue.tidy()
    count = (
        "SELECT (SELECT count(*) FROM queued), (SELECT count(*) FROM queued_recipient), (SELECT count(*) FROM attempt)"
    )
    assert await house.store.read_rows(lambda connection: connection.execute(count).fetchall()) == [(1, 1, 0)]


async def test_what_waits_follows_the_routes_of_a_start(house: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posthouse.queue.sqlite.putting._REROUTED_AT_ONCE", 2)  # several transactions
    queue = await house.queue()
    await house.put(queue, "tried@y.test")
    (one,) = await queue.claim([], 10)
    await queue.record([AttemptRecord(one, RecipientState.WAITING, LATER, due=START + 3600, warned=False)])
    await house.put(queue, "held@y.test", due=START + 3600)
    await house.put(queue, "b@y.test", "c@z.test", "stays@local", sender=ReversePath(None))
    asked: list[tuple[str, str, str]] = []

    def choose(recipient: Address, sender: Address | None, before: str) -> str:
        asked.append((str(recipient), str(sender or "<>"), before))
        return before if before in ("local", "z.test") else "route/relay"

    house.start("")
    assert reroute(house.path, choose, clock=lambda: house.now) == 3
    assert asked == [
        ("tried@y.test", "a@here.test", "y.test"),
        ("held@y.test", "a@here.test", "y.test"),
        ("b@y.test", "<>", "y.test"),
        ("c@z.test", "<>", "z.test"),
        ("stays@local", "<>", "local"),
    ]
    queue = await house.queue()
    claimed = await queue.claim([], 10)
    assert {(str(each.recipient.address), each.destination) for each in claimed} == {
        ("tried@y.test", "route/relay"),  # at once, whenever it was due by the other way
        ("b@y.test", "route/relay"),
        ("c@z.test", "z.test"),
        ("stays@local", "local"),
    }
    house.now = START + 3600
    assert [each.destination for each in await queue.claim([], 10)] == ["route/relay"]  # not before its hour
    assert reroute(house.path, lambda recipient, sender, before: before) == 0
