"""SMTP as client, by transcripts: what the other server says, what the caller wants, what we say, what comes of it.

A file holds, line by line:
    # comment
    S: text      a line of the other server, CRLF added;  S< b"..."  octets as they are
    EOF          it hangs up;  TIMEOUT  it says nothing for too long
    > call       what the caller does: start_tls, tls_started, login NAME PASSWORD, quit, abandon,
                 transact SENDER RECIPIENT... (chunked, dots and open may stand among them),
                 content TEXT / end TEXT with \\r\\n written out
    C: text      a line that must have been sent by now;  C< b"..."  octets
    ! Event ...  an event that must have come by now, as its name and the codes in it; what stays refused in brackets
Lines that stand together are one step; everything sent and every event of a step must be told, and nothing else.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from posthouse.protocol.smtp import client
from posthouse.protocol.smtp.client import OutgoingTransaction, SmtpClient, SmtpClientState
from tests.transcript import CUTS

FOLDER = Path(__file__).parents[2] / "transcripts" / "smtp_client"
FILES = sorted(FOLDER.glob("*.txt"))


@dataclass
class Step:
    number: int
    heard: bytes = b""
    end: str = ""
    calls: list[str] = field(default_factory=list)
    said: bytes = b""
    events: list[str] = field(default_factory=list)


def steps(path: Path) -> Iterator[Step]:
    step = Step(1)
    last = ""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        mark, rest = line[:2], line[3:]
        kind = "in" if mark in ("S:", "S<") or line in ("EOF", "TIMEOUT") else "call" if mark == "> " else "out"
        if (last == "out" and kind != "out") or (last == "call" and kind == "in"):
            yield step
            step = Step(number)
        last = kind
        if mark in ("S:", "S<"):
            step.heard += rest.encode() + b"\r\n" if mark == "S:" else ast.literal_eval(rest)
        elif kind == "in":
            step.end = line
        elif kind == "call":
            step.calls.append(line[2:])
        elif mark == "! ":
            step.events.append(line[2:])
        else:
            assert mark in ("C:", "C<"), f"{path.name}:{number}: {line}"
            step.said += rest.encode() + b"\r\n" if mark == "C:" else ast.literal_eval(rest)
    yield step


def format_event(event: client.Event) -> str:
    match event:
        case client.Ready():
            return "Ready " + ",".join(sorted(event.extensions))
        case client.Finished():
            return "Finished " + " ".join(f"{reply.code}" for reply in event.replies)
        case client.Broken():
            final = " ".join(f"{reply.code}" for reply in event.refusals if reply)
            return f"Broken {event.reply.code if event.reply else '-'} {event.reason}" + (
                f" ({final})" if final else ""
            )
        case client.Refused() | client.TlsRefused() | client.ClientLoginRefused():
            return f"{type(event).__name__} {event.reply.code}"
    return type(event).__name__


def call(engine: SmtpClient, text: str) -> None:
    word, _, rest = text.partition(" ")
    octets = rest.replace("\\r", "\r").replace("\\n", "\n").encode()
    match word:
        case "transact":
            words = rest.split()
            flags = {name for name in ("chunked", "dots", "open") if name in words}
            sender, *recipients = [each for each in words if each not in flags]
            engine.transact(
                OutgoingTransaction(
                    sender.strip("<>"),
                    recipients,
                    chunked="chunked" in flags,
                    has_leading_dots="dots" in flags,
                    no_final_crlf="open" in flags,
                )
            )
        case "content":
            engine.send_content(octets)
        case "end":
            engine.end_content(octets)
        case "login":
            engine.login(*rest.split())
        case _:
            getattr(engine, word)()


def gather(engine: SmtpClient) -> tuple[bytes, list[str]]:
    said = engine.data_to_send()
    events: list[str] = []
    while (event := engine.next_event()) is not None:
        said += engine.data_to_send()
        events.append(format_event(event).strip())
    return said + engine.data_to_send(), events


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_transcript(path: Path, cut: str) -> None:
    engine = SmtpClient("me.test")
    for step in steps(path):
        said = b""
        events: list[str] = []
        for piece in CUTS[cut](step.heard):
            engine.receive_data(piece)
            more, came = gather(engine)
            said, events = said + more, events + came
        if step.end == "EOF":
            engine.receive_eof()
        elif step.end == "TIMEOUT":
            engine.time_out()
        for each in step.calls:
            call(engine, each)
        more, came = gather(engine)
        where = f"{path.name}, step at line {step.number}"
        assert (said + more).decode("latin-1") == step.said.decode("latin-1"), where
        assert events + came == step.events, where


def test_there_are_transcripts() -> None:
    assert len(FILES) >= 20


def ready(*extensions: str) -> SmtpClient:
    """An engine that has heard a greeting and a hello."""
    engine = SmtpClient("me.test")
    for reply in ("220 x", *(f"250-{word}" for word in ("x", *extensions)), "250 HELP"):
        engine.receive_data(f"{reply}\r\n".encode())
        gather(engine)
    assert engine.state is SmtpClientState.READY
    return engine


@pytest.mark.parametrize("bad", ["a\r\nRSET", "a\n", "a\r", "a\0b"])
def test_an_argument_never_becomes_a_command(bad: str) -> None:
    engine = ready("PIPELINING")
    for transaction in (
        OutgoingTransaction(bad, ["b@x"]),
        OutgoingTransaction("a@x", [bad]),
        OutgoingTransaction("a@x", ["b@x"], f" ENVID={bad}"),
        OutgoingTransaction("a@x", ["b@x"], "", [f" ORCPT={bad}"]),
    ):
        with pytest.raises(ValueError, match="line break or NUL"):
            engine.transact(transaction)
        assert engine.data_to_send() == b""
        assert engine.state is SmtpClientState.READY


def test_credentials_with_line_breaks_are_one_command() -> None:
    engine = ready("AUTH PLAIN LOGIN")
    engine.login("a\r\nb", "c\r\nd")
    assert engine.data_to_send().count(b"\r\n") == 1


def test_what_comes_before_the_handshake_breaks_it() -> None:
    """CVE-2021-33515 and its kin: plain text behind the 220 must not be taken for what comes after the handshake."""
    engine = ready("STARTTLS")
    engine.start_tls()
    gather(engine)
    engine.receive_data(b"220 go\r\n250-evil\r\n250 AUTH PLAIN\r\n")
    assert gather(engine) == (b"", ["Broken - it spoke in plain text where TLS was to start"])


def test_answers_before_the_question() -> None:
    engine = SmtpClient("me.test")
    engine.receive_data(b"220 mx.test\r\n250 mx.test\r\n250 ok\r\n")
    event = engine.next_event()
    assert isinstance(event, client.Broken)
    assert event.reason == "it answered what it was not asked"


def test_patience_is_what_the_rfc_asks_for() -> None:
    engine = SmtpClient("me.test")
    assert engine.patience == 300
    engine.receive_data(b"220 x\r\n250 x\r\n"[:7])
    gather(engine)
    engine.receive_data(b"250 x\r\n")
    gather(engine)
    engine.transact(OutgoingTransaction("a@x", ["b@x"]))
    gather(engine)
    assert engine.patience == 300
    for reply in (b"250 ok\r\n", b"250 ok\r\n"):
        engine.receive_data(reply)
        gather(engine)
    assert engine.patience == 120  # DATA
    engine.receive_data(b"354 go\r\n")
    gather(engine)
    assert engine.patience == 180
    engine.end_content(b"x\r\n")
    assert engine.patience == 600


def test_a_reply_is_bounded() -> None:
    for flood in (b"220-" + b"x" * 70_000, b"220-hello\r\n" * 7000, b"\xff\xfe\x00" * 3000):
        engine = SmtpClient("me.test")
        engine.receive_data(flood)
        said, events = gather(engine)
        assert said == b""
        assert len(events) == 1 and events[0].startswith("Broken -")


def test_what_a_peer_says_is_made_harmless() -> None:
    engine = SmtpClient("me.test")
    engine.receive_data(b"554 5.7.1 go \x1b[2J\x00away\xff \xe2\x80\xa8now\r\n")
    event = engine.next_event()
    assert isinstance(event, client.Refused)
    assert event.reply.text.isprintable()
    assert event.reply.enhanced == "5.7.1"
