"""Foreign clients collect by each way they know, keep or delete; what they hold equals what was sent."""

import poplib
from collections.abc import Callable
from email import message_from_bytes
from pathlib import Path

import pytest
from tests.interop.collectors import COLLECTORS, WAYS, Fetching
from tests.interop.senders import Way
from tests.outside import samples
from tests.outside.maildrop import Maildrop, collect
from tests.outside.program import PASSWORD, Program, running
from tests.outside.wire import Wire

Home = Callable[[], Path]
KEEP_STATE = ("fetchmail", "getmail", "mpop")  # they remember unique ids and fetch only what is new


def fill(program: Program, address: str, messages: list[bytes]) -> None:
    """Deliver to one mailbox over one connection."""
    with Wire(program.ports.smtp) as wire:
        wire.hello()
        for message in messages:
            wire.mail(address)
            assert wire.data(message).startswith("250")
        wire.expect(b"QUIT", "221")


def mixed() -> list[bytes]:
    """CPython's messages (one in three) and the made ones."""
    return [*list(samples.cpython_messages().values())[::3], *samples.edges().values(), samples.eight_bit()]


def port_of(program: Program, way: Way) -> int:
    """The POP3 port for this way."""
    return program.ports.pop3s if way is Way.TLS else program.ports.pop3


def assert_holds(found: list[bytes], sent: list[bytes]) -> None:
    """Each message sent was found once, in any order (the clients' files have no order)."""
    assert len(found) == len(sent)
    left = list(found)
    for message in sent:
        ours = [candidate for candidate in left if candidate.endswith(message) and is_trace(candidate, message)]
        assert ours, f"nothing equals {message[:120]!r}"
        left.remove(ours[0])


def fit_for(client: str) -> list[bytes]:
    """curl is one process and one login for each message. getmail6 writes mail anew with Python's email package:
    only what that package itself gives back unchanged can be compared.
    """
    if client == "curl":
        return mixed()[:6]
    if client == "getmail":
        fit = [message for message in mixed() if b"Return-Path:" not in message and survives_email(message)]
        assert len(fit) >= 8
        return fit
    return mixed()


def survives_email(message: bytes) -> bool:
    """Whether Python's email package writes it back as it was."""
    text = message.replace(b"\r\n", b"\n")
    return message_from_bytes(text).as_bytes() == text


def is_trace(received: bytes, sent: bytes) -> bool:
    """Only trace headers stand before the message."""
    try:
        samples.assert_same(received, sent)
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize("delete", [False, True], ids=["keep", "delete"])
@pytest.mark.parametrize(("client", "way"), [(client, way) for client in COLLECTORS for way in WAYS[client]])
def test_collects(program: Program, address: str, tmp_path: Path, client: str, way: Way, delete: bool) -> None:
    sent = fit_for(client)
    fill(program, address, sent)
    fetching = Fetching(port_of(program, way), way, address, PASSWORD, delete)
    found = COLLECTORS[client](fetching, tmp_path)
    assert_holds(found, sent)
    left = collect(program.ports.pop3, address)
    assert len(left) == (0 if delete else len(sent))
    if client in KEEP_STATE:  # a second run: nothing twice, and the new one comes
        fill(program, address, [samples.plain("later")])
        assert_holds(COLLECTORS[client](fetching, tmp_path), [*sent, samples.plain("later")])


@pytest.mark.parametrize("client", ["fetchmail", "mpop", "getmail", "poplib"])
def test_collects_30_mb(program: Program, address: str, tmp_path: Path, client: str) -> None:
    way = Way.TLS if client != "poplib" else Way.PLAIN
    sent = [samples.attachment(30), samples.plain("after")]
    fill(program, address, sent)
    assert_holds(COLLECTORS[client](Fetching(port_of(program, way), way, address, PASSWORD, True), tmp_path), sent)
    assert collect(program.ports.pop3, address) == {}


@pytest.mark.parametrize("client", ["mpop", "getmail", "poplib"])
def test_collects_long_lines(program: Program, address: str, tmp_path: Path, client: str) -> None:
    sent = [samples.long_lines()]
    fill(program, address, sent)
    found = COLLECTORS[client](Fetching(program.ports.pop3, Way.PLAIN, address, PASSWORD, False), tmp_path)
    assert_holds(found, sent)


def test_every_cpython_message_octet_for_octet(program: Program, address: str) -> None:
    sent = [*samples.cpython_messages().values(), *samples.cpython_attachments().values()]
    fill(program, address, sent)
    for received, message in zip(collect(program.ports.pop3, address).values(), sent, strict=True):
        samples.assert_same(received, message)


def test_top_gives_headers_and_lines(program: Program, address: str) -> None:
    sent = samples.dots()
    fill(program, address, [sent])
    with Maildrop.open(program.ports.pop3, address) as drop:
        whole = drop.retrieve(1)
        drop.command("TOP 1 3")
        top = drop.body()
    head, _, body = whole.partition(b"\r\n\r\n")
    assert top == head + b"\r\n\r\n" + b"".join(line + b"\r\n" for line in body.split(b"\r\n")[:3])


def test_poplib_reads_capabilities(program: Program) -> None:
    client = poplib.POP3("127.0.0.1", program.ports.pop3, timeout=60)
    names = client.capa()
    client.quit()
    assert {"TOP", "UIDL", "USER", "STLS", "RESP-CODES", "PIPELINING"} <= set(names)


def test_unique_ids_survive_restarts(tmp_path: Path) -> None:
    """The same ids and octets after a stop, and after a kill; a deleted one's id never comes again."""
    sent = [samples.plain(f"uid {n}") for n in range(6)]
    with running(tmp_path / "data") as program:
        fill(program, "alice@example.test", sent)
        first = collect(program.ports.pop3, "alice@example.test")
        program.stop()
        program.start()
        assert collect(program.ports.pop3, "alice@example.test") == first
        program.kill()
        program.start()
        assert collect(program.ports.pop3, "alice@example.test") == first
        with Maildrop.open(program.ports.pop3, "alice@example.test") as drop:
            gone = drop.uidls()[6]
            drop.command("DELE 6")
            drop.quit()
        fill(program, "alice@example.test", sent[:1])
        last = collect(program.ports.pop3, "alice@example.test")
        assert list(last)[:5] == list(first)[:5] and len(last) == 6 and gone not in last
