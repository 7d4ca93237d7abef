"""The sender's side of the queue, over a real mailstore."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from posthouse.mailstore.changes import LocalBus
from posthouse.mailstore.interface import Entry, Filed, Placement, StoreError
from posthouse.mailstore.sqlite.store import SqliteMailstore
from posthouse.message.address import Address
from posthouse.message.envelope import BodyType, Recipient, Sender
from posthouse.queue.interface import ACCOUNT, MAILBOX, Fresh, Put, Record, State, Try, Waiting
from posthouse.queue.sqlite.outgoing import SqliteOutgoing
from posthouse.queue.sqlite.schema import MIGRATIONS, ROOM
from posthouse.queue.sqlite.statements import KEPT_SECONDS, LEASE_SECONDS, leave_all
from tests.store_invariants import assert_sound
from tests.stores import Bytes, delivery_id

START = 1_790_000_000
SENDER = Sender(Address.parse("a@here.test"))
SENT = Try(START, 250, "2.0.0 ok", "mx.y.test", "192.0.2.1", "")
LATER = Try(START, 451, "4.7.1 later", "mx.y.test", "192.0.2.1", "")


@dataclass
class House:
    store: SqliteMailstore
    now: float = START
    queues: list[SqliteOutgoing] = field(default_factory=list)

    async def queue(self) -> SqliteOutgoing:
        """Another process's."""
        made = SqliteOutgoing(self.store, lambda: self.now)
        await made.renew()
        return made

    async def put(
        self, queue: SqliteOutgoing, *recipients: str, mine: bool = False, due: int = 0, sender: Sender = SENDER
    ) -> Put:
        to = tuple((Recipient(Address.parse(each)), each.partition("@")[2]) for each in recipients)
        now = int(self.now)
        fresh = Fresh(delivery_id(), 5, sender, 7, "id@here.test", now, now + 1000, to, due or now)
        put = queue.put(fresh, mine=mine)
        placements = [Placement(ACCOUNT, b"X: y\r\n", MAILBOX)]
        await self.store.deliver(fresh.id, Bytes(b"hello"), placements, now, whole=True, also=put)
        return put

    async def bodies(self) -> list[Entry]:
        return await self.store.entries(ACCOUNT, MAILBOX)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    store = SqliteMailstore.open(tmp_path, bus=LocalBus(), reserve_octets=4096, rooms={ROOM: MIGRATIONS})
    yield House(store)
    await store.close()
    assert_sound(tmp_path)


def names(waiting: list[Waiting]) -> list[str]:
    return [str(one.recipient.address) for one in waiting]


def settled(one: Waiting, state: State = State.DELIVERED) -> Record:
    return Record(one, state, SENT)


async def test_what_was_put_is_claimed_once(house: House) -> None:
    first, second = await house.queue(), await house.queue()
    await house.put(first, "b@y.test", "c@z.test")
    claimed = await first.claim([], 10)
    assert names(claimed) == ["b@y.test", "c@z.test"]
    assert [one.destination for one in claimed] == ["y.test", "z.test"]
    assert claimed[0].message.sender == SENDER
    assert claimed[0].message.account == 7
    assert await second.claim([], 10) == await first.claim([], 10) == []


async def test_a_message_that_is_sent_at_once_is_nobody_elses(house: House) -> None:
    queue = await house.queue()
    put = await house.put(queue, "b@y.test", mine=True)
    assert names(put.waiting) == ["b@y.test"]
    assert await queue.claim([], 10) == await (await house.queue()).claim([], 10) == []
    assert (await house.put(queue, "b@y.test")).waiting == []


async def test_all_that_is_known_of_the_sender_comes_back(house: House) -> None:
    queue = await house.queue()
    sender = Sender(None, body=BodyType.EIGHT_BIT, smtputf8=True, ret="FULL", envid="x+2B")
    await house.put(queue, "jörg@bücher.test", sender=sender)
    (claimed,) = await queue.claim([], 10)
    assert claimed.message.sender == sender
    assert names([claimed]) == ["jörg@bücher.test"]


async def test_oldest_first_and_none_for_the_busy(house: House) -> None:
    queue = await house.queue()
    for n, destination in enumerate(["c.test", "a.test", "b.test"]):
        house.now = START + n
        await house.put(queue, f"x@{destination}")
    assert names(await queue.claim(["c.test"], 1)) == ["x@a.test"]
    assert names(await queue.claim([], 10)) == ["x@c.test", "x@b.test"]


