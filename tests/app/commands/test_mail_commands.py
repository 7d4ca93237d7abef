"""posthouse mail send | trace, against the whole program."""

import io
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest

from posthouse.app.cli import main
from posthouse.app.commands.sending import (
    ConnectionSecurity,
    Letter,
    SubmissionServer,
    composed,
    crlf,
    is_loopback,
    submit,
)
from posthouse.app.errors import CommandError, Exit
from tests.outside.maildrop import collect
from tests.outside.program import PASSWORD, Program, running
from tests.world.waiting import until

ALICE, BOB = "alice@example.test", "bob@example.test"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with running(tmp_path_factory.mktemp("mail") / "data") as program:
        program.run("alias", "add", "team@example.test", ALICE, BOB, "friend@elsewhere.test")
        yield program


@dataclass
class Done:
    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def run(program: Program, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    config = tmp_path / "posthouse.toml"
    config.write_text(
        f'[server]\ndata = "{program.data}"\n'
        f'[submission]\nlisten = [":{program.ports.submission}"]\nlisten_tls = [":{program.ports.submissions}"]\n'
    )

    def run(*words: str, stdin: bytes = b"") -> Done:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = main(["mail", *words, "-c", str(config)])
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return run


def newest(program: Program, address: str = BOB) -> EmailMessage:
    found = message_from_bytes(list(collect(program.ports.pop3, address).values())[-1], policy=policy.default)
    assert isinstance(found, EmailMessage)
    return found


LOGIN = ("--from", ALICE, "--to", BOB, "--password-stdin")
GIVEN = PASSWORD.encode() + b"\n"


@pytest.mark.parametrize("ways", [["--starttls"], ["--tls"], []])
def test_send_and_find_it(ways: list[str], program: Program, run: Run, tmp_path: Path) -> None:
    attached = tmp_path / "notes.txt"
    attached.write_bytes(b"one\ntwo\r\nthree")
    text = "hello\n.\nJörg\n".encode()
    words = ("--subject", "Grüße", "--attach", str(attached))
    done = run("send", *LOGIN, *words, *ways, stdin=GIVEN + text)
    assert done.code == Exit.OK, done.err
    assert done.out.startswith("250 2.0.0 Stored as ")
    message = newest(program)
    assert (message["From"], message["To"], message["Subject"]) == (ALICE, BOB, "Grüße")
    body, attachment = message.get_body(), next(message.iter_attachments())
    assert body is not None
    assert body.get_content().splitlines() == ["hello", ".", "Jörg"]
    assert isinstance(attachment, EmailMessage)
    assert attachment.get_filename() == "notes.txt"
    assert attachment.get_payload(decode=True) == attached.read_bytes()
    for question in (message["Message-ID"], message["Message-ID"].strip("<>"), BOB):
        told = run("trace", question)
        assert told.code == Exit.OK
        assert f"kept in the mailbox of <{BOB}>" in told.out
        assert "subject: Grüße" in told.out
    # Its sender asks, and did not keep a copy.
    assert f"kept in the mailbox of <{BOB}>" in run("trace", ALICE).out


def test_send_a_whole_message(program: Program, run: Run) -> None:
    raw = b"From: alice@example.test\nSubject: as it is\nMessage-ID: <raw@example.test>\n\n.dots\nf\xc3\xbcnf\r\nend"
    done = run("send", *LOGIN, "--raw", "--json", stdin=GIVEN + raw)
    assert done.code == Exit.OK, done.err
    document = json.loads(done.out)
    assert (document["version"], document["code"], document["message_id"]) == (1, 250, "raw@example.test")
    assert len(document["id"]) == 26
    message = newest(program)
    assert message["Subject"] == "as it is"
    assert message.get_payload(decode=True) == b".dots\r\nf\xc3\xbcnf\r\nend\r\n"
    (row,) = json.loads(run("trace", "raw@example.test", "--json").out)["kept"]
    assert (row["account"], row["from"], row["return_path"]) == (BOB, ALICE, ALICE)
    assert (row["subject"], row["message_id"]) == ("as it is", "raw@example.test")


def test_send_to_port_25_without_a_login(program: Program, run: Run) -> None:
    at = f"127.0.0.1:{program.ports.smtp}"
    assert run("send", "--from", "x@client.test", "--to", BOB, "--server", at, stdin=b"hi\n").code == Exit.OK
    # The sender's side asks where it is, though no such account is here.
    assert f"kept in the mailbox of <{BOB}>" in run("trace", "x@client.test").out
    refused = run("send", "--from", "x@client.test", "--to", "x@elsewhere.test", "--server", at, stdin=b"hi\n")
    assert (refused.code, refused.out) == (Exit.FAILED, "")
    assert refused.err.startswith("error: refused: 550 5.7.1 This server does not relay")


def test_send_with_addresses_beyond_ascii(program: Program, run: Run) -> None:
    words = ("--from", "jörg@bücher.test", "--to", BOB, "--subject", "Grüße")
    done = run("send", *words, "--server", f"127.0.0.1:{program.ports.smtp}", stdin="fünf\n".encode())
    assert done.code == Exit.OK, done.err
    assert "from jörg@bücher.test, subject: Grüße" in run("trace", "jörg@bücher.test").out
    with remote(b"220 hi\r\n", b"250 hi\r\n") as port:
        done = run("send", *words, "--server", f"127.0.0.1:{port}", stdin=b"hi\n")
    assert done.code == Exit.FAILED
    assert "SMTPUTF8" in done.err


def test_a_password_is_not_asked_of_nobody(program: Program) -> None:
    command = [sys.executable, "-m", "posthouse", "mail", "send", "--from", ALICE, "--to", BOB, "--user", ALICE]
    done = subprocess.run(
        [*command, "--server", f"127.0.0.1:{program.ports.submission}"],
        input="hi\n", capture_output=True, text=True, timeout=60, check=False, start_new_session=True,
    )  # fmt: skip
    assert done.returncode == Exit.USAGE
    assert "--password-stdin" in done.stderr


def test_send_without_a_right_to(run: Run) -> None:
    done = run("send", *LOGIN, "--starttls", stdin=b"wrong\nhi\n")
    assert done.code == Exit.NO_PERMISSION
    assert done.err.startswith("error: the login was refused: 535")
    done = run("send", "--from", ALICE, "--to", BOB, stdin=b"hi\n")
    assert done.code == Exit.NO_PERMISSION
    assert "--user" in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--from", "alice", "--to", BOB], "alice: an address is written name@domain"),
        (["--from", ALICE, "--to", "b@-"], "b@-: the domain"),
        ([*LOGIN, "--starttls", "--tls"], "exclude each other"),
        ([*LOGIN, "--raw", "--subject", "x"], "--raw excludes"),
        ([*LOGIN], "held no password"),
        (["--from", ALICE, "--to", BOB, "--raw"], "held no message"),
        ([*LOGIN[:4], "--server", "nowhere"], "HOST:PORT"),
        ([*LOGIN[:4], "--server", "h:99999"], "HOST:PORT"),
        ([*LOGIN[:4], "--subject", "a\nb"], "no message can be made"),
    ],
)
def test_what_cannot_be_sent(words: list[str], said: str, run: Run) -> None:
    done = run("send", *words)
    assert (done.code, done.out) == (Exit.USAGE, "")
    assert said in done.err


