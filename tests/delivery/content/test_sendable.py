"""What is accepted can be sent, and its signature holds however it is sent."""

import dkim  # type: ignore[import-untyped]
import pytest

from posthouse.delivery.content.queued import QueuedContent
from posthouse.delivery.content.sendable import MAX_CONVERTED, UNSENDABLE, Converter, UnsendableError
from posthouse.delivery.outbound.couriers.message import OutboundMessage, prepare_transaction
from posthouse.mailstore.interface import Mailstore
from posthouse.message.address import Address
from posthouse.message.coding import is_seven_bit
from posthouse.message.envelope import Recipient, ReversePath
from posthouse.policy.dkim.keys import public_record
from posthouse.queue.interface import ACCOUNT, MAILBOX
from posthouse.queue.outcome import Remote
from tests.delivery.fixture import Fixture
from tests.delivery.inbound.test_pipeline import Door, codes
from tests.stores import Bytes

MIME = b"MIME-Version: 1.0\r\n"
FROM = b"From: alice@here.test\r\n"
SIGNED = MIME + b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n%b\r\n--b--\r\n"
LONG = b"x" * 5000
# Each of these had its signature broken on the way, or came back as undeliverable.
HARD = {
    "long lines": MIME + b"Content-Type: text/html\r\n\r\n" + LONG + b"\r\n",
    "long lines, no MIME fields": b"Subject: cron\r\n\r\n" + LONG + b"\r\n",
    "8-bit text": MIME + b"Content-Type: text/plain; charset=utf-8\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n",
    "8-bit text, no MIME fields": b"Subject: x\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n",
    "an 8-bit subject": b"Subject: Gr\xc3\xbc\xc3\x9fe\r\n\r\nx\r\n",
    "NUL": b"Subject: x\r\n\r\nnul \0\r\n",
    "many recipients on one line": b"To: " + b", ".join(b"a%d@there.test" % n for n in range(120)) + b"\r\n\r\nx\r\n",
    "References on one line": b"References: " + b" ".join(b"<%d@x.test>" % n for n in range(200)) + b"\r\n\r\nx\r\n",
    "base64 on one line": MIME + b"Content-Transfer-Encoding: base64\r\n\r\n" + b"YWJj" * 1000 + b"\r\n",
    "Bcc": b"Bcc: hidden@here.test\r\nSubject: x\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n",
}


@pytest.fixture
def door(at: Fixture) -> Door:
    return Door(at)


async def queued(at: Fixture) -> QueuedContent:
    (entry,) = await at.sqlite.entries(ACCOUNT, MAILBOX)
    store: Mailstore = at.sqlite
    return QueuedContent(store, entry)


def signed(at: Fixture, message: bytes) -> bool:
    """Whether the RSA signature holds, as dkimpy sees it."""
    found = {
        f"{key.selector}._domainkey.here.test.": public_record(key)
        for key in at.directory.addresses.signing_keys("here.test")
    }
    return any(
        dkim.DKIM(message).verify(idx=n, dnsfunc=lambda name, timeout=5: found[name.decode()].encode())
        for n, key in enumerate(at.directory.addresses.signing_keys("here.test"))
        if key.algorithm == "rsa-sha256"
    )


@pytest.mark.parametrize("name", HARD)
async def test_a_submission_is_converted_before_it_is_signed(at: Fixture, door: Door, name: str) -> None:
    at.registry.domains.ensure_signing_keys("here.test")
    data = FROM + HARD[name]
    assert codes(await door.receive("carol@there.test", "bob@here.test", data=data, origin=door.alice)) == [250, 250]
    content = await queued(at)
    message = await content.whole()
    assert is_seven_bit(message) and b"hidden" not in message
    assert signed(at, message)
    parcel = OutboundMessage(
        b"", ReversePath(Address("alice", "here.test")), (Recipient(Address("carol", "there.test")),), content
    )
    assert (
        await prepare_transaction(parcel, {}, Remote("mx.there.test"))
    ).converted is None  # not even for the oldest server
    (kept,) = await at.inbox("bob")
    assert signed(at, kept)


async def test_what_every_server_takes_keeps_its_octets(at: Fixture, door: Door) -> None:
    data = FROM + b"Subject:  two   spaces\t\r\n\r\nplain\r\n"
    await door.receive("bob@here.test", data=data, origin=door.alice)
    assert (await at.inbox("bob"))[0].endswith(data)


async def test_a_header_in_utf8_stays_with_smtputf8(at: Fixture, door: Door) -> None:
    data = FROM + "Subject: Grüße\r\n\r\nGrüße\r\n".encode()
    envelope = at.envelope("bob@here.test", sender="alice@here.test")
    envelope.sender = ReversePath(Address("alice", "here.test"), smtputf8=True)
    await door.receive(envelope=envelope, data=data, origin=door.alice)
    assert (await at.inbox("bob"))[0].endswith(data)


@pytest.mark.parametrize("octets", [b"Gr\xc3\xbc\xc3\x9fe", LONG])
async def test_what_is_signed_already(at: Fixture, door: Door, octets: bytes) -> None:
    """RFC 1847 2.1: it must not be touched. 8-bit text goes to servers with 8BITMIME; a long line goes nowhere."""
    data = FROM + SIGNED % octets
    replies = await door.receive("carol@there.test", data=data, origin=door.alice)
    if octets is LONG:
        assert replies == [UNSENDABLE]
    else:
        assert codes(replies) == [250]
        assert (await (await queued(at)).whole()).endswith(data)


@pytest.mark.parametrize("name", HARD)
async def test_what_is_forwarded_keeps_its_form(at: Fixture, door: Door, name: str) -> None:
    assert codes(await door.receive("away@here.test", data=HARD[name])) == [250]
    content = await queued(at)
    assert (await content.whole()).endswith(HARD[name])
    assert is_seven_bit(await content.as_seven_bit())


async def test_what_nobody_would_take_is_not_forwarded(at: Fixture, door: Door) -> None:
    data = SIGNED % LONG
    assert await door.receive("away@here.test", data=data) == [UNSENDABLE]
    assert await door.receive("team@here.test", "bob@here.test", data=data) == [UNSENDABLE] * 2
    assert at.queued() == [] and await at.inbox("bob") == []
    assert codes(await door.receive("bob@here.test", data=data)) == [250]  # it stays here, where it can be read


async def test_each_recipient_has_its_reply(at: Fixture) -> None:
    """RFC 2033: as LMTP asks for it."""
    door = Door(at)
    spool = door.incoming.open_spool()
    spool.write(SIGNED % LONG)
    replies = await door.incoming.receive(at.envelope("away@here.test", "bob@here.test"), spool, all_or_nothing=False)
    spool.close()
    assert codes(replies) == [554, 250]
    assert len(await at.inbox("bob")) == 1 and at.queued() == []


async def test_what_is_too_large_to_be_converted() -> None:
    line = b"Gr\xc3\xbc\xc3\x9fe " * 80 + b"\r\n"
    body = Bytes(b"\r\n" + line * (MAX_CONVERTED // len(line) + 1))
    assert await Converter().make_sendable(body, b"\r\n", smtputf8=False) == (body, b"\r\n")
    with pytest.raises(UnsendableError):
        await Converter().make_sendable(Bytes(b"\r\n" + b"x" * MAX_CONVERTED), b"\r\n", smtputf8=False)
