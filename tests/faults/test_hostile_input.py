"""Hostile input against the running program: the right reply, bounded memory, and others served meanwhile.

Each test runs under `calm`: a healthy session delivers and collects before, during and after, and the program's memory
grows by less than 8 MB. POSTHOUSE_LONG=1 (`make faults`) uses larger numbers where that says more.
"""

import base64
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

import pytest

from tests.outside.maildrop import Maildrop, collect, empty
from tests.outside.program import PASSWORD, Program, running
from tests.outside.wire import Wire

LONG = bool(os.environ.get("POSTHOUSE_LONG"))
GROWTH = 8 << 20  # octets
MESSAGE = b"Subject: healthy\r\n\r\nI am fine.\r\n"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with running(tmp_path_factory.mktemp("hostile") / "data") as program:
        program.add_account("small")
        program.run("account", "quota", "small@example.test", "2000B")
        for _ in range(30):  # warm: caches, pools and arenas have their size
            healthy(program)
            with Wire(program.ports.smtp) as wire:
                wire.hello()
                wire.mail()
                wire.data(b"Subject: x\r\n\r\n" + b"y" * 80 + b"\r\n" + b"z" * 400_000 + b"\r\n")
        empty(program.ports.pop3, "alice@example.test")
        yield program


def healthy(program: Program) -> None:
    """A good client is served: one message in, the same out."""
    with Wire(program.ports.smtp) as wire:
        wire.hello()
        wire.mail("bob@example.test")
        assert wire.data(MESSAGE).startswith("250")
    found = collect(program.ports.pop3, "bob@example.test", delete=True)
    assert len(found) == 1 and next(iter(found.values())).endswith(MESSAGE)


Calm = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def calm(program: Program) -> Calm:
    @contextmanager
    def watch() -> Iterator[None]:
        before = program.rss()
        yield
        healthy(program)
        grown = program.rss() - before
        assert grown < GROWTH, f"{grown / 1e6:.1f} MB more"

    return watch


def flood(wire: Wire, piece: bytes, octets: int) -> bytes:
    """Send `octets` in all, as far as the server lets us; everything it says."""
    with suppress(ConnectionError, TimeoutError, OSError):
        for _ in range(octets // len(piece)):
            wire.send(piece)
    with suppress(ConnectionError):
        return wire.rest()
    return b""


def test_smtp_lines_without_end(program: Program, calm: Calm) -> None:
    with calm(), Wire(program.ports.smtp) as wire:
        wire.hello()
        said = flood(wire, b"x" * 65536, 20 << 20)
        assert said == b"" or said[:3] in (b"421", b"500")


def test_pop3_lines_without_end(program: Program, calm: Calm) -> None:
    with calm(), Wire(program.ports.pop3) as wire:
        wire.line()
        said = flood(wire, b"x" * 65536, 20 << 20)
        assert said == b"" or said.startswith(b"-ERR")


def test_commands_of_a_mebibyte(program: Program, calm: Calm) -> None:
    with calm():
        for ports, verb, answers in (
            (program.ports.smtp, b"NOOP ", ("500", "421")),
            (program.ports.smtp, b"MAIL FROM:<", ("500", "421")),
            (program.ports.pop3, b"USER ", ("-ERR",)),
        ):
            with Wire(ports) as wire:
                wire.reply() if ports == program.ports.smtp else wire.line()
                with suppress(ConnectionError):
                    wire.send(verb + b"a" * (1 << 20) + b"\r\n")
                answer = wire.line().decode()
                assert answer == "" or answer.startswith(answers), answer


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"NO\0OP\r\n", "500"),
        (b"NOOP\n", "500"),
        (b"NOOP\rNOOP\r\n", "500"),
        (b"\xff\xfe\xfd\r\n", "500"),
        (b"MAIL FROM:<gr\xfc\xdfe@client.test>\r\n", "500"),
        (b"MAIL FROM:<gr\xc3@client.test> SMTPUTF8\r\n", "500"),
        ("MAIL FROM:<grüße@client.test>\r\n".encode(), "553"),
        (b"MAIL FROM:<a\0b@client.test>\r\n", "500"),
        (b"AUTH PLAIN ====\r\n", "50"),
    ],
)
def test_smtp_octets_where_none_belong(program: Program, calm: Calm, line: bytes, code: str) -> None:
    with calm(), Wire(program.ports.smtp) as wire:
        wire.hello()
        wire.send(line)
        assert wire.reply().startswith(code)


