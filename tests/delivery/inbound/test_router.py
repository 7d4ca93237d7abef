"""Where copies go, once each, and what is kept when something fails on the way."""

import asyncio

import pytest

from posthouse.delivery.content.mail import Mail
from posthouse.delivery.content.memory_body import MemoryBody
from posthouse.delivery.inbound.router import LOOP
from posthouse.mailstore.interface import StoreError, StoreFullError
from posthouse.message.address import Address
from posthouse.message.header import delivered_to
from tests.delivery.fixture import LETTER, Fixture


async def test_every_copy_in_one_go(at: Fixture) -> None:
    assert [reply.code for reply in await at.file("alice@here.test", "team@here.test")] == [250, 250]
    assert len(await at.inbox("alice")) == len(await at.inbox("bob")) == 1
    assert at.queued_to() == [("carol@there.test", "there.test")]
    ((waiting, entry),) = at.taker.offered
    assert [str(one.recipient.address) for one in waiting] == ["carol@there.test"]
    assert entry.message == waiting[0].message.body


async def test_who_is_reached_twice_gets_one(at: Fixture) -> None:
    await at.file("bob@here.test", "team@here.test", "carol@there.test", may_relay=True)
    assert len(await at.inbox("bob")) == 1
    assert at.queued_to() == [("carol@there.test", "there.test")]


async def test_all_or_none(at: Fixture) -> None:
    refused = await at.file("alice@here.test", "nobody@here.test", "dave@there.test")
    assert {reply.code for reply in refused} == {550}
    assert await at.inbox("alice") == [] and at.queued() == [] and at.taker.offered == []


async def test_each_for_itself(at: Fixture) -> None:
    replies = await at.file("alice@here.test", "nobody@here.test", "x@there.test", all_or_nothing=False)
    assert [reply.code for reply in replies] == [250, 550, 550]
    assert len(await at.inbox("alice")) == 1


@pytest.mark.parametrize("error", [StoreError("broken"), StoreFullError("full"), ZeroDivisionError()])
async def test_nothing_is_offered_that_was_not_kept(at: Fixture, error: Exception) -> None:
    at.store.failures = [error]
    with pytest.raises(type(error)):
        await at.file("team@here.test")
    assert at.taker.offered == [] and at.queued() == [] and await at.inbox("bob") == []


async def test_a_hook_that_fails_undoes_all(at: Fixture) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(StoreError):
        mail = Mail(at.envelope("team@here.test"), MemoryBody(LETTER))
        await at.router.file(mail, all_or_nothing=True, in_transaction=[fail])
    assert at.taker.offered == [] and at.queued() == [] and await at.inbox("bob") == []


async def test_what_was_held_is_kept_once(at: Fixture) -> None:
    """A client that did not hear the reply comes with another envelope; this one is tried again by ourselves."""
    envelope = at.envelope("team@here.test")
    for _ in range(2):
        assert (await at.router.file_held(Mail(envelope, MemoryBody(LETTER))))[0].code == 250
    assert len(await at.inbox("bob")) == 1
    assert len(at.queued()) == len(at.taker.offered) == 1


async def test_cancelled_while_it_is_kept(at: Fixture) -> None:
    """What was kept stays so, whole; nobody was told."""
    filing = asyncio.get_running_loop().create_task(at.file("team@here.test"))
    await asyncio.sleep(0)
    filing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await filing
    assert (len(await at.inbox("bob")), len(at.queued())) in ((0, 0), (1, 1))


async def test_without_room_it_waits_in_the_table(at: Fixture) -> None:
    at.taker.has_room = False
    await at.file("away@here.test")
    assert at.taker.offered == []
    assert [row.claimed for row in at.queued()] == [False]


async def test_a_loop_through_two_targets_ends_at_its_first_return(at: Fixture) -> None:
    assert (await at.file("both@here.test"))[0].code == 250
    (body,) = await at.bodies()
    assert body == b"Delivered-To: both@here.test\r\n" + LETTER
    assert at.queued()[0].message.octets == len(body)
    been = frozenset(delivered_to(body[: body.index(b"\r\n\r\n") + 2]))
    assert await at.file("both@here.test", been=been) == [LOOP]
    assert (await at.file("away@here.test", been=been))[0].code == 250  # another alias is no loop


async def test_targets_do_not_learn_of_other_recipients(at: Fixture) -> None:
    """They may have been blind copies."""
    await at.file("both@here.test", "away@here.test")
    await at.file("both@here.test", "x@there.test", sender="alice@here.test", may_relay=True)
    assert await at.bodies() == [LETTER, LETTER]


async def test_the_return_address_of_what_is_only_forwarded(at: Fixture) -> None:
    await at.file("away@here.test")
    sender = at.queued()[0].message.sender.address
    assert sender is not None and at.srs.reverse(sender) == Address("a", "remote.test")
    assert at.router.is_ours_to_return(sender)
    assert not at.router.is_ours_to_return(Address("a", "remote.test"))
    assert not at.router.is_ours_to_return(Address(sender.local, "remote.test"))
    assert not at.router.is_ours_to_return(Address("SRS0=AAAAAAAA=aa=remote.test=a", "here.test"))
