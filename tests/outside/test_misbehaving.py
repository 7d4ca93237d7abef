"""The remotes themselves, by clients that are known to be right."""

import smtplib
import socket
import ssl
from contextlib import suppress
from pathlib import Path

import pytest
from tests.outside import misbehaving, samples
from tests.outside.certificates import Certificates
from tests.outside.remotes import Remote
from tests.outside.wire import Wire


def send(remote: Remote, message: bytes, *recipients: str, tls: ssl.SSLContext | None = None) -> None:
    with smtplib.SMTP("127.0.0.1", remote.port, local_hostname="client.test", timeout=10) as client:
        if tls is not None:
            client.starttls(context=tls)
        client.sendmail("a@client.test", recipients or ["b@remote.test"], message)


def test_keeps_every_octet(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    tls = ssl.create_default_context(cafile=str(certificates.roots))
    tls.check_hostname = False  # smtplib was told an address
    with Remote(tls=certificates.good()) as remote:
        for message in samples.edges().values():
            send(remote, message)
            send(remote, message, tls=tls)
    sent = [message for message in samples.edges().values() for _ in range(2)]
    assert [one.data for one in remote.journal.accepted] == sent
    assert [one.tls for one in remote.journal.accepted] == [False, True] * (len(sent) // 2)
    assert remote.journal.faults == []
    assert remote.journal.connections == len(sent)
    assert remote.journal.accepted[0].recipients == ("<b@remote.test>",)


def test_takes_chunks() -> None:
    with Remote() as remote, Wire(remote.port) as wire:
        wire.hello()
        wire.mail()
        assert wire.bdat(b"Subject: 1\r\n", b"\r\n.\r\n").startswith("250")
    assert remote.journal.accepted[0].data == b"Subject: 1\r\n\r\n.\r\n"
    assert remote.journal.faults == []


@pytest.mark.parametrize(
    ("wire_form", "fault"),
    [(b"a\nb\r\n", "bare"), (b"a\0b\r\n", "bare"), (b".a\r\n", "doubled"), (b"x" * 999 + b"\r\n", "998")],
)
def test_judges_the_client(wire_form: bytes, fault: str) -> None:
    with Remote() as remote, Wire(remote.port) as wire:
        wire.hello()
        wire.mail()
        wire.expect(b"DATA", "354")
        wire.send(wire_form + b".\r\n")
        assert wire.reply().startswith("250")
        wire.expect(b"EXTRA", "500")
    assert len(remote.journal.faults) == 2
    assert fault in remote.journal.faults[0]
    assert "EXTRA" in remote.journal.faults[1]


def test_greylister() -> None:
    with misbehaving.Greylister() as remote:
        with pytest.raises(smtplib.SMTPRecipientsRefused, match="451"):
            send(remote, samples.plain("grey"))
        send(remote, samples.plain("grey"))
        with pytest.raises(smtplib.SMTPRecipientsRefused, match="451"):
            send(remote, samples.plain("grey"), "other@remote.test")
    assert len(remote.journal.accepted) == 1


@pytest.mark.parametrize("step", ["GREETING", "MAIL", "RCPT", "DATA", "END"])
@pytest.mark.parametrize("reply", ["421 4.3.2 Closing", "550 5.7.1 No"])
def test_refuser(step: str, reply: str) -> None:
    with misbehaving.Refuser({step: reply}) as remote, pytest.raises(smtplib.SMTPException, match=reply[:3]):
        send(remote, samples.plain("no"))
    assert remote.journal.accepted == []


@pytest.mark.parametrize("durably", [False, True])
def test_dropper(durably: bool) -> None:
    with misbehaving.Dropper(1, durably=durably) as remote:
        with pytest.raises(smtplib.SMTPServerDisconnected):
            send(remote, samples.plain("drop"))
        send(remote, samples.plain("drop"))
    assert len(remote.journal.accepted) == 1 + durably


def test_broken_tls(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    trusting = ssl.create_default_context(cafile=str(certificates.roots))
    trusting.check_hostname = False
    for remote in (
        misbehaving.GarbageTls(tls=certificates.good()),
        misbehaving.ClosingTls(tls=certificates.good()),
        misbehaving.TlsRefuser(tls=certificates.good()),
        misbehaving.ChangesItsMind(tls=certificates.good()),
        Remote(tls=certificates.expired()),
    ):
        with remote, pytest.raises((OSError, smtplib.SMTPException)):
            send(remote, samples.plain("tls"), tls=trusting)
        assert remote.journal.accepted == []


def test_ends_while_it_hangs() -> None:
    """A tarpit, a silent server and an endless reply end at once when they are told to."""
    for remote in (misbehaving.Tarpit(), misbehaving.Silent(), misbehaving.EndlessReply()):
        with socket.socket() as client:
            with remote:
                client.connect(("127.0.0.1", remote.port))
                client.sendall(b"EHLO client.test\r\n")
            client.settimeout(10)
            with suppress(ConnectionResetError):
                while client.recv(65536):
                    pass
