"""SMTP smuggling outwards: nothing that leaves ends a message but its end, and no octet leaves that SMTP forbids."""

import email
from collections.abc import Iterator

import pytest

from tests.outside.program import PASSWORD
from tests.outside.relay import Relay, Way, until
from tests.outside.remotes import Accepted, Remote
from tests.outside.wire import Wire

ALICE = "alice@example.test"


class Fixture:
    def __init__(self, relay: Relay, remote: Remote) -> None:
        self.relay = relay
        self.remote = remote

    def arrived(self, marker: bytes) -> Accepted:
        """The one message that holds these octets."""
        until(lambda: bool(self.remote.journal.holding(marker)), lambda: f"{marker!r} did not arrive")
        (found,) = self.remote.journal.holding(marker)
        return found

    def hand_in(self, data: bytes, parameters: str = "") -> None:
        """By BDAT, which takes everything."""
        with Wire(self.relay.ports["submission"]) as wire:
            wire.hello()
            wire.login(ALICE, PASSWORD)
            wire.expect(f"MAIL FROM:<{ALICE}>{parameters}".encode(), "250")
            wire.expect(b"RCPT TO:<user@out.test>", "250")
            wire.send(b"BDAT %d LAST\r\n" % len(data) + data)
            assert wire.reply().startswith("250")


@pytest.fixture(scope="module", params=["DATA", "BDAT"])
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fixture]:
    with Remote(without=("CHUNKING",) if request.param == "DATA" else ()) as remote:
        relay = Relay(tmp_path_factory.mktemp("octets"), [Way("out.test", remote.port)])
        relay.add_accounts(["alice"])
        try:
            relay.start()
            yield Fixture(relay, remote)
            relay.stop()
        finally:
            relay.kill()


@pytest.mark.parametrize(
    "inner", [b"\r\n.\r\n", b"\r\n.\r\nMAIL FROM:<evil@x.test>\r\n", b"\r\n..\r\n", b"\r\n.x\r\n", b"\r\n.\r\n.\r\n"]
)
def test_nothing_ends_a_message_but_its_end(house: Fixture, inner: bytes) -> None:
    marker = b"smuggle-" + inner.hex().encode()
    house.hand_in(b"Subject: %b\r\n\r\na" % marker + inner + b"b\r\n")
    assert house.arrived(marker).data.endswith(b"a" + inner + b"b\r\n")
    assert not house.remote.journal.faults
    assert not any("evil" in command for command in map(str, house.remote.journal.commands))


@pytest.mark.parametrize("octets", [b"a\nb", b"a\rb", b"a\n.\nb", b"a\r.\rb", b"a\r\n.\nb", b"a\0b", b"x" * 2000])
def test_what_smtp_forbids_never_leaves(house: Fixture, octets: bytes) -> None:
    """With BINARYMIME a user may hand in anything: it goes out coded."""
    marker = b"binary-" + octets[:20].hex().encode()
    head = b"Subject: %b\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n" % marker
    house.hand_in(head + octets + b"\r\n", " BODY=BINARYMIME")
    arrived = house.arrived(marker)
    lines = arrived.data.split(b"\r\n")
    assert max(map(len, lines)) <= 998
    assert not any(b"\n" in line or b"\r" in line or b"\0" in line for line in lines)
    assert email.message_from_bytes(arrived.data).get_payload(decode=True) == octets + b"\r\n"
    assert not house.remote.journal.faults
