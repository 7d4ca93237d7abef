"""Foreign clients send by each way and mechanism they know; what arrives equals what was sent."""

import smtplib
from collections.abc import Callable
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from tests.interop.senders import MECHANISMS, WHOLE, Login, Sending, Way, s_nail, with_smtplib
from tests.outside import samples
from tests.outside.maildrop import collect
from tests.outside.program import PASSWORD, Program
from tests.outside.wire import Wire

Home = Callable[[], Path]
SAMPLE = ("msg_01.txt", "msg_07.txt", "msg_16.txt", "msg_19.txt", "msg_26.txt", "msg_45.txt", "msg_46.txt")


def submission(program: Program, way: Way) -> int:
    """The port of the submission service for this way."""
    return program.ports.submissions if way is Way.TLS else program.ports.submission


def by(address: str, message: bytes) -> bytes:
    """The same message, written by the account that submits it: no other is taken."""
    return message.replace(b"sender@client.test", address.encode(), 1)


def assert_arrived(program: Program, address: str, sent: list[bytes]) -> None:
    """The maildrop holds exactly these messages, in this order."""
    found = list(collect(program.ports.pop3, address).values())
    assert len(found) == len(sent)
    for received, message in zip(found, sent, strict=True):
        samples.assert_same(received, message)


@pytest.mark.parametrize("way", Way)
@pytest.mark.parametrize(("client", "mechanism"), [(c, m) for c in WHOLE for m in MECHANISMS[c]])
def test_submits(program: Program, address: str, tmp_path: Path, client: str, mechanism: str, way: Way) -> None:
    login = Login(address, PASSWORD, mechanism)
    sent = by(address, samples.plain(f"{client} {mechanism} {way.value}"))
    WHOLE[client](Sending(submission(program, way), way, sent, address, sender=address, login=login), tmp_path)
    assert_arrived(program, address, [sent])


@pytest.mark.parametrize("way", [Way.PLAIN, Way.STARTTLS])
@pytest.mark.parametrize("client", WHOLE)
def test_delivers_to_port_25(program: Program, address: str, new_home: Home, client: str, way: Way) -> None:
    messages = {**samples.edges(), **{name: samples.cpython_messages()[name] for name in SAMPLE}}
    for message in messages.values():
        WHOLE[client](Sending(program.ports.smtp, way, message, address), new_home())
    assert_arrived(program, address, list(messages.values()))


@pytest.mark.parametrize("client", ["smtplib", "curl"])
def test_every_cpython_message(program: Program, address: str, tmp_path: Path, client: str) -> None:
    messages = [*samples.cpython_messages().values(), *samples.cpython_attachments().values()]
    for message in messages:
        WHOLE[client](Sending(program.ports.smtp, Way.PLAIN, message, address), tmp_path)
    assert_arrived(program, address, messages)


@pytest.mark.parametrize("client", WHOLE)
def test_carries_30_mb(program: Program, address: str, tmp_path: Path, client: str) -> None:
    sent = by(address, samples.attachment(30))
    way = {"swaks": Way.TLS, "msmtp": Way.STARTTLS, "curl": Way.TLS, "smtplib": Way.PLAIN}[client]
    login = Login(address, PASSWORD)
    WHOLE[client](Sending(submission(program, way), way, sent, address, sender=address, login=login), tmp_path)
    assert_arrived(program, address, [sent])


@pytest.mark.parametrize("client", WHOLE)
def test_carries_long_lines_and_eight_bit(program: Program, address: str, tmp_path: Path, client: str) -> None:
    messages = [samples.long_lines(), samples.eight_bit()]
    for message in messages:
        WHOLE[client](Sending(program.ports.smtp, Way.PLAIN, message, address), tmp_path)
    assert_arrived(program, address, messages)


@pytest.mark.parametrize("client", ["swaks", "curl", "smtplib"])
def test_utf8_addresses(program: Program, tmp_path: Path, client: str) -> None:
    """smtplib and curl say SMTPUTF8. swaks sends the octets without, which is 553 (RFC 6531 3.5)."""
    address = f"grüße-{client}@example.test"
    program.add_account(f"grüße-{client}")
    sent = samples.plain("utf8").replace(b"Alice <alice@example.test>", address.encode())
    sending = Sending(program.ports.smtp, Way.PLAIN, sent, address, sender="absender-ä@client.test")
    if client == "swaks":
        with pytest.raises(pytest.fail.Exception, match="exit code 23"):  # MAIL was refused
            WHOLE[client](sending, tmp_path)
        return
    WHOLE[client](sending, tmp_path)
    found = list(collect(program.ports.pop3, address).values())
    assert len(found) == 1
    samples.assert_same(found[0], sent)
    assert b"UTF8SMTP" in found[0]  # RFC 6531 4.3: the Received field says so


