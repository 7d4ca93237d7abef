"""What comes in: the reply says what became of it, whatever fails before or behind the commit."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import pytest

from posthouse.accounts.errors import DirectoryBusyError
from posthouse.accounts.sending_limits import SendingLimits
from posthouse.accounts.sqlite.sending_limits import SqliteSendingLimitRows
from posthouse.app.process.logs import open_log
from posthouse.database.connection import Durability, open_connection
from posthouse.delivery.content.signing import Signing
from posthouse.delivery.content.spool import Spool, SpoolBudget
from posthouse.delivery.inbound.pipeline import NO_SPACE, TEMPORARY_FAILURE
from posthouse.delivery.inbound.router import LOOP
from posthouse.delivery.inbound.stages import UNKNOWN_ORIGIN, Arrival, Origin
from posthouse.delivery.inbound.submission import Submission
from posthouse.delivery.inbound.wiring import build_incoming
from posthouse.delivery.reports.bounces import Bounces
from posthouse.mailstore.interface import Mailstore, StoreError, StoreFullError
from posthouse.message.address import Address
from posthouse.message.envelope import Envelope, Recipient
from posthouse.message.ids import id_factory
from posthouse.message.reply import Reply
from posthouse.message.trace import Tracer
from posthouse.queue.interface import AttemptRecord, RecipientState, Try, Waiting
from posthouse.queue.outcome import Outcome, Permanent, Transient
from tests.delivery.fixture import LETTER, Fixture

MINE = b"From: alice@here.test\r\nBcc: hidden@here.test\r\nSubject: x\r\n\r\nhi\r\n"
FAILURES = [
    (StoreFullError("full"), NO_SPACE),
    (StoreError("broken"), TEMPORARY_FAILURE),
    (DirectoryBusyError("busy"), TEMPORARY_FAILURE),
]
LOG = open_log("error")


class Door:
    """The way in of a house."""

    def __init__(self, at: Fixture, *, messages: int = 0, **options: Any) -> None:
        self.at = at
        mailstore: Mailstore = at.store

        def clock() -> float:
            return at.now

        tracer = Tracer("mail.here.test", clock)
        self.volatile = open_connection(at.folder / "volatile.db", durability=Durability.OFF)
        allowance = SendingLimits(SqliteSendingLimitRows(self.volatile), clock, default_messages=messages)
        self.submission = Submission(at.directory, allowance, tracer, clock, id_factory())
        self.bounces = Bounces(
            at.router,
            at.outgoing,
            id_factory(),
            clock,
            LOG,
            hostname="mail.here.test",
            postmaster=lambda: Address("postmaster", "here.test"),
            signing=Signing(at.directory, clock),
        )
        self.budget = SpoolBudget(at.folder / "spool", in_memory=1 << 16)
        self.incoming = build_incoming(
            at.router,
            mailstore,
            self.budget,
            tracer,
            LOG,
            hostname="mx.here.test",
            submission=self.submission,
            signing=Signing(at.directory, clock),
            bounces=self.bounces,
            clock=clock,
            **options,
        )

    @property
    def alice(self) -> Origin:
        return Origin(self.at.account())

    async def receive(
        self, *to: str, data: bytes = LETTER, origin: Origin = UNKNOWN_ORIGIN, envelope: Envelope | None = None
    ) -> list[Reply]:
        spool = self.incoming.open_spool()
        try:
            spool.write(data)
            sender = "alice@here.test" if origin.account else "a@remote.test"
            envelope = envelope or self.at.envelope(*to, sender=sender)
            return await self.incoming.receive(envelope, spool, all_or_nothing=True, origin=origin)
        finally:
            spool.close()


@pytest.fixture
def door(at: Fixture) -> Door:
    return Door(at)


def codes(replies: Sequence[Reply]) -> list[int]:
    return [reply.code for reply in replies]


@pytest.mark.parametrize(("error", "reply"), FAILURES, ids=lambda each: type(each).__name__)
async def test_what_cannot_be_kept_is_refused_for_now(at: Fixture, door: Door, error: Exception, reply: Reply) -> None:
    for origin in (UNKNOWN_ORIGIN, door.alice):
        at.store.failures = [error]
        assert await door.receive("bob@here.test", "team@here.test", origin=origin, data=MINE) == [reply, reply]
    assert await at.inbox("bob") == [] and at.queued() == []
    assert codes(await door.receive("team@here.test")) == [250]
    assert len(await at.inbox("bob")) == 1


@pytest.mark.parametrize(
    "error", [StoreError("broken"), StoreFullError("full"), DirectoryBusyError("busy"), ZeroDivisionError()]
)
async def test_a_report_that_fails_takes_nothing_back(
    at: Fixture, door: Door, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message is kept: a refusal would have the client send it once more."""

    async def report_kept(*_: object) -> None:
        raise error

    monkeypatch.setattr(door.bounces, "report_kept", report_kept)
    envelope = at.envelope("bob@here.test")
    envelope.recipients[0] = Recipient(Address("bob", "here.test"), ("SUCCESS",))
    assert codes(await door.receive(envelope=envelope)) == [250]
    assert len(await at.inbox("bob")) == 1


