"""Checks of a stage are asked in order; the first refusal counts, and what is found out reaches every copy."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from posthouse.accounts.errors import DirectoryBusyError
from posthouse.accounts.interface import Account
from posthouse.delivery.inbound.pipeline import TEMPORARY_FAILURE, Incoming
from posthouse.delivery.inbound.router import Router
from posthouse.delivery.inbound.stages import UNKNOWN_ORIGIN, AccountDecision, AccountDelivery, Arrival, Origin, Stages
from posthouse.mailstore.interface import StoreError
from posthouse.message.address import Address
from posthouse.message.envelope import ReversePath
from posthouse.message.reply import Reply
from posthouse.message.trace import Tracer
from tests.delivery.fixture import LETTER, Fixture
from tests.delivery.inbound.test_pipeline import LOG, Door, codes
from tests.stores import contents

NO = Reply(550, "5.7.1", "No")
BOB = Address.parse("bob@here.test")


class Check:
    """Gives the answers it was made with, in every stage, and notes that it was asked."""

    def __init__(self, answer: Reply | Exception | None = None, *, waits: bool = False) -> None:
        self.answer, self.waits, self.asked = answer, waits, 0

    def check_mail(self, sender: ReversePath, origin: Origin) -> Reply | None:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def _later(self) -> Reply | None:
        return self.check_mail(ReversePath(None), UNKNOWN_ORIGIN)

    def check_recipient(self, sender: ReversePath, address: Address, accounts: tuple[Account, ...]):  # type: ignore[no-untyped-def]
        assert [str(account.address) for account in accounts] == [str(BOB)]
        return self._later() if self.waits else self.check_mail(sender, UNKNOWN_ORIGIN)

    def check_content(self, arrival: Arrival):  # type: ignore[no-untyped-def]
        arrival.headers += b"X-Checked: yes\r\n"
        return self._later() if self.waits else self.check_mail(arrival.envelope.sender, arrival.origin)


def incoming(at: Fixture, stages: Stages) -> Incoming:
    return Incoming(at.router, Door(at).budget, Tracer("mx.here.test", lambda: at.now), LOG, stages)


async def offered(at: Fixture, *checks: Check) -> Reply | None:
    answer = incoming(at, Stages(recipient=checks)).offer_recipient(ReversePath(None), BOB)
    return answer if answer is None or isinstance(answer, Reply) else await answer


def test_mail(at: Fixture) -> None:
    first, second, third = Check(), Check(NO), Check()
    assert incoming(at, Stages(mail=(first, second, third))).offer_sender(ReversePath(None), UNKNOWN_ORIGIN) == NO
    assert (first.asked, second.asked, third.asked) == (1, 1, 0)
    busy = incoming(at, Stages(mail=(Check(DirectoryBusyError("busy")),)))
    assert busy.offer_sender(ReversePath(None), UNKNOWN_ORIGIN) == TEMPORARY_FAILURE


@pytest.mark.parametrize("waits", [(False,) * 3, (True,) * 3, (False, True, False), (True, False, True)])
async def test_recipients(at: Fixture, waits: tuple[bool, bool, bool]) -> None:
    first, second, third = Check(waits=waits[0]), Check(NO, waits=waits[1]), Check(waits=waits[2])
    assert await offered(at, first, second, third) == NO
    assert (first.asked, second.asked, third.asked) == (1, 1, 0)
    assert await offered(at, first, third) is None
    assert (first.asked, third.asked) == (2, 1)
    for error in (DirectoryBusyError("busy"), StoreError("broken")):
        assert await offered(at, Check(waits=True), Check(error, waits=True)) == TEMPORARY_FAILURE


@pytest.mark.parametrize("waits", [False, True])
async def test_content(at: Fixture, waits: bool) -> None:
    first, refusing = Check(waits=waits), Check(NO, waits=waits)
    door = Door(at, checks=[first, refusing])
    assert codes(await door.receive("bob@here.test", "alice@here.test")) == [550, 550]
    assert await at.inbox("bob") == [] and at.store.calls == 0
    door = Door(at, checks=[first, first])
    assert codes(await door.receive("bob@here.test", "alice@here.test")) == [250, 250]
    for name in ("bob", "alice"):
        (found,) = await at.inbox(name)
        assert found.count(b"X-Checked: yes\r\n") == 2 and found.endswith(LETTER)
    door = Door(at, checks=[Check(StoreError("broken"), waits=waits)])
    assert await door.receive("bob@here.test") == [TEMPORARY_FAILURE]


class Filter:
    """Gives each account the decision that `choose` makes of what it sees."""

    def __init__(self, choose: Callable[[AccountDelivery, AccountDecision], AccountDecision]) -> None:
        self.choose = choose
        self.seen: list[tuple[str, str, str]] = []  # recipient, account, detail

    async def decide(self, delivery: AccountDelivery, decision: AccountDecision) -> AccountDecision:
        self.seen.append((str(delivery.recipient.address), str(delivery.account.address), delivery.detail))
        await asyncio.sleep(0)
        return self.choose(delivery, decision)


def stages_of(at: Fixture, *filters: Filter) -> None:
    active: Any = at.taker
    at.router = Router(
        at.directory, at.sqlite, lambda: at.now, outgoing=at.outgoing, active=active, account_stages=filters
    )


async def boxes(at: Fixture, name: str, *mailboxes: str) -> list[int]:
    return [len(await contents(at.sqlite, at.account(name).id, mailbox)) for mailbox in mailboxes]


async def test_one_decision_for_each_account_and_several_mailboxes(at: Fixture) -> None:
    def choose(delivery: AccountDelivery, decision: AccountDecision) -> AccountDecision:
        if delivery.detail:
            return AccountDecision(("INBOX", delivery.detail, "Archive", delivery.detail), b"X-Filter: 1\r\n")
        return decision

    lists = Filter(choose)
    stages_of(at, lists)
    replies = await at.file("bob+lists@here.test", "bob@here.test", "alice@here.test", "team@here.test")
    assert codes(replies) == [250] * 4
    assert lists.seen == [("bob+lists@here.test", "bob@here.test", "lists"), ("alice@here.test",) * 2 + ("",)]
    assert await boxes(at, "bob", "INBOX", "lists", "Archive") == [1, 1, 1]
    assert await boxes(at, "alice", "INBOX", "lists", "Archive") == [1, 0, 0]
    (found,) = await contents(at.sqlite, at.account("bob").id, "lists")
    assert found.startswith(b"X-Filter: 1\r\nReturn-Path:") and found.endswith(LETTER)
    assert at.queued_to() == [("carol@there.test", "there.test")]


async def test_each_stage_gets_the_decision_of_the_one_before(at: Fixture) -> None:
    junk = Filter(lambda delivery, decision: replace(decision, mailboxes=("Junk",)))
    rules = Filter(lambda delivery, decision: replace(decision, mailboxes=(*decision.mailboxes, "Rules")))
    stages_of(at, junk, rules)
    assert codes(await at.file("bob@here.test")) == [250]
    assert await boxes(at, "bob", "INBOX", "Junk", "Rules") == [0, 1, 1]


async def test_one_account_refuses(at: Fixture) -> None:
    refuse = Filter(lambda delivery, decision: AccountDecision(refusal=NO) if delivery.detail == "no" else decision)
    stages_of(at, refuse)
    assert codes(await at.file("bob+no@here.test", "alice@here.test", all_or_nothing=False)) == [550, 250]
    assert await boxes(at, "bob", "INBOX") == [0] and await boxes(at, "alice", "INBOX") == [1]
    assert codes(await at.file("bob+no@here.test", "alice@here.test")) == [550, 550]
    assert await boxes(at, "alice", "INBOX") == [1]


async def test_what_is_kept_nowhere_is_accepted(at: Fixture) -> None:
    stages_of(at, Filter(lambda delivery, decision: AccountDecision(mailboxes=())))
    assert codes(await at.file("bob@here.test", "alice@here.test")) == [250, 250]
    assert await boxes(at, "bob", "INBOX") == await boxes(at, "alice", "INBOX") == [0]


async def test_an_account_that_is_full_refuses_all_its_copies(at: Fixture) -> None:
    at.registry.accounts.set_quota("bob@here.test", 10)
    stages_of(at, Filter(lambda delivery, decision: AccountDecision(("A", "B"))))
    assert codes(await at.file("bob@here.test", "alice@here.test", all_or_nothing=False)) == [552, 250]
    assert await boxes(at, "bob", "A", "B") == [0, 0] and await boxes(at, "alice", "A", "B") == [1, 1]


async def test_a_stage_that_fails_keeps_nothing(at: Fixture) -> None:
    def fail(delivery: AccountDelivery, decision: AccountDecision) -> AccountDecision:
        raise StoreError("broken")

    stages_of(at, Filter(fail))
    with pytest.raises(StoreError):
        await at.file("bob@here.test", "alice@here.test")
    assert await boxes(at, "bob", "INBOX") == await boxes(at, "alice", "INBOX") == [0]