@pytest.mark.parametrize("way", Way)
@pytest.mark.parametrize("mechanism", MECHANISMS["s-nail"])
def test_s_nail_submits(program: Program, address: str, tmp_path: Path, mechanism: str, way: Way) -> None:
    text = "Grüße\r\n.dot\r\n\r\nFrom here on.\r\n"
    content = bytes(range(256)) * 4000
    (tmp_path / "file.bin").write_bytes(content)
    login = Login(address, PASSWORD, mechanism)
    sending = Sending(submission(program, way), way, text.encode(), address, sender=address, login=login)
    s_nail(sending, tmp_path, attach=tmp_path / "file.bin")
    (found,) = collect(program.ports.pop3, address).values()
    message = message_from_bytes(found, policy=policy.default)
    body, file = message.iter_parts()
    assert body.get_content().splitlines() == text.splitlines()
    assert file.get_content() == content


def test_s_nail_delivers_to_port_25(program: Program, address: str, tmp_path: Path) -> None:
    s_nail(Sending(program.ports.smtp, Way.STARTTLS, b"Hello.\r\n", address), tmp_path)
    (found,) = collect(program.ports.pop3, address).values()
    assert b"\r\nSubject: composed by s-nail\r\n" in found and b"\r\n\r\nHello.\r\n" in found


@pytest.mark.parametrize("tls", [False, True])
def test_binary_by_bdat(program: Program, address: str, tls: bool) -> None:
    """Bare CR, LF and NUL, in chunks cut inside line ends."""
    sent = samples.binary()
    with Wire(program.ports.smtp) as wire:
        wire.hello()
        if tls:
            wire.expect(b"STARTTLS", "220")
            wire.start_tls()
            wire.expect(b"EHLO client.test", "250")
        wire.mail(address, more=" BODY=BINARYMIME")
        cut = sent.index(b"\r\n.") if b"\r\n." in sent else 700
        assert wire.bdat(sent[: cut + 1], b"", sent[cut + 1 : -1], sent[-1:]).startswith("250")
        wire.expect(b"QUIT", "221")
    assert_arrived(program, address, [sent])


def test_eight_bit_and_large_by_bdat(program: Program, address: str) -> None:
    messages = [samples.eight_bit(), samples.dots(), samples.attachment(30)]
    with Wire(program.ports.smtp) as wire:
        wire.hello()
        for message in messages:
            wire.mail(address, more=" BODY=8BITMIME")
            chunks = [message[at : at + 1_000_000] for at in range(0, len(message), 1_000_000)]
            assert wire.bdat(*chunks).startswith("250")
        wire.expect(b"QUIT", "221")
    assert_arrived(program, address, messages)


def test_one_connection_many_messages_and_recipients(program: Program, address: str) -> None:
    with smtplib.SMTP("127.0.0.1", program.ports.smtp, local_hostname="client.test", timeout=60) as client:
        for n in range(5):
            refused = client.sendmail("a@client.test", [address, "alice@example.test"], samples.plain(f"many {n}"))
            assert refused == {}
    assert_arrived(program, address, [samples.plain(f"many {n}") for n in range(5)])


def test_wrong_password_and_relay_are_refused(program: Program, address: str, tmp_path: Path) -> None:
    way, port = Way.STARTTLS, program.ports.submission
    with pytest.raises(smtplib.SMTPAuthenticationError, match="535"):
        with_smtplib(Sending(port, way, b"", address, login=Login(address, "wrong")), tmp_path)
    with pytest.raises(smtplib.SMTPRecipientsRefused, match="550"):
        outside = Sending(port, way, b"", "x@elsewhere.test", sender=address, login=Login(address, PASSWORD))
        with_smtplib(outside, tmp_path)
    with pytest.raises(smtplib.SMTPRecipientsRefused, match=r"55[04]"):
        with_smtplib(Sending(program.ports.smtp, Way.PLAIN, b"", "x@elsewhere.test"), tmp_path)
    with pytest.raises(smtplib.SMTPSenderRefused, match="530"):
        with_smtplib(Sending(port, way, b"", address), tmp_path)
