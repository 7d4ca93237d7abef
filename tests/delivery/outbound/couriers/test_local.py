"""Held messages on release: one copy for each mailbox, and none for anybody else."""

import pytest

from posthouse.delivery.content.mail import Mail
from posthouse.delivery.content.memory_body import MemoryBody
from posthouse.delivery.content.queued import QueuedContent
from posthouse.delivery.outbound.couriers.local import LocalCourier
from posthouse.delivery.outbound.couriers.message import OutboundMessage
from posthouse.delivery.outbound.routes import LOCAL
from posthouse.mailstore.interface import StoreError, StoreFullError
from posthouse.queue.interface import ACCOUNT, MAILBOX
from posthouse.queue.outcome import Delivered, Permanent, Transient
from tests.delivery.fixture import LETTER, Fixture


async def held(at: Fixture, *to: str) -> OutboundMessage:
    """A user's message that is to be held; what the local courier has of it."""
    envelope = at.envelope(*to, sender="alice@here.test")
    mail = Mail(envelope, MemoryBody(LETTER), account=at.account(), may_relay=True, hold_until=int(at.now) + 60)
    assert {reply.code for reply in await at.router.file(mail, all_or_nothing=True)} == {250}
    (entry,) = await at.sqlite.entries(ACCOUNT, MAILBOX)
    here = tuple(row.recipient for row in at.queued() if row.destination == LOCAL)
    return OutboundMessage(envelope.id, envelope.sender, here, QueuedContent(at.sqlite, entry))


@pytest.fixture
def courier(at: Fixture) -> LocalCourier:
    return LocalCourier(at.router, "mail.here.test")


async def test_held_for_an_alias_and_released_once(at: Fixture, courier: LocalCourier) -> None:
    parcel = await held(at, "team@here.test", "bob@here.test", "alice@here.test")
    assert at.queued_to() == [
        ("alice@here.test", LOCAL),
        ("bob@here.test", LOCAL),
        ("carol@there.test", "there.test"),
    ]
    assert await at.inbox("bob") == []
    for _ in range(2):  # the record of the first release may be lost
        outcomes = await courier.deliver(LOCAL, parcel)
        assert [type(outcome) for outcome in outcomes] == [Delivered, Delivered]
    assert len(await at.inbox("bob")) == len(await at.inbox("alice")) == 1
    assert len(at.queued()) == 3


async def test_an_alias_that_changes_while_a_message_is_held(at: Fixture, courier: LocalCourier) -> None:
    """Whom a message goes to was settled when it was taken."""
    parcel = await held(at, "team@here.test")
    at.registry.aliases.remove("team@here.test", "bob@here.test")
    at.registry.aliases.add("team@here.test", "eve@there.test")
    assert [type(outcome) for outcome in await courier.deliver(LOCAL, parcel)] == [Delivered]
    assert len(await at.inbox("bob")) == 1
    assert at.queued_to() == [("bob@here.test", LOCAL), ("carol@there.test", "there.test")]


async def test_released_in_two_goes(at: Fixture, courier: LocalCourier) -> None:
    """One for whom it failed comes alone the next time, with the same message."""
    parcel = await held(at, "alice@here.test", "bob@here.test")
    one = OutboundMessage(parcel.id, parcel.sender, parcel.recipients[:1], parcel.content)
    for each in (one, parcel, one):
        assert {type(outcome) for outcome in await courier.deliver(LOCAL, each)} == {Delivered}
    assert len(await at.inbox("bob")) == len(await at.inbox("alice")) == 1


def part(parcel: OutboundMessage, *positions: int) -> OutboundMessage:
    """What one try brings: a message with many recipients comes in several jobs, or again for some of them."""
    recipients = tuple(parcel.recipients[n] for n in positions)
    return OutboundMessage(parcel.id, parcel.sender, recipients, parcel.content)


def move_away(at: Fixture, *moved: str) -> None:
    """Accounts that become aliases for addresses elsewhere."""
    for name in moved:
        at.registry.accounts.remove(f"{name}@here.test")
        at.registry.aliases.add(f"{name}@here.test", f"{name}@there.test")


async def test_all_who_moved_away_get_it_whatever_parts_it_comes_in(at: Fixture, courier: LocalCourier) -> None:
    """Each is queued once: by the first part that brings it, by none of the others."""
    parcel = await held(at, "alice@here.test", "bob@here.test", "postmaster@here.test")
    move_away(at, "bob", "postmaster")
    for positions in ((1,), (2,), (0, 1, 2), (0, 2), (1,)):
        outcomes = await courier.deliver(LOCAL, part(parcel, *positions))
        assert {type(outcome) for outcome in outcomes} == {Delivered}
    sent = [each for each in at.queued_to() if each[1] != LOCAL]
    assert sent == [("bob@there.test", "there.test"), ("postmaster@there.test", "there.test")]
    assert len(await at.inbox("alice")) == 1


async def test_a_release_that_fails_on_its_way_out_is_completed(at: Fixture, courier: LocalCourier) -> None:
    parcel = await held(at, "alice@here.test", "bob@here.test", "postmaster@here.test")
    move_away(at, "bob", "postmaster")
    at.store.succeed = 2
    at.store.failures = [StoreError("broken")]
    outcomes = await courier.deliver(LOCAL, parcel)
    assert [type(outcome) for outcome in outcomes] == [Transient] * 3
    assert len([each for each in at.queued_to() if each[1] != LOCAL]) == 1
    assert [type(outcome) for outcome in await courier.deliver(LOCAL, parcel)] == [Delivered] * 3
    sent = [each for each in at.queued_to() if each[1] != LOCAL]
    assert sent == [("bob@there.test", "there.test"), ("postmaster@there.test", "there.test")]
    assert len(await at.inbox("alice")) == 1


@pytest.mark.parametrize("error", [StoreError("broken"), StoreFullError("full")])
async def test_a_release_that_fails_is_tried_again(at: Fixture, courier: LocalCourier, error: Exception) -> None:
    parcel = await held(at, "alice@here.test", "bob@here.test")
    at.store.failures = [error]
    outcomes = await courier.deliver(LOCAL, parcel)
    assert [(type(outcome), outcome.reply.code) for outcome in outcomes] == [(Transient, 451)] * 2
    assert [type(outcome) for outcome in await courier.deliver(LOCAL, parcel)] == [Delivered, Delivered]
    assert len(await at.inbox("bob")) == 1


async def test_a_body_that_cannot_be_read_is_tried_again(at: Fixture, courier: LocalCourier) -> None:
    parcel = await held(at, "alice@here.test")
    await at.sqlite.expunge(ACCOUNT, MAILBOX, [entry.message for entry in await at.sqlite.entries(ACCOUNT, MAILBOX)])
    gone = OutboundMessage(parcel.id, parcel.sender, parcel.recipients, Unreadable(at.sqlite, parcel.content._entry))
    assert [type(outcome) for outcome in await courier.deliver(LOCAL, gone)] == [Transient]


class Unreadable(QueuedContent):
    async def whole(self) -> bytes:
        raise StoreError("the pack is gone")


async def test_an_account_that_was_removed_while_its_mail_was_held(at: Fixture, courier: LocalCourier) -> None:
    parcel = await held(at, "bob@here.test")
    at.registry.accounts.remove("bob@here.test")
    (outcome,) = await courier.deliver(LOCAL, parcel)
    assert isinstance(outcome, Permanent)
    assert outcome.reply.enhanced == "5.1.1"
