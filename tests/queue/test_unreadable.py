"""Rows of the queue that are not as this program writes them."""

import pytest

from posthouse.queue.sqlite.outgoing import SqliteOutgoing
from tests.queue.fixture import LATER, START, Fixture, names, settled

UNREADABLE = [
    "DELETE FROM queued WHERE number = 1",
    "UPDATE queued_recipient SET address = 'no address' WHERE number = 1",
    "UPDATE queued_recipient SET address = x'00ff' WHERE number = 1",
    "UPDATE queued_recipient SET address = CAST(x'ff40622e74657374' AS TEXT) WHERE number = 1",
    "UPDATE queued SET sender = 'no address' WHERE number = 1",
    "UPDATE queued SET options = '{\"body\": 5}' WHERE number = 1",
    "UPDATE queued SET options = '{' WHERE number = 1",
    "UPDATE queued SET message_id = CAST(x'ff' AS TEXT) WHERE number = 1",
]


@pytest.mark.parametrize("damage", UNREADABLE)
async def test_what_cannot_be_read_keeps_nothing_else_waiting(house: Fixture, damage: str) -> None:
    """It is held and named, once; all others are sent."""
    said: list[str] = []
    queue = SqliteOutgoing(house.store, lambda: house.now, on_unreadable=said.append)
    for to in ("b@y.test", "c@y.test", "d@z.test"):
        await house.put(queue, to)
    await house.store.transact(lambda connection: connection.execute(damage).get)
    assert names(await queue.claim([], 10)) == ["c@y.test", "d@z.test"]
    assert await queue.claim([], 10) == []
    (line,) = said
    assert line.startswith("recipient 0 of message 1 in the queue: ")
    look = "SELECT held, claim, state FROM queued_recipient WHERE number = 1"
    assert await house.store.read_rows(lambda connection: connection.execute(look).fetchall()) == [(1, 0, 0)]
    house.now -= 40 * 86400
    await queue.tidy()  # a clock that steps is put right for all of them
    await queue.leave()


@pytest.mark.parametrize("damage", UNREADABLE)
@pytest.mark.parametrize("due", [START, 0])
async def test_what_cannot_be_read_does_not_keep_those_from_being_told_whose_destination_is_down(
    house: Fixture, damage: str, due: int
) -> None:
    said: list[str] = []
    queue = SqliteOutgoing(house.store, lambda: house.now, on_unreadable=said.append)
    await house.put(queue, "b@y.test")
    await house.put(queue, "c@y.test")
    await house.store.transact(lambda connection: connection.execute(damage).get)
    wanted = f"UPDATE queued_recipient SET due = {due}"
    await house.store.transact(lambda connection: connection.execute(wanted).get)
    assert names(await queue.postpone("y.test", LATER, lambda delay: None, 10)) == ["c@y.test"]
    assert len(said) == 1


async def test_what_lost_its_message_is_settled_without_it(house: Fixture) -> None:
    queue = await house.queue()
    put = await house.put(queue, "b@y.test", mine=True)
    other = await house.put(queue, "c@y.test", mine=True)
    await house.store.transact(lambda connection: connection.execute("DELETE FROM queued WHERE number = 1").get)
    assert len(await queue.record([settled(one) for one in (*put.waiting, *other.waiting)])) == 1
    assert await queue.waiting_count() == 0
