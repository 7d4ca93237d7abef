"""posthouse dev, the whole program: any sender, any recipient, any login; the feed; the end while clients hold on."""

import asyncio
import base64
import functools
import imaplib
import json
import os
import poplib
import signal
import smtplib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from posthouse.app.commands import dev as module
from posthouse.app.config.endpoints import Endpoint
from posthouse.app.config.services import ListenRequest, Service
from posthouse.app.process import worker
from posthouse.app.process.listening import bind_all
from posthouse.net.limits import Limits
from tests.app.dev.program import Dev, dev, send
from tests.app.folders import run
from tests.outside.imap_wire import ImapWire
from tests.outside.maildrop import Maildrop, collect
from tests.outside.wire import Wire, trusting

NEVER = 3600.0  # seconds: what waits for this does not end within the test


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    with dev(temporary=tmp_path_factory.mktemp("dev")) as program:
        yield program


def subjects(port: int, login: str) -> list[bytes]:
    """What a login sees by POP3, with a password that nobody has ever given before."""
    with Maildrop.open(port, login, f"whatever {login}") as drop:
        found = [drop.retrieve(number) for number in drop.sizes()]
        drop.quit()
    return [line for each in found for line in each.splitlines() if line.startswith(b"Subject: ")]


def test_each_address_has_its_mail_and_all_has_everything(running: Dev) -> None:
    smtp, pop3 = running.ports["smtp"], running.ports["pop3"]
    before = len(subjects(pop3, "all"))
    people = [
        "one@shop.example",
        "two@shop.example",
        "two+tag@shop.example",
        "one@elsewhere.test",
        "jörg@bücher.example",
    ]
    for number, person in enumerate(people):
        if person.isascii():
            assert send(smtp, person, b"Subject: %d\r\n\r\nx\r\n" % number).startswith("250")
    with smtplib.SMTP("127.0.0.1", smtp) as client:
        text = "Subject: 4\r\n\r\nx\r\n"
        client.sendmail("ärger@bücher.example", [people[4]], text, ["SMTPUTF8", "BODY=8BITMIME"])
    for number, person in enumerate(people):
        assert subjects(pop3, person) == [b"Subject: %d" % number]
    assert subjects(pop3, "TWO@Shop.Example") == [b"Subject: 1"]
    assert subjects(pop3, "jörg@xn--bcher-kva.example") == [b"Subject: 4"]
    assert len(subjects(pop3, "all")) == before + len(people)
    assert subjects(pop3, "nobody.wrote.to@this.example") == []


def test_many_recipients_of_one_message(running: Dev) -> None:
    """One copy for each, one for all together."""
    smtp, pop3 = running.ports["smtp"], running.ports["pop3"]
    before = len(subjects(pop3, "all"))
    people = [f"list{n}@shop.example" for n in range(20)]
    with smtplib.SMTP("127.0.0.1", smtp) as client:
        assert client.sendmail("app@myapp.test", people, "Subject: to many\r\n\r\nx\r\n") == {}
    assert all(subjects(pop3, person) == [b"Subject: to many"] for person in people)
    assert len(subjects(pop3, "all")) == before + 1


def test_a_captured_message_can_be_sent_on(running: Dev) -> None:
    """What "all" sees names its first recipient, not itself: sent to somebody else it is no loop."""
    smtp, pop3 = running.ports["smtp"], running.ports["pop3"]
    assert send(smtp, "first@shop.example").startswith("250")
    (captured,) = collect(pop3, "first@shop.example").values()
    assert b"Delivered-To: first@shop.example\r\n" in captured
    assert send(smtp, "second@shop.example", captured).startswith("250")


def test_nothing_of_a_message_is_changed(running: Dev) -> None:
    """With or without a login: no field is added, none is taken away; what the program sends is what is seen."""
    message = b"From: not me <ceo@bank.example>\r\nBcc: hidden@shop.example\r\nSubject: as is\r\n\r\nx\r\n"
    for person, login in (("asis1@shop.example", False), ("asis2@shop.example", True)):
        with smtplib.SMTP("127.0.0.1", running.ports["smtp"]) as client:
            if login:
                client.login("apikey", "SG.secret")
            client.sendmail("bounce@myapp.test", [person], message)
        (found,) = collect(running.ports["pop3"], person).values()
        assert found.endswith(message)
        assert found.partition(message)[0].count(b"\r\n") == found[: -len(message)].count(b"\r\n")
        assert b"DKIM-Signature" not in found