@pytest.mark.parametrize("line", [b"US\0ER x\r\n", b"STAT\n", b"STAT\rSTAT\r\n", b"\xff\xfe\r\n", b"USER \xc3\r\n"])
def test_pop3_octets_where_none_belong(program: Program, calm: Calm, line: bytes) -> None:
    with calm(), Wire(program.ports.pop3) as wire:
        wire.line()
        wire.send(line)
        assert wire.line().startswith(b"-ERR")


def test_a_hundred_thousand_recipients(program: Program, calm: Calm) -> None:
    count = 100_000
    with calm(), Wire(program.ports.smtp) as wire:
        wire.hello()
        wire.expect(b"MAIL FROM:<a@client.test>", "250")
        answers: dict[str, int] = {}
        sent = 0
        with suppress(ConnectionError):
            while sent < count:
                wire.send(b"RCPT TO:<alice@example.test>\r\n" * 500)
                sent += 500
                for _ in range(500):
                    code = wire.reply()[:3]
                    answers[code] = answers.get(code, 0) + 1
                    if code in ("421", ""):
                        raise ConnectionError
        assert answers["250"] == 1000 and answers["452"] >= 1000 and set(answers) <= {"250", "452", "421", ""}


def test_ten_megabytes_of_headers(program: Program, calm: Calm) -> None:
    with calm(), Wire(program.ports.smtp) as wire:
        wire.hello()
        wire.mail()
        wire.expect(b"DATA", "354")
        for _ in range(160):
            wire.send(b"X-Header: some value that is repeated\r\n" * 1700)
        wire.send(b"\r\nbody\r\n.\r\n")
        assert wire.reply().startswith("552 5.3.4")


