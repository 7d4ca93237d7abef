"""What becomes of mail on special ways: held, forwarded, copied, late, and given up."""

import email
import time
from collections.abc import Iterator
from email import policy
from email.message import EmailMessage
from pathlib import Path

import pytest
from tests.outside.program import PASSWORD
from tests.outside.relay import Relay, Way, until
from tests.outside.remotes import Remote
from tests.outside.wire import Wire

from posthouse.accounts.sqlite.registry import SqliteRegistry
from posthouse.mailstore.sqlite.archive import Archive

ALICE, BOB = "alice@example.test", "bob@example.test"
LETTER = b"From: <alice@example.test>\r\nTo: <x@out.test>\r\nSubject: %b\r\n\r\nHello.\r\n"


class Fixture:
    def __init__(self, relay: Relay, remote: Remote, data: Path) -> None:
        self.data = data
        self.relay = relay
        self.remote = remote

    def inbox(self, address: str, marker: bytes) -> list[bytes]:
        return [each for each in self.relay.mailbox(address) if marker in each]

    def bounces(self, marker: str) -> list[EmailMessage]:
        found = [email.message_from_bytes(each, policy=policy.default) for each in self.relay.mailbox(ALICE)]
        return [each for each in found if marker in str(each["Subject"])]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fixture]:
    with Remote() as remote:
        ways = [Way("out.test", remote.port), Way("dead.test", 1)]
        folder = tmp_path_factory.mktemp("ways")
        relay = Relay(folder, ways, outgoing='delay_warning = "2s"\nexpire = "5s"')
        relay.add_accounts(["alice", "bob", "carol"])
        relay.run("alias", "add", "away@example.test", "someone@out.test")
        relay.run("alias", "add", "team@example.test", BOB, "someone@out.test")
        relay.run("account", "limits", "carol@example.test", "--sent-copy")
        try:
            relay.start()
            yield Fixture(relay, remote, folder / "data")
            relay.stop()
        finally:
            relay.kill()


def test_held_until_its_time(house: Fixture) -> None:
    """RFC 4865: for recipients here and elsewhere alike."""
    with Wire(house.relay.ports["submission"]) as wire:
        assert "FUTURERELEASE 2592000 " in wire.hello()
        wire.login(ALICE, PASSWORD)
        wire.expect(f"MAIL FROM:<{ALICE}> HOLDFOR=99999999".encode(), "501")
        wire.expect(f"MAIL FROM:<{ALICE}> HOLDUNTIL=2199-01-01T00:00:00Z".encode(), "501")
        wire.expect(f"MAIL FROM:<{ALICE}> HOLDFOR=3".encode(), "250")
        wire.expect(b"RCPT TO:<x@out.test>", "250")
        wire.expect(f"RCPT TO:<{BOB}>".encode(), "250")
        began = time.time()
        assert wire.data(LETTER % b"held").startswith("250")
    assert not house.remote.journal.holding(b"Subject: held")
    assert not house.inbox(BOB, b"Subject: held")
    until(lambda: bool(house.remote.journal.holding(b"Subject: held")), lambda: "not released")
    assert time.time() - began >= 2
    until(lambda: bool(house.inbox(BOB, b"Subject: held")), lambda: "not released here")
    assert len(house.inbox(BOB, b"Subject: held")) == 1


def test_forwarded_as_it_came(house: Fixture) -> None:
    """From outside, through an alias, to outside: octets untouched, the return address ours, and bounces find back."""
    data = b"DKIM-Signature: v=1; x\r\nFrom: a@there.test\r\nSubject: forward\r\n\r\n.dots\r\n caf\xc3\xa9\r\n"
    with Wire(house.relay.ports["smtp"]) as wire:
        wire.hello()
        wire.expect(b"MAIL FROM:<a@there.test>", "250")
        wire.expect(b"RCPT TO:<away@example.test>", "250")
        assert wire.data(data).startswith("250")
        until(lambda: bool(house.remote.journal.holding(b"Subject: forward")), lambda: "not forwarded")
        (arrived,) = house.remote.journal.holding(b"Subject: forward")
        assert arrived.data.endswith(data)
        back = arrived.sender.partition(">")[0].lstrip("<")
        assert back.startswith("SRS0=") and back.endswith("@example.test")
        wire.expect(b"MAIL FROM:<b@there.test>", "250")
        wire.expect(f"RCPT TO:<{back}>".encode(), "550")  # no way to relay for just anybody
        wire.expect(b"RSET", "250")
        wire.expect(b"MAIL FROM:<>", "250")
        wire.expect(f"RCPT TO:<{back}>".encode(), "250")
        wire.expect(f"RCPT TO:<{back.replace('=a@', '=b@')}>".encode(), "550")


def test_an_alias_for_here_and_elsewhere(house: Fixture) -> None:
    house.relay.submit(ALICE, ["team@example.test"], LETTER % b"team")
    until(lambda: bool(house.remote.journal.holding(b"Subject: team")), lambda: "not sent on")
    assert len(house.inbox(BOB, b"Subject: team")) == 1
    (arrived,) = house.remote.journal.holding(b"Subject: team")
    assert ALICE in arrived.sender  # our own user: nothing to rewrite
    assert b"DKIM-Signature:" in arrived.data


def test_the_sender_is_told_once_of_a_delay_and_once_of_the_end(house: Fixture) -> None:
    house.relay.submit(ALICE, ["x@dead.test"], LETTER % b"late")

    def subjects() -> list[str]:
        return sorted(str(each["Subject"]).partition(":")[0] for each in house.bounces("x@dead.test"))

    until(lambda: subjects() == ["Delayed", "Not delivered"], lambda: str(subjects()), 60)
    time.sleep(2)
    assert subjects() == ["Delayed", "Not delivered"]
    (row,) = house.relay.queue("--settled", "--to", "dead.test")
    assert row["state"] == "expired"


def test_a_copy_in_sent(house: Fixture) -> None:
    """Filed with the message itself, for who wants it, without a second upload."""
    for sender in ("carol@example.test", ALICE):
        house.relay.submit(sender, ["x@out.test"], (LETTER % b"copied").replace(ALICE.encode(), sender.encode()))
    with SqliteRegistry(house.data / "directory.db") as registry, Archive(house.data) as archive:
        (copy,) = archive.entries(registry.accounts.get("carol@example.test").id, "Sent")
        text = archive.read(copy)
        assert text.endswith(b"Subject: copied\r\n\r\nHello.\r\n") and b"DKIM-Signature" in text
        assert archive.entries(registry.accounts.get(ALICE).id, "Sent") == []
