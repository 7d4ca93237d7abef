"""What this server itself has to say is signed, in a form that stays as it is on its way."""

from email import message_from_bytes
from email.policy import default

import pytest

from posthouse.accounts.errors import DirectoryBusyError
from posthouse.mailstore.interface import Traits
from posthouse.message.address import Address
from posthouse.message.coding import is_seven_bit
from posthouse.message.envelope import Recipient, ReversePath
from posthouse.message.header import header_end
from posthouse.message.reply import Reply
from posthouse.message.report import Action, Original, RecipientReport
from tests.delivery.content.test_sendable import queued, signed
from tests.delivery.fixture import NOW, Fixture
from tests.delivery.inbound.test_pipeline import Door, codes

EIGHT_BIT = "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nGrüße\r\n".encode()
UTF8 = "Subject: Grüße\r\n\r\nGrüße\r\n".encode()
HERS, HIS = Address("alice", "here.test"), Address("a", "remote.test")


def told(action: Action = Action.FAILED, to: str = "carol@there.test") -> RecipientReport:
    reply = (
        Reply(550, "5.1.1", "There is no such mailbox here") if action is Action.FAILED else Reply(451, "4.4.1", "No")
    )
    recipient = Recipient(Address.parse(to))
    return RecipientReport(recipient, action, reply, "mx.there.test", "192.0.2.1", True, NOW, 1, False, 0, "It failed.")


def original(data: bytes, sender: ReversePath) -> Original:
    end = header_end(data)
    return Original(sender, NOW, "id", data[:end], lambda: [data[end:]], len(data), not data.isascii())


@pytest.fixture
def door(at: Fixture) -> Door:
    at.registry.domains.ensure_signing_keys("here.test")
    return Door(at)


@pytest.mark.parametrize("sender", [HERS, HIS], ids=["here", "elsewhere"])
@pytest.mark.parametrize("data", [b"Subject: x\r\n\r\nhi\r\n", EIGHT_BIT, UTF8], ids=["plain", "8-bit", "UTF-8"])
@pytest.mark.parametrize("smtputf8", [False, True])
@pytest.mark.parametrize("action", [Action.FAILED, Action.DELAYED])
async def test_reports_are_signed(
    at: Fixture, door: Door, sender: Address, data: bytes, smtputf8: bool, action: Action
) -> None:
    path = ReversePath(sender, ret="FULL", smtputf8=smtputf8)
    mail = await door.bounces._mail(path, [told(action)], original(data, path))
    assert codes(await at.router.file(mail, all_or_nothing=False)) == [250]
    message = (await at.inbox("alice"))[0] if sender is HERS else await (await queued(at)).whole()
    assert signed(at, message)
    assert is_seven_bit(message)
    assert not mail.envelope.sender.smtputf8
    read = message_from_bytes(message, policy=default)
    assert read["From"].addresses[0].domain == "here.test"  # of whom the signature is: DMARC wants that
    assert read.get_content_type() == "multipart/report"
    if data is EIGHT_BIT and action is Action.FAILED:
        returned = list(read.iter_parts())[-1]
        assert returned.get_content_type() == "message/rfc822"
        assert returned.get_content().get_content().strip() == "Grüße"


async def test_an_international_return_address_keeps_its_octets(at: Fixture, door: Door) -> None:
    """Who takes it by SMTPUTF8 takes 8-bit text as well (RFC 6531 3.1)."""
    path = ReversePath(Address("grüße", "remote.test"), smtputf8=True)
    mail = await door.bounces._mail(path, [told(to="ü@there.test")], original(UTF8, path))
    assert mail.envelope.sender.smtputf8 and mail.body.traits & Traits.EIGHT_BIT
    assert signed(at, mail.trace + b"".join(mail.body.chunks()))


async def test_a_delivery_report_that_was_asked_for_is_signed(at: Fixture, door: Door) -> None:
    envelope = at.envelope("bob@here.test", sender="alice@here.test")
    envelope.recipients[0] = Recipient(Address("bob", "here.test"), ("SUCCESS",))
    assert codes(await door.receive(envelope=envelope)) == [250]
    (report,) = await at.inbox("alice")
    assert b"Action: delivered" in report and signed(at, report)


async def test_without_keys_the_news_goes_out_all_the_same(
    at: Fixture, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keys(_: str) -> None:
        raise DirectoryBusyError("busy")

    monkeypatch.setattr(at.directory.addresses, "signing_keys", keys)
    mail = await door.bounces._mail(ReversePath(HERS), [told()], original(EIGHT_BIT, ReversePath(HERS)))
    assert mail.trace == b""
    assert codes(await at.router.file(mail, all_or_nothing=False)) == [250]
    assert len(await at.inbox("alice")) == 1