def test_over_size(program: Program, calm: Calm) -> None:
    with calm(), Wire(program.ports.smtp) as wire:
        size = next(line for line in wire.hello().split("\n") if "SIZE" in line).split()[-1]
        wire.expect(b"MAIL FROM:<a@client.test> SIZE=" + str(int(size) + 1).encode(), "552 5.3.4")
        wire.mail()
        wire.expect(b"DATA", "354")
        wire.send(b"Subject: big\r\n\r\n")
        for _ in range(int(size) // (1 << 20) + 1):
            wire.send((b"x" * 1022 + b"\r\n") * 1024)
        wire.send(b".\r\n")
        assert wire.reply().startswith("552 5.3.4")
        wire.expect(b"NOOP", "250")


def test_over_quota(program: Program, calm: Calm) -> None:
    with calm(), Wire(program.ports.smtp) as wire:
        wire.hello()
        wire.expect(b"MAIL FROM:<a@client.test> SIZE=5000", "250")
        wire.expect(b"RCPT TO:<small@example.test>", "552 5.2.2")
        wire.expect(b"RSET", "250")
        wire.mail("small@example.test")
        assert wire.data(b"Subject: x\r\n\r\n" + b"y" * 900 + b"\r\n" * 900).startswith("552 5.2.2")
    assert collect(program.ports.pop3, "small@example.test") == {}


def test_wrong_base64(program: Program, calm: Calm) -> None:
    with calm():
        for junk in (b"!!!!", b"A", b"=AAA", b"AAAA=AAA", b"\xff\xff", base64.b64encode(b"\0\xff\xfe\0x")):
            with Wire(program.ports.submission) as wire:
                wire.hello()
                wire.expect(b"AUTH PLAIN " + junk, "50")
            with Wire(program.ports.pop3) as wire:
                wire.line()
                wire.send(b"AUTH PLAIN " + junk + b"\r\n")
                assert wire.line().startswith(b"-ERR")


def test_clients_that_vanish_in_data(program: Program, calm: Calm) -> None:
    with calm():
        for number in range(200 if LONG else 60):
            with Wire(program.ports.smtp) as wire:
                wire.hello()
                wire.mail()
                wire.expect(b"DATA", "354")
                wire.send(b"Subject: half\r\n\r\n" + b"x" * (number * 5000))
        time.sleep(0.2)
    assert collect(program.ports.pop3, "alice@example.test") == {}


SMUGGLING = (
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r\n.\r",
    b"\r.\r\n",
    b"\n\r.\r\n",
    b"\r\r\n.\r\r\n",
    b"\r\n.\0\n",
)


@pytest.mark.parametrize("end", SMUGGLING)
def test_smuggling(program: Program, end: bytes) -> None:
    """Neither by DATA nor by BDAT does an odd end make a second message; it is refused whole or stays one."""
    inner = b"MAIL FROM:<evil@x.test>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n"
    content = b"Subject: outer\r\n\r\nhello" + end + inner
    with Wire(program.ports.smtp) as wire:
        wire.hello()
        wire.mail()
        wire.expect(b"DATA", "354")
        wire.send(content + b".\r\n")
        assert wire.reply().startswith("550")
        wire.expect(b"NOOP", "250")
        wire.mail()
        assert wire.bdat(content).startswith("550")
        wire.expect(b"NOOP", "250")
    assert collect(program.ports.pop3, "alice@example.test") == {}


def test_starttls_injection(program: Program) -> None:
    with Wire(program.ports.smtp) as wire:
        wire.hello()
        wire.send(b"STARTTLS\r\nMAIL FROM:<evil@x.test>\r\nRCPT TO:<alice@example.test>\r\n")
        assert wire.rest().startswith(b"554 5.5.0 ")


@pytest.mark.parametrize(
    "script",
    [
        b"EHLO x\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\nSubject: x\r\n\r\n.\r\nQUIT\r\n",
        b"HELO x\r\nMAIL FROM:<a@x.test>\r\n",
    ],
)
def test_a_script_played_back(program: Program, script: bytes) -> None:
    """As spam does that waits for no reply, and a browser that is made to speak SMTP."""
    with Wire(program.ports.smtp) as wire:
        wire.reply()
        wire.send(script)
        assert wire.rest().splitlines()[-1].startswith(b"554 5.5.0 ")


def test_content_before_the_354(program: Program) -> None:
    with Wire(program.ports.smtp) as wire:
        wire.hello()
        wire.mail()
        wire.send(b"DATA\r\nSubject: x\r\n\r\nx\r\n.\r\n")
        assert wire.rest().splitlines()[-1].startswith(b"554 5.5.0 ")


def test_stls_injection(program: Program) -> None:
    with Wire(program.ports.pop3) as wire:
        wire.line()
        wire.send(b"STLS\r\nUSER alice@example.test\r\nPASS " + PASSWORD.encode() + b"\r\n")
        assert wire.line().startswith(b"+OK")
        wire.start_tls()
        wire.send(b"STAT\r\n")
        assert wire.line().startswith(b"-ERR")


def test_second_login_is_in_use(program: Program) -> None:
    with Maildrop.open(program.ports.pop3, "alice@example.test"), Wire(program.ports.pop3) as wire:
        wire.line()
        wire.send(b"USER alice@example.test\r\nPASS " + PASSWORD.encode() + b"\r\n")
        wire.line()
        assert wire.line().startswith(b"-ERR [IN-USE]")


def test_numbers_out_of_range(program: Program) -> None:
    with Maildrop.open(program.ports.pop3, "alice@example.test") as drop:
        for argument in (b"0", b"1", b"-1", b"99999999999999999999999", b"x", b"1 2", b""):
            for verb in (b"DELE ", b"RETR ", b"LIST x", b"UIDL x", b"TOP "):
                drop.send(verb + argument + b"\r\n")
                assert drop.line().startswith(b"-ERR")


def test_browsers_are_sent_away(program: Program, calm: Calm) -> None:
    with calm():
        for port in (program.ports.smtp, program.ports.submission):
            with Wire(port) as wire:
                wire.reply()
                wire.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert wire.rest().startswith(b"421")


def test_slow_connections(program: Program) -> None:
    """Many that say nothing or drip: good clients are served, and each costs less than 100 KB."""
    count = 2000 if LONG else 200
    healthy(program)
    before = program.rss()
    idle = [socket.create_connection(("127.0.0.1", program.ports.smtp)) for _ in range(count)]
    try:
        for connection in idle[::2]:
            connection.sendall(b"E")
        healthy(program)
        each = (program.rss() - before) / count
        assert each < 100_000, f"{each:.0f} octets for each"
    finally:
        for connection in idle:
            connection.close()
    healthy(program)


def test_wrong_password_floods(program: Program) -> None:
    """A guesser waits longer and longer; what is refused costs no hashing, and says nothing about who exists."""
    source = "127.0.0.66"  # a peer of its own, so that the owner at 127.0.0.1 is not held up
    texts: dict[str, set[str]] = {"alice@example.test": set(), "nobody@example.test": set()}
    with_guesses = 300 if LONG else 60
    before = program.rss()
    for number in range(with_guesses):
        for name, said in texts.items():
            with Wire(program.ports.pop3, source=source) as wire:
                wire.line()
                wire.send(f"USER {name}\r\nPASS guess{number}\r\n".encode())
                wire.line()
                answer = wire.line().decode()
                assert answer.startswith("-ERR")
                said.add("".join(char for char in answer if not char.isdigit()))
    assert texts["alice@example.test"] == texts["nobody@example.test"]
    healthy(program)
    assert program.rss() - before < GROWTH
    with Maildrop.open(program.ports.pop3, "alice@example.test") as drop:
        drop.quit()
