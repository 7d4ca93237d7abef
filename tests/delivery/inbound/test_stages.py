"""Checks of a stage are asked in order; the first refusal counts, and what is found out reaches every copy."""

import pytest

from posthouse.accounts.errors import DirectoryBusyError
from posthouse.accounts.interface import Account
from posthouse.delivery.inbound.pipeline import TEMPORARY_FAILURE, Incoming
from posthouse.delivery.inbound.stages import UNKNOWN_ORIGIN, Arrival, Origin, Stages
from posthouse.mailstore.interface import StoreError
from posthouse.message.address import Address
from posthouse.message.envelope import ReversePath
from posthouse.message.reply import Reply
from posthouse.message.trace import Tracer
from tests.delivery.fixture import LETTER, Fixture
from tests.delivery.inbound.test_pipeline import LOG, Door, codes

NO = Reply(550, "5.7.1", "No")
BOB = Address.parse("bob@here.test")


class Check:
    """Answers as it is told to, in every stage, and notes that it was asked."""

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