@pytest.mark.parametrize("login", ["PLAIN", "LOGIN", ""])
@pytest.mark.parametrize("service", ["smtp", "submission", "submissions"])
def test_any_login_or_none(running: Dev, service: str, login: str) -> None:
    tls = service == "submissions"
    with Wire(running.ports[service], tls=tls) as wire:
        said = wire.hello().splitlines()
        assert any(line[4:] == "AUTH PLAIN LOGIN" for line in said)  # SCRAM needs the one right password
        assert any(line[4:] == "STARTTLS" for line in said) == (service == "submission")
        if login == "PLAIN":
            assert wire.login("apikey", "anything").startswith("235")
        elif login:
            wire.expect(b"AUTH LOGIN", "334")
            wire.expect(base64.b64encode(b"someone@else.example"), "334")
            wire.expect(base64.b64encode(b"anything"), "235")
        wire.mail("login@shop.example", sender="anyone@at-all.example")
        assert wire.data(b"Subject: x\r\n\r\ny\r\n").startswith("250")


@pytest.mark.parametrize("service", ["imap", "imaps", "pop3", "pop3s"])
def test_any_password(running: Dev, service: str) -> None:
    port = running.ports[service]
    assert send(running.ports["smtp"], f"{service}@shop.example").startswith("250")
    for password in ("one", "another", "пароль"):
        if service.startswith("imap"):
            with open_imap(port, tls=service == "imaps") as imap:
                assert "AUTH=PLAIN" in imap.capabilities and "AUTH=SCRAM-SHA-256" not in imap.capabilities
                imap.authenticate("PLAIN", functools.partial(plain, f"{service}@shop.example", password))
                assert imap.select() == ("OK", [b"1"])
        else:
            pop = open_pop3(port, tls=service == "pop3s")
            pop.user(f"{service}@shop.example")
            pop.pass_(password)
            assert pop.stat()[0] == 1
            pop.quit()


def plain(login: str, password: str, _challenge: bytes) -> bytes:
    return f"\0{login}\0{password}".encode()


def open_imap(port: int, *, tls: bool) -> imaplib.IMAP4:
    return imaplib.IMAP4_SSL("127.0.0.1", port, ssl_context=trusting()) if tls else imaplib.IMAP4("127.0.0.1", port)


def open_pop3(port: int, *, tls: bool) -> poplib.POP3:
    return poplib.POP3_SSL("127.0.0.1", port, context=trusting()) if tls else poplib.POP3("127.0.0.1", port)


def test_syntax_is_still_checked(running: Dev) -> None:
    port = running.ports["smtp"]
    assert send(port, "a@x..example").startswith("501 5.1.3")
    assert send(port, "bare@shop.example", b"Subject: bare\nLF\r\n\r\nx\r\n").startswith("550 5.6.11")
    with Wire(port) as wire:
        wire.hello()
        assert wire.ask(b"MAIL FROM:<" + b"a" * 3000 + b"@client.test>").startswith("500 5.5.2")


def test_the_feed(tmp_path: Path) -> None:
    """A line for each arrival and each refusal, in their order; secrets stay out of it."""
    with dev(temporary=tmp_path) as program:
        port = program.ports["smtp"]
        mime = (
            b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMIME-Version: 1.0\r\n"
            b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b\r\n"
            b"Content-Type: application/pdf\r\n\r\ny\r\n--b--\r\n"
        )
        with Wire(port) as wire:
            wire.hello()
            assert wire.login("apikey", "secret").startswith("235")
            wire.mail("customer@example.com")
            wire.expect(b"RCPT TO:<b..b@.>", "5")
            assert (accepted := wire.data(mime)).startswith("250")
            wire.expect(b"NONSENSE", "500")
        assert send(port, "x@y.example", b"bare\nLF\r\n").startswith("550")
        refused, arrived, unknown, message = [program.event() for _ in range(4)]
    assert (refused["type"], refused["service"], refused["command"]) == ("refused", "smtp", "RCPT TO:<b..b@.>")
    assert refused["reply"].startswith("5")
    told = arrived["message"]
    assert arrived["type"] == "arrived" and told["id"] in accepted
    assert told["mail_from"] == "sender@client.test" and told["recipients"] == ["customer@example.com"]
    assert (told["subject"], told["texts"], told["attachments"]) == ("Grüße", ["text"], 1)
    assert (told["size"], told["login"]) == (len(mime), "apikey")
    assert (unknown["command"], unknown["reply"][:3]) == ("NONSENSE", "500")
    assert (message["command"], message["reply"][:3]) == ("DATA", "550")
    assert "secret" not in str(program.events) and base64.b64encode(b"\0apikey\0secret").decode() not in str(
        program.events
    )