def test_a_password_does_not_cross_the_network_in_plain(run: Run) -> None:
    done = run("send", *LOGIN, "--server", "mx.client.test:587", stdin=GIVEN)
    assert done.code == Exit.FAILED
    assert "in plain" in done.err


def test_a_missing_file_is_named(run: Run) -> None:
    done = run("send", *LOGIN, "--attach", "missing.txt", stdin=GIVEN)
    assert (done.code, done.err) == (Exit.FAILED, "error: missing.txt: No such file or directory\n")


@contextmanager
def remote(*lines: bytes) -> Iterator[int]:
    """A server that says one line at each turn, and hangs up after the last; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            peer, _ = listening.accept()
            with peer:
                for line in lines:
                    peer.sendall(line)
                    if not peer.recv(4096):
                        return

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        thread.join()


@pytest.mark.parametrize(
    ("lines", "code", "said"),
    [
        ([b"421 4.3.2 later\r\n"], Exit.TRY_LATER, "421 4.3.2 later"),
        ([b"554 5.7.1 not \x1b[31myou\r\n"], Exit.FAILED, "554 5.7.1 not \\x1b[31myou"),
        ([b"220 hi\r\n", b"250 hi\r\n", b"250 ok\r\n", b"452 4.3.1 full\r\n"], Exit.TRY_LATER, "452 4.3.1 full"),
        ([b"220 hi\r\n", b"250 hi\r\n", b"250 ok\r\n", b"250 ok\r\n", b"451 no\r\n"], Exit.TRY_LATER, "451 no"),
        ([b"220 hi\r\n", b"250 hi\r\n"], Exit.UNAVAILABLE, "closed"),
        ([b"nonsense\r\n"], Exit.UNAVAILABLE, "speaks no SMTP"),
    ],
)
def test_how_servers_refuse(lines: list[bytes], code: Exit, said: str, run: Run) -> None:
    with remote(*lines) as port:
        done = run("send", *LOGIN[:4], "--server", f"127.0.0.1:{port}", stdin=b"hi\n")
    assert (done.code, done.out) == (code, "")
    assert said in done.err
    assert "Traceback" not in done.err


def test_a_server_without_extensions_is_enough(run: Run) -> None:
    ok = b"250 ok\r\n"
    with remote(b"220 hi\r\n", b"500 what\r\n", ok, ok, ok, b"354 go\r\n", b"250 thanks\r\n") as port:
        done = run("send", *LOGIN[:4], "--server", f"127.0.0.1:{port}", "--json", stdin=b"hi\n")
    assert done.code == Exit.OK, done.err
    document = json.loads(done.out)
    assert (document["reply"], document["id"]) == ("thanks", None)


def test_nobody_there(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    done = run("send", *LOGIN[:4], "--server", f"127.0.0.1:{port}", stdin=b"hi\n")
    assert done.code == Exit.UNAVAILABLE
    assert "posthouse serve" in done.err


def test_tls_where_there_is_none(program: Program, run: Run) -> None:
    done = run("send", *LOGIN[:4], "--tls", "--server", f"127.0.0.1:{program.ports.submission}", stdin=b"hi\n")
    assert done.code == Exit.UNAVAILABLE
    assert "--starttls" in done.err


@pytest.mark.parametrize("security", [ConnectionSecurity.TLS, ConnectionSecurity.STARTTLS])
def test_certificates_of_others_are_checked(security: ConnectionSecurity, program: Program) -> None:
    port = program.ports.submissions if security is ConnectionSecurity.TLS else program.ports.submission
    letter = Letter(ALICE, (BOB,), b"Subject: x\r\n\r\ny\r\n")
    with pytest.raises(CommandError, match="no valid certificate") as caught:
        submit(SubmissionServer("localhost", port, security, checked=True), None, letter)
    assert caught.value.code == Exit.UNAVAILABLE


def test_names_of_this_machine() -> None:
    assert [is_loopback(name) for name in ("127.0.0.1", "127.9.9.9", "::1", "LocalHost")] == [True] * 4
    assert not is_loopback("192.0.2.1") and not is_loopback("localhost.example.org")


def test_line_ends() -> None:
    assert crlf(b"a\nb\r\nc\rd\n\n") == b"a\r\nb\r\nc\r\nd\r\n\r\n"


def test_what_is_composed_is_plain_ascii_unless_addresses_are_not() -> None:
    assert composed(ALICE, [BOB], "Grüße", "Jörg " * 400, []).isascii()
    international = composed("jörg@example.test", [BOB], "x", "y", [])
    assert "jörg@example.test".encode() in international


def test_trace_through_an_alias(program: Program, run: Run) -> None:
    assert run("send", "--from", ALICE, "--to", BOB, "--password-stdin", stdin=GIVEN + b"hi\n").code == Exit.OK
    told = run("trace", "Team@example.test")
    assert told.code == Exit.OK
    assert f"kept in the mailbox of <{BOB}>" in told.out
    assert f"Mail for Team@example.test goes to {ALICE}, {BOB}." in told.err
    assert "posthouse mail trace friend@elsewhere.test" in told.err


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("<nothing@like.it>", "nothing@like.it"),
        ("no address at all \x1b[2J", "Nothing from, to"),
    ],
)
def test_trace_finds_nothing(question: str, said: str, run: Run) -> None:
    told = run("trace", question)
    assert (told.code, told.out) == (Exit.FAILED, "")
    assert said in told.err
    assert "in the last 7 days" in told.err
    assert "log" in told.err
    assert "\x1b" not in told.err
    assert json.loads(run("trace", question, "--json").out) == {
        "version": 1,
        "sent": [],
        "kept": [],
        "delivered": [],
        "whole": True,
    }


def test_trace_what_was_collected_and_deleted(program: Program, run: Run) -> None:
    program.run("alias", "add", "crew@example.test", ALICE, BOB)
    words = ("--from", "x@client.test", "--to", "Crew@example.test", "--server", f"127.0.0.1:{program.ports.smtp}")
    raw = b"Message-ID: <collected@client.test>\nSubject: x\n\nhi\n"
    assert run("send", *words, "--raw", stdin=raw).code == Exit.OK
    collect(program.ports.pop3, BOB, delete=True)
    told = run("trace", "<collected@client.test>")
    assert told.code == Exit.OK
    assert f"kept in the mailbox of <{ALICE}>" in told.out
    for question in ("collected@client.test", BOB, "x@client.test", "crew@example.test"):

        def is_remembered(question: str = question) -> bool:
            past = json.loads(run("trace", question, "--json").out)["delivered"]
            return ("collected@client.test", BOB) in {(row["message_id"], row["account"]) for row in past}

        until(is_remembered, f"nothing of it for {question}")  # written down within a second
    told = run("trace", BOB)
    assert f"delivered to <{BOB}>; not in its INBOX any more: collected, moved or deleted" in told.out
    assert "from <x@client.test>, for <Crew@example.test>, handed over by 127.0.0.1" in told.out


def test_trace_an_address_that_is_nobodys(program: Program, run: Run) -> None:
    program.run("domain", "add", "empty.test")
    told = run("trace", "nobody@empty.test")
    assert told.code == Exit.FAILED
    assert "no such account" in told.err


def test_traces_show_hostile_headers_harmlessly(program: Program, run: Run) -> None:
    raw = b"From: =?nonsense?q?x?=\nSubject: =?utf-8?q?=1B[31m?= \x1b]0;x\x07\nMessage-ID: <bad@example.test>\n\nx\n"
    words = ("--from", "x@client.test", "--to", BOB, "--server", f"127.0.0.1:{program.ports.smtp}")
    assert run("send", *words, "--raw", stdin=raw).code == Exit.OK
    told = run("trace", "bad@example.test")
    assert told.code == Exit.OK
    assert "\\x1b" in told.out
    assert "\x1b" not in told.out and "\x07" not in told.out


def test_a_look_through_mailboxes_is_bounded(program: Program, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        words = ("--from", "x@client.test", "--to", BOB, "--server", f"127.0.0.1:{program.ports.smtp}")
        assert run("send", *words, stdin=b"hi\n").code == Exit.OK
    monkeypatch.setattr("posthouse.app.commands.arrivals.READ", 1)
    assert "messages were looked at" in run("trace", "other@like.it").err
    assert json.loads(run("trace", "x@client.test", "--json").out)["whole"] is False
