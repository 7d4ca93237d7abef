"""Every login and every refusal is a line in the log, with who, from where, and why."""

import contextlib
import imaplib
import json
import poplib
import smtplib
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.app.commands.test_serve import until
from tests.app.folders import configure, run
from tests.app.process.test_routes_of_now import serving
from tests.outside.program import PASSWORD

Lines = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def offset(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    folder = tmp_path_factory.mktemp("logged")
    config, offset = configure(folder, folder / "data")
    text = config.read_text().partition("[smtp]")[0]
    for section, port, tls in (("smtp", 25, 0), ("submission", 587, 465), ("pop3", 110, 995), ("imap", 143, 993)):
        text += f'[{section}]\nlisten = ["127.0.0.1:{port + offset}"]\n'
        text += f'listen_tls = ["127.0.0.1:{tls + offset}"]\n' if tls else ""
    config.write_text(text + '[log]\nformat = "json"\n')
    c = ("-c", str(config))
    assert run("domain", "add", "example.test", "--yes", *c).returncode == 0
    for name in ("alice", "bob"):
        words = ("account", "add", f"{name}@example.test", "--password-stdin", *c)
        assert run(*words, stdin=PASSWORD).returncode == 0
    with serving(config, folder / "log"):
        yield offset, folder / "log"


@pytest.fixture
def lines(offset: tuple[int, Path]) -> Lines:
    """The lines since the test began that have these values; waits for one."""
    log = offset[1]
    begin = log.stat().st_size

    def found(**values: object) -> list[dict[str, Any]]:
        matching: list[dict[str, Any]] = []

        def look() -> bool:
            text = log.read_bytes()[begin:].decode()
            every = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
            matching[:] = [line for line in every if values.items() <= line.items()]
            return bool(matching)

        until(look, log)
        return matching

    return found


@pytest.fixture
def port(offset: tuple[int, Path]) -> Callable[[int], int]:
    return lambda standard: standard + offset[0]


@pytest.fixture
def anyone() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def test_logins(lines: Lines, port: Callable[[int], int], anyone: ssl.SSLContext) -> None:
    with smtplib.SMTP("127.0.0.1", port(587)) as smtp:
        smtp.starttls(context=anyone)
        smtp.login("alice@example.test", PASSWORD)
    with imaplib.IMAP4_SSL("127.0.0.1", port(993), ssl_context=anyone) as imap:
        imap.login("alice@example.test", PASSWORD)
    pop = poplib.POP3_SSL("127.0.0.1", port(995), context=anyone)
    pop.user("alice")
    pop.pass_(PASSWORD)
    for service in ("submission", "imap", "pop3"):
        (line,) = lines(event="login", service=service)
        assert (line["client"], line["login"], line["mechanism"]) == ("127.0.0.1", "alice@example.test", "password")
        assert line["tls"] == "TLSv1.3" and line["connection"]
    second = poplib.POP3_SSL("127.0.0.1", port(995), context=anyone)
    second.user("alice")
    with pytest.raises(poplib.error_proto, match="IN-USE"):
        second.pass_(PASSWORD)
    lines(event="login refused", service="pop3", reason="another session has this maildrop open")
    pop.quit()
    second.close()


def test_logins_that_are_refused(lines: Lines, port: Callable[[int], int], anyone: ssl.SSLContext) -> None:
    with smtplib.SMTP("127.0.0.1", port(587)) as smtp:
        smtp.starttls(context=anyone)
        with pytest.raises(smtplib.SMTPAuthenticationError):
            smtp.login("bob@example.test", "wrong")
    with (
        imaplib.IMAP4_SSL("127.0.0.1", port(993), ssl_context=anyone) as imap,
        contextlib.suppress(imaplib.IMAP4.error),
    ):
        imap.login("bob@example.test", "wrong")
    for service in ("submission", "imap"):
        line = lines(event="login refused", service=service)[0]
        assert (line["login"], line["reason"]) == ("bob@example.test", "wrong login or password")
        assert "password" not in line


def test_logins_without_tls(lines: Lines, port: Callable[[int], int]) -> None:
    pop = poplib.POP3("127.0.0.1", port(110))
    with pytest.raises(poplib.error_proto):
        pop.user("alice")
    pop.close()
    with imaplib.IMAP4("127.0.0.1", port(143)) as imap, contextlib.suppress(imaplib.IMAP4.error):
        imap.login("alice", PASSWORD)
    with smtplib.SMTP("127.0.0.1", port(587)) as smtp:
        assert smtp.docmd("AUTH", "PLAIN AGFsaWNlAHg=")[0] == 503  # before EHLO
        smtp.ehlo()
        assert smtp.docmd("AUTH", "PLAIN AGFsaWNlAHg=")[0] == 538
        assert smtp.docmd("MAIL", "FROM:<alice@example.test>")[0] == 530
    for service in ("pop3", "imap"):
        assert lines(event="login refused", service=service)[0]["reason"] == "without TLS"
    found = lines(event="command refused", service="submission")
    until(lambda: len(lines(event="command refused")) == 3, Path("/dev/null"))
    found = lines(event="command refused", service="submission")
    assert [(line["command"], line["reply"][:10]) for line in found] == [
        ("AUTH", "503 5.5.1 "),
        ("AUTH", "538 5.7.11"),
        ("MAIL", "530 5.7.0 "),
    ]
    assert "AGFsaWNlAHg" not in json.dumps(found)  # a password


def test_mail_that_is_refused(lines: Lines, port: Callable[[int], int], anyone: ssl.SSLContext) -> None:
    with smtplib.SMTP("127.0.0.1", port(25)) as smtp:
        smtp.ehlo()
        smtp.docmd("MAIL", "FROM:<x@client.test> SIZE=999999999")
        smtp.docmd("MAIL", "FROM:<x@client.test>")
        smtp.docmd("RCPT", "TO:<nobody@example.test>")
        smtp.docmd("RCPT", "TO:<alice@example.test>")
        smtp.docmd("DATA")
        smtp.send(b"Subject: bare\r\n\r\na\n.\nb\r\n.\r\n")
        smtp.getreply()
    assert lines(event="command refused", service="smtp")[0]["reply"].startswith("552 5.3.4 ")
    assert lines(event="recipient refused")[0]["reply"].startswith("550 5.1.1 ")
    dropped = lines(event="message not received")[0]
    assert dropped["to"] == ["alice@example.test"] and dropped["reason"].startswith("550 5.6.11 ")
    with smtplib.SMTP("127.0.0.1", port(587)) as smtp:
        smtp.starttls(context=anyone)
        smtp.login("alice@example.test", PASSWORD)
        smtp.docmd("MAIL", "FROM:<bob@example.test>")
        smtp.docmd("MAIL", "FROM:<alice@example.test>")
        smtp.docmd("RCPT", "TO:<bob@example.test>")
        smtp.docmd("DATA")
        smtp.send(b"From: bob@example.test\r\n\r\nx\r\n.\r\n")
        smtp.getreply()
    refused = lines(event="sender refused", login="alice@example.test")[0]
    assert refused["sender"] == "bob@example.test" and refused["reply"].startswith("5")
    message = lines(event="message", login="alice@example.test")[0]
    assert message["result"] // 100 == 5 and message["reply"].startswith(str(message["result"]))