async def test_sessions_that_end_together_pass_no_bound(at: Fixture) -> None:
    door = Door(at, messages=5)
    replies = await asyncio.gather(*(door.receive("bob@here.test", data=MINE, origin=door.alice) for _ in range(25)))
    assert sorted(codes([reply for (reply,) in replies])) == [250] * 5 + [451] * 20
    assert len(await at.inbox("bob")) == 5


@pytest.mark.parametrize("error", [StoreError("broken"), StoreFullError("full"), ZeroDivisionError()])
async def test_what_is_not_kept_counts_for_nothing(at: Fixture, error: Exception) -> None:
    door = Door(at, messages=1)
    at.store.failures = [error]
    with contextlib.suppress(ZeroDivisionError):
        assert codes(await door.receive("bob@here.test", data=MINE, origin=door.alice)) != [250]
    not_hers = b"From: x@here.test\r\n\r\n"
    assert codes(await door.receive("bob@here.test", data=not_hers, origin=door.alice)) == [550]
    assert codes(await door.receive("bob@here.test", data=MINE, origin=door.alice)) == [250]
    assert codes(await door.receive("bob@here.test", data=MINE, origin=door.alice)) == [451]


@pytest.mark.parametrize("error", [DirectoryBusyError("busy"), ZeroDivisionError()])
async def test_what_cannot_be_given_back_changes_no_reply(
    at: Fixture, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def give_back(*_: object) -> None:
        raise error

    door = Door(at, messages=2)
    monkeypatch.setattr(door.submission, "give_back", give_back)
    at.store.failures = [StoreFullError("full")]
    assert await door.receive("bob@here.test", data=MINE, origin=door.alice) == [NO_SPACE]
    assert codes(await door.receive("bob@here.test", data=MINE, origin=door.alice)) == [250]


async def test_a_report_that_was_asked_for(at: Fixture, door: Door) -> None:
    envelope = at.envelope("bob@here.test", sender="alice@here.test")
    envelope.recipients[0] = Recipient(Address("bob", "here.test"), ("SUCCESS",))
    assert codes(await door.receive(envelope=envelope)) == [250]
    (report,) = await at.inbox("alice")
    assert b"Action: delivered" in report


async def test_cancelled_between_commit_and_reply(at: Fixture, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reply is lost, the message is not."""
    reached = asyncio.Event()

    async def report_kept(*_: object) -> None:
        reached.set()
        await asyncio.sleep(3600)

    monkeypatch.setattr(door.bounces, "report_kept", report_kept)
    envelope = at.envelope("bob@here.test")
    envelope.recipients[0] = Recipient(Address("bob", "here.test"), ("SUCCESS",))
    receiving = asyncio.get_running_loop().create_task(door.receive(envelope=envelope))
    await reached.wait()
    receiving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await receiving
    assert len(await at.inbox("bob")) == 1


async def test_a_check_that_refuses(at: Fixture) -> None:
    class Refuse:
        async def check_content(self, arrival: Arrival) -> Reply | None:
            return Reply(550, "5.7.1", "No")

    door = Door(at, checks=[Refuse()])
    assert codes(await door.receive("bob@here.test")) == [550]
    assert await at.inbox("bob") == [] and at.store.calls == 0


async def test_too_many_hops(at: Fixture, door: Door) -> None:
    assert await door.receive("bob@here.test", data=b"Received: x\r\n" * 100 + LETTER) == [LOOP]
    assert at.store.calls == 0


async def test_what_has_been_here_before(at: Fixture, door: Door) -> None:
    for name in ("bob", "both", "BOTH"):
        data = f"Delivered-To: {name}@here.test\r\n".encode() + LETTER
        assert await door.receive(f"{name}@here.test", data=data) == [LOOP]
    assert at.store.calls == 0


async def test_what_somebody_sends_on_by_hand_is_no_loop(at: Fixture, door: Door) -> None:
    """mutt's bounce (with bounce_delivered, its default): Resent fields in front of all that was there."""
    resent = b"Resent-From: bob@here.test\r\nResent-To: bob@here.test\r\nResent-Message-ID: <1@here.test>\r\n"
    data = resent + b"Return-Path: <x@there.test>\r\nDelivered-To: bob@here.test\r\n" + LETTER
    assert codes(await door.receive("bob@here.test", data=data)) == [250]
    # It comes again, from where it was led to: now that is a loop.
    (kept,) = await at.inbox("bob")
    assert await door.receive("bob@here.test", data=kept) == [LOOP]
    assert len(await at.inbox("bob")) == 1


@pytest.mark.parametrize("octets", [0, 1 << 20], ids=["in memory", "in a file"])
async def test_a_submission_is_kept_without_what_must_not_travel(at: Fixture, door: Door, octets: int) -> None:
    data = MINE + b"0123456789abcd\r\n" * (octets // 16)
    assert codes(await door.receive("bob@here.test", "carol@there.test", data=data, origin=door.alice)) == [250, 250]
    for kept in (*await at.inbox("bob"), *await at.bodies()):
        assert b"hidden" not in kept
        assert kept.endswith(data[data.index(b"Subject:") :])
        assert b"DKIM-Signature: " in kept


async def test_a_spool_that_cannot_be_read(at: Fixture, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    def chunks(_: Spool) -> None:
        raise StoreError("the spool failed")

    monkeypatch.setattr(Spool, "chunks", chunks)
    assert await door.receive("bob@here.test", data=MINE, origin=door.alice) == [TEMPORARY_FAILURE]
    assert await at.inbox("bob") == []


async def test_rooms_of_the_spool_come_back(at: Fixture, door: Door) -> None:
    before = door.budget.left
    at.store.failures = [StoreError("broken")]
    await door.receive("bob@here.test")
    await door.receive("bob@here.test")
    assert door.budget.left == before


# What is forwarded for a sender that nobody has verified.


async def failed(at: Fixture, door: Door, outcome: Outcome, state: RecipientState) -> None:
    """The only recipient in the queue meets that end."""
    ((waiting, _),) = at.taker.offered
    at.taker.offered.clear()
    record = AttemptRecord(waiting[0], state, Try(int(at.now), 550, "no", "mx", "", ""), warned=True)
    notice = door.bounces.notice(record, outcome)
    if notice is not None:
        await door.bounces.send({0: notice}, [record], None)


async def test_no_bounce_to_a_sender_that_was_not_verified(at: Fixture, door: Door) -> None:
    """A forged one would make a bystander of who reads it; the postmaster can see to the alias."""
    await door.receive("away@here.test")
    await failed(at, door, Permanent(Reply(550, "5.1.1", "no such user")), RecipientState.FAILED)
    (told,) = await at.inbox("postmaster")
    assert b"dave@there.test" in told
    assert at.taker.offered == [] and at.queued() == []


async def test_no_word_of_a_delay_either(at: Fixture, door: Door) -> None:
    await door.receive("away@here.test")
    ((waiting, _),) = at.taker.offered
    unwarned = Waiting(waiting[0].message, 0, waiting[0].recipient, waiting[0].destination, 3, False)
    record = AttemptRecord(unwarned, RecipientState.WAITING, None, due=1, warned=True)
    assert door.bounces.notice(record, Transient(Reply(451, "4.0.0", "later"))) is None


async def test_our_own_user_is_told(at: Fixture, door: Door) -> None:
    await door.receive("away@here.test", data=MINE, origin=door.alice)
    await failed(at, door, Permanent(Reply(550, "5.1.1", "no such user")), RecipientState.FAILED)
    assert len(await at.inbox("alice")) == 1
    assert await at.inbox("postmaster") == []


async def test_others_bounces_find_back(at: Fixture, door: Door) -> None:
    await door.receive("away@here.test")
    back = at.queued()[0].message.sender.address
    assert codes(await door.receive(envelope=at.envelope(str(back), sender=""))) == [250]
    assert ("a@remote.test", "remote.test") in at.queued_to()