async def test_a_retry_waits_until_it_is_due(house: House) -> None:
    queue = await house.queue()
    await house.put(queue, "b@y.test")
    (one,) = await queue.claim([], 10)
    assert await queue.record([Record(one, State.WAITING, LATER, due=START + 300, warned=True)]) == []
    assert await queue.claim([], 10) == []
    house.now = START + 300
    (again,) = await queue.claim([], 10)
    assert again.attempts == 1
    assert again.warned


async def test_the_last_one_frees_the_body(house: House) -> None:
    queue = await house.queue()
    await house.put(queue, "b@y.test", "c@y.test")
    (body,) = await house.bodies()
    first, second = await queue.claim([], 10)
    assert await queue.record([settled(first)]) == []
    assert await queue.needed_bodies() == {body.message}
    assert await queue.record([settled(second, State.FAILED)]) == [body.message]
    assert await queue.needed_bodies() == set()
    assert await queue.waiting_count() == 0


async def test_the_dead_lose_their_claims_after_a_minute(house: House) -> None:
    dead, alive = await house.queue(), await house.queue()
    await house.put(dead, "b@y.test")
    (lost,) = await dead.claim([], 10)
    house.now += LEASE_SECONDS + 1
    await alive.renew()
    (one,) = await alive.claim([], 10)
    # The dead one was only slow: what it says now must not settle another's work, but is kept for the trace.
    assert await dead.record([settled(lost)]) == []
    assert await alive.waiting_count() == 1
    assert await alive.record([settled(one)]) != []


async def test_renewing_keeps_claims(house: House) -> None:
    queue, other = await house.queue(), await house.queue()
    await house.put(queue, "b@y.test", mine=True)
    for _ in range(4):
        house.now += LEASE_SECONDS - 10
        await queue.renew()
        await other.renew()
        assert await other.claim([], 10) == []


async def test_leaving_gives_claims_back_at_once(house: House) -> None:
    queue = await house.queue()
    await house.put(queue, "b@y.test", mine=True)
    await queue.leave()
    assert len(await (await house.queue()).claim([], 10)) == 1


async def test_a_server_that_starts_ends_all_claims(house: House) -> None:
    dead = await house.queue()
    await house.put(dead, "b@y.test", mine=True)
    await house.store.transact(leave_all)
    assert len(await (await house.queue()).claim([], 10)) == 1


async def test_news_and_record_are_one(house: House) -> None:
    """A recorder that rides on a delivery happens with it, or not at all."""
    queue = await house.queue()
    await house.put(queue, "b@y.test")
    (one,) = await queue.claim([], 10)

    def fail(database: object, entries: object) -> None:
        recorder(database, ())
        raise ValueError("power cut")

    recorder = queue.recorder([settled(one, State.FAILED)])
    with pytest.raises(StoreError):
        await house.store.deliver(delivery_id(), Bytes(b"news"), [Placement(9, b"")], START, whole=True, also=fail)
    assert await queue.waiting_count() == 1
    assert await house.store.entries(9) == []
    recorder = queue.recorder([settled(one, State.FAILED)])
    news = await house.store.deliver(
        delivery_id(), Bytes(b"news"), [Placement(9, b"")], START, whole=True, also=recorder
    )
    assert news == [Filed.KEPT]
    assert recorder.done
    assert len(recorder.over) == 1
    assert await queue.waiting_count() == 0


async def test_nothing_is_queued_when_the_body_was_not_kept(house: House) -> None:
    queue = await house.queue()
    to = ((Recipient(Address.parse("b@y.test")), "y.test"),)
    put = queue.put(Fresh(delivery_id(), 5, SENDER, None, "", START, START + 9, to, START), mine=True)
    placements = [Placement(1, b"", quota=1), Placement(ACCOUNT, b"", MAILBOX)]
    filed = await house.store.deliver(delivery_id(), Bytes(b"hello"), placements, START, whole=True, also=put)
    assert filed == [Filed.OVER_QUOTA, Filed.WITHHELD]
    assert put.waiting == []
    assert await queue.waiting_count() == 0


async def test_a_clock_that_was_set_back_delays_nothing(house: House) -> None:
    queue = await house.queue()
    await house.put(queue, "b@y.test")
    await house.put(queue, "later@y.test", due=START + 20 * 86400)  # asked for by its sender
    (one,) = await queue.claim([], 10)
    house.now = START - 10 * 86400
    await queue.record([Record(one, State.WAITING, LATER, due=START + 300)])
    await queue.tidy()
    await queue.renew()
    assert names(await queue.claim([], 10)) == ["b@y.test"]


async def test_settled_messages_are_forgotten_after_a_week(house: House) -> None:
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
    assert await house.store.ask(lambda connection: connection.execute(count).fetchall()) == [(1, 1, 0)]
