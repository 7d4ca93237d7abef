"""Postfix relays to us over SMTP and LMTP: its queue drains, and messages come through octet for octet.

Postfix itself removes Return-Path, puts its Received in front, adds From, Date and Message-ID where they are
missing, and breaks lines over 998 octets. The samples have what it would add and no Return-Path; the Received
headers in front are trace headers.
"""

import smtplib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.interop.postfix import Postfix, relaying
from tests.interop.senders import Sending, Way, with_smtplib
from tests.outside import samples
from tests.outside.maildrop import wait_for
from tests.outside.program import Program


def free_port() -> int:
    """A port that nothing uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module", params=["smtp", "lmtp"])
def neighbour(request: pytest.FixtureRequest, program: Program) -> Iterator[Postfix]:
    """Postfix that hands all mail for example.test to the program."""
    hops = {"smtp": f"smtp:[127.0.0.1]:{program.ports.smtp}", "lmtp": f"lmtp:inet:127.0.0.1:{program.ports.lmtp}"}
    with relaying(free_port(), hops[request.param]) as postfix:
        yield postfix


def relayable() -> list[bytes]:
    """The messages that Postfix does not mend."""
    kept = []
    for message in samples.cpython_messages().values():
        head = message.partition(b"\r\n\r\n")[0].lower() + b"\r\n"
        whole = all(b"\r\n" + name + b":" in b"\r\n" + head for name in (b"from", b"date", b"message-id"))
        if whole and b"\r\nreturn-path:" not in b"\r\n" + head:
            kept.append(message)
    return [*kept, *samples.edges().values(), samples.eight_bit()]


def test_relays_octet_for_octet(program: Program, neighbour: Postfix, address: str, tmp_path: Path) -> None:
    sent = relayable()
    assert len(sent) > 8
    for message in sent:
        with_smtplib(Sending(neighbour.port, Way.PLAIN, message, address), tmp_path)
    found = list(wait_for(program.ports.pop3, address, len(sent)).values())
    assert len(found) == len(sent)
    for message in sent:
        assert any(candidate.endswith(message) for candidate in found), message[:200]
    neighbour.wait_until_drained()


def test_relays_one_message_to_many(program: Program, neighbour: Postfix) -> None:
    """120 recipients: pipelined RCPTs in several transactions, one copy each."""
    several = [f"i{n}@example.test" for n in range(120, 240)]
    before = {each: len(wait_for(program.ports.pop3, each, 0)) for each in several}
    with smtplib.SMTP("127.0.0.1", neighbour.port, timeout=60) as client:
        assert client.sendmail("a@client.test", several, samples.plain("many recipients")) == {}
    for each in several:
        assert len(wait_for(program.ports.pop3, each, before[each] + 1)) == before[each] + 1
    neighbour.wait_until_drained()


def test_relays_many_messages(program: Program, neighbour: Postfix, address: str) -> None:
    with smtplib.SMTP("127.0.0.1", neighbour.port, timeout=60) as client:
        for n in range(100):
            assert client.sendmail("a@client.test", [address], samples.plain(f"drain {n}")) == {}
    found = wait_for(program.ports.pop3, address, 100)
    assert len(found) == 100
    for n in range(100):
        assert sum(message.endswith(samples.plain(f"drain {n}")) for message in found.values()) == 1
    neighbour.wait_until_drained()


def test_relays_utf8_addresses(
    program: Program, neighbour: Postfix, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    local = f"größe-{neighbour.port}"
    program.add_account(local)
    address = f"{local}@example.test"
    sent = samples.plain("utf8 relay").replace(b"Alice", "Ålice".encode())
    with_smtplib(Sending(neighbour.port, Way.PLAIN, sent, address, sender="käthe@client.test"), tmp_path)
    (found,) = wait_for(program.ports.pop3, address, 1).values()
    assert found.endswith(sent)
    neighbour.wait_until_drained()


def test_relays_over_tls(program: Program, address: str, tmp_path: Path) -> None:
    """Opportunistic STARTTLS: Postfix finds it in EHLO and uses it."""
    with relaying(free_port(), f"smtp:[127.0.0.1]:{program.ports.smtp}") as postfix:
        with_smtplib(Sending(postfix.port, Way.PLAIN, samples.plain("tls"), address), tmp_path)
        (found,) = wait_for(program.ports.pop3, address, 1).values()
        postfix.wait_until_drained()
        assert "TLS connection established to 127.0.0.1" in postfix.log
    assert b"with ESMTPS" in found


def test_refusal_comes_back_as_a_bounce_not_as_a_loss(program: Program, tmp_path: Path) -> None:
    """A recipient that does not exist is refused in the session, so the neighbour knows at once."""
    program.run("domain", "add", "strict.test")
    with (
        relaying(free_port(), f"smtp:[127.0.0.1]:{program.ports.smtp}") as postfix,
        smtplib.SMTP("127.0.0.1", program.ports.smtp, timeout=60) as client,
    ):
        client.ehlo("neighbour.test")
        assert client.mail("a@client.test")[0] == 250
        assert client.rcpt("nobody@strict.test")[0] == 550
        assert postfix.queue() == 0