def test_a_feed_for_people(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "posthouse", "dev", "--free-ports"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = ""
        while "Ctrl-C" not in said:
            line = process.stdout.readline()
            assert line
            said += line
        port = int(next(line for line in said.splitlines() if line.startswith("  smtp ")).split()[1].rpartition(":")[2])
        assert "all" in said and "any password" in said
        assert send(port, "customer@example.com").startswith("250")
        assert send(port, "b..b@.").startswith("5")
        lines = [process.stdout.readline() for _ in range(2)]
        process.terminate()
        assert process.wait(60) == 0
    assert 'app@myapp.test → customer@example.com  "hi"' in lines[0] and "text" in lines[0]
    assert "refused  RCPT TO:<b..b@.>  →  5" in lines[1]


def test_quiet(tmp_path: Path) -> None:
    with dev("--quiet", temporary=tmp_path) as program:
        assert send(program.ports["smtp"], "customer@example.com").startswith("250")
        program.interrupt()
        assert program.process.stdout is not None
        assert program.process.stdout.read() == ""


def test_nobody_reads_the_feed(tmp_path: Path) -> None:
    """More than a pipe holds: mail goes on, and so does the end."""
    with dev(temporary=tmp_path) as program, Wire(program.ports["smtp"]) as wire:
        wire.hello()
        wire.send(b"NONSENSE %b\r\n" % (b"x" * 1900) * 49)
        for _ in range(49):
            assert wire.reply().startswith("500")
        with Wire(program.ports["smtp"]) as second:
            second.hello()
            second.send(b"NONSENSE %b\r\n" % (b"x" * 1900) * 49)
            for _ in range(49):
                assert second.reply().startswith("500")
        assert send(program.ports["smtp"], "customer@example.com").startswith("250")
        program.interrupt()
        assert program.process.wait(60) == 0


def test_ctrl_c_waits_for_no_client(tmp_path: Path) -> None:
    """All of them hold on to their end, and hear its last word, but for the one whose message is not yet whole."""
    with dev(temporary=tmp_path) as program:
        ports = program.ports
        imap = ImapWire(ports["imap"])
        idle = ImapWire(ports["imaps"], tls=True)
        for each in (imap, idle):
            each.line()
            each.send(b"a LOGIN all x\r\n")
            while not each.line().startswith(b"a OK"):
                pass
            each.send(b"b SELECT INBOX\r\n")
            while not each.line().startswith(b"b OK"):
                pass
        idle.send(b"c IDLE\r\n")
        assert idle.line().startswith(b"+")
        pop3 = Maildrop.open(ports["pop3"], "all", "x")
        smtp, busy = Wire(ports["smtp"]), Wire(ports["submissions"], tls=True)
        smtp.hello()
        busy.hello()
        busy.mail()
        busy.expect(b"DATA", "354")
        busy.send(b"Subject: never ends\r\n")
        silent = socket.create_connection(("127.0.0.1", ports["imaps"]))  # a handshake that never comes
        program.interrupt()
        assert program.process.wait(60) == 0  # here, with all of them connected
        assert imap.line().startswith(b"* BYE")
        assert idle.line().startswith(b"* BYE")
        assert smtp.reply().startswith("421 4.3.2")
        clients: tuple[Wire, ...] = (imap, idle, pop3, smtp, busy)
        for client in clients:
            client.close()
        silent.close()


async def test_the_end_takes_no_grace_for_clients_at_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all the patience there is for work at hand and for peers to hang up: neither is waited for."""
    monkeypatch.setattr(module, "_GRACE", NEVER)
    monkeypatch.setattr(worker, "Limits", functools.partial(Limits, linger=NEVER))
    bound = bind_all([ListenRequest(service, Endpoint(module.HOST, 0), "") for service in Service], 1)
    ports = {place.service: place.endpoint.port for place in bound}
    held = []
    async with module.running(tmp_path, bound, module.DevOptions()):
        for service in (Service.SMTP, Service.IMAP, Service.POP3):
            reader, writer = await asyncio.open_connection(module.HOST, ports[service])
            await reader.readline()  # the greeting
            held.append((reader, writer))
    for _, writer in held:
        writer.close()


def test_a_kept_folder_keeps_the_mail(tmp_path: Path) -> None:
    """Mailboxes are found by their address again, and those of a strict server have their mail."""
    data, temporary = tmp_path / "data", tmp_path / "temporary"
    temporary.mkdir()
    for n in range(2):
        with dev("--data", str(data), temporary=temporary) as program:
            assert send(program.ports["smtp"], "kept@shop.example", b"Subject: %d\r\n\r\nx\r\n" % n).startswith("250")
            expected = [b"Subject: %d" % each for each in range(n + 1)]
            assert subjects(program.ports["pop3"], "kept@shop.example") == expected
    with dev("--data", str(data), "--strict", "--password", "right", temporary=temporary) as program:
        assert send(program.ports["smtp"], "kept@shop.example").startswith("550 5.7.1")
        assert send(program.ports["smtp"], "bob@example.test", b"Subject: bob\r\n\r\nx\r\n").startswith("250")
    with dev("--data", str(data), temporary=temporary) as program:
        assert subjects(program.ports["pop3"], "bob@example.test") == [b"Subject: bob"]
        assert subjects(program.ports["pop3"], "kept@shop.example") == [b"Subject: 0", b"Subject: 1"]


def test_other_commands_know_a_kept_folder(tmp_path: Path) -> None:
    """fsck finds no fault with it, and the trace of a message names each delivery once."""
    data, temporary = tmp_path / "data", tmp_path / "temporary"
    temporary.mkdir()
    with dev("--data", str(data), temporary=temporary) as program, Wire(program.ports["smtp"]) as wire:
        wire.hello()
        wire.mail("One@shop.example")
        wire.expect(b"RCPT TO:<two@shop.example>", "250")
        assert wire.data(b"Message-ID: <traced@my.test>\r\n\r\nx\r\n").startswith("250")
        with Maildrop.open(program.ports["pop3"], "two@shop.example", "x") as drop:
            drop.command("DELE 1")
            drop.quit()
        with ImapWire(program.ports["imap"]) as imap:  # mail that did not come by SMTP
            imap.login("three@shop.example", "x")
            imap.append("INBOX", b"Subject: appended\r\n\r\nx\r\n")
    checked = run("fsck", "--data", str(data))
    assert (checked.returncode, checked.stdout) == (0, ""), checked.stdout
    for wanted, mailboxes in (
        ("<traced@my.test>", ["One@shop.example", "two@shop.example"]),
        ("one@shop.example", ["One@shop.example"]),
        ("two@shop.example", ["two@shop.example"]),
    ):
        found = json.loads(run("mail", "trace", wanted, "--json", "--data", str(data)).stdout)
        kept = [each["account"] for each in found["kept"]]
        assert kept == [each for each in mailboxes if not each.startswith("two")]
        gone = [each["account"] for each in found["delivered"]]
        assert gone == [each for each in mailboxes if each.startswith("two")]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--password", "x"), "without --strict any password is the right one"),
        (("--free-ports", "--port-offset", "2000"), "exclude each other"),
        (("--port-offset", "1.5"), "--port-offset"),
        (("--port-offset", "abc"), "--port-offset"),
    ],
)
def test_options_that_do_not_go_together(options: tuple[str, ...], told: str) -> None:
    command = [sys.executable, "-m", "posthouse", "dev", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2 and told in done.stderr and "Traceback" not in done.stderr


def test_a_folder_of_other_things_stays_as_it_is(tmp_path: Path) -> None:
    """An empty --data "$DIR" is the current folder, and that is somebody's project."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "README").write_text("x")
    for data, told in (("", "has other things in it"), ("README", "is no folder")):
        command = [sys.executable, "-m", "posthouse", "dev", "--free-ports", "--data", data]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=project)
        assert done.returncode == 2 and told in done.stderr and "--data" in done.stderr
        assert [each.name for each in project.iterdir()] == ["README"]


def test_a_second_interrupt_changes_nothing(tmp_path: Path) -> None:
    with dev(temporary=tmp_path) as program:
        program.process.send_signal(signal.SIGINT)
        while program.process.poll() is None:
            program.process.send_signal(signal.SIGINT)
            time.sleep(0.005)


def test_output_that_cannot_be_written(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "posthouse", "dev", "--free-ports"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=environment)
    assert done.returncode == 1
    assert done.stderr == "error: standard output cannot be written to: No space left on device\n"
    assert list(tmp_path.iterdir()) == []


def test_the_real_server_cannot_reach_it() -> None:
    """Nothing that `posthouse serve` imports knows of it."""
    program = (
        "import sys, posthouse.app.commands.serve, posthouse.app.process.parent;"
        "sys.exit(any(name.startswith('posthouse.app.dev') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
