"""TLS from the start, by STARTTLS, and no password without either."""

import imaplib
import ssl
from contextlib import suppress
from pathlib import Path

import pytest
from tests.interop.imap.account import ImapAccount, done, snapshot
from tests.interop.imap.filling import letters
from tests.interop.imap.mbsync import Mbsync
from tests.interop.imap.strict import SOURCE, Strict
from tests.interop.tools import run, tool


def test_logins_wait_for_tls(strict_server: Strict) -> None:
    """RFC 9051 6.2.3: LOGINDISABLED, and no AUTH= of passwords in the clear; tried all the same, they are refused."""
    client = strict_server.imaplib()
    try:
        assert "LOGINDISABLED" in client.capabilities and "STARTTLS" in client.capabilities
        assert "AUTH=PLAIN" not in client.capabilities
        with pytest.raises(imaplib.IMAP4.error):
            client.login(strict_server.user, strict_server.password)
        done(client.starttls(ssl.create_default_context(cafile=str(strict_server.ca_file))))
        assert "LOGINDISABLED" not in client.capabilities and "STARTTLS" not in client.capabilities
        assert "AUTH=PLAIN" in client.capabilities
        done(client.login(strict_server.user, strict_server.password))
        done(client.select())
        client.logout()
    finally:
        with suppress(OSError):  # LOGOUT has closed it already
            client.shutdown()


def test_the_password_is_refused_on_the_wire(strict_server: Strict) -> None:
    with strict_server.wire() as wire:
        assert wire.line().startswith(b"* OK")
        wire.send(f'a LOGIN {strict_server.user} "{strict_server.password}"\r\n'.encode())
        answers = [wire.line()]
        while not answers[-1].startswith(b"a "):
            answers.append(wire.line())
        assert answers[-1].startswith(b"a NO [PRIVACYREQUIRED]"), answers


def test_nothing_crosses_the_handshake(strict_server: Strict) -> None:
    """What was sent in the clear after STARTTLS is never answered inside (CVE-2011-0411)."""
    with strict_server.wire() as wire:
        wire.line()
        wire.send(b"a STARTTLS\r\nb NOOP\r\n")
        assert wire.line().startswith(b"a ")
        try:
            wire.start_tls()
            wire.send(b"c NOOP\r\n")
            answers = wire.line()
        except (OSError, ssl.SSLError):
            return
        assert answers == b"" or answers.startswith(b"c OK"), answers


def test_curl_without_tls_sends_no_password(strict_server: Strict, tmp_path: Path) -> None:
    command = [tool("curl"), "--silent", "--show-error", "--interface", SOURCE, "--verbose"]
    command += ["--user", f"{strict_server.user}:{strict_server.password}", f"imap://127.0.0.1:{strict_server.port}/"]
    said = run(*command, home=tmp_path, allowed=(67,))  # login denied
    assert "LOGIN " not in said and "AUTHENTICATE" not in said


@pytest.mark.parametrize("tls", ["IMAPS", "STARTTLS"])
def test_mbsync_both_ways(account: ImapAccount, tmp_path: Path, tls: str) -> None:
    with account.imapclient() as client:
        for message in letters("INBOX", 3):
            client.append("INBOX", message)
    mbsync = Mbsync(account, tmp_path, tls)
    mbsync.sync()
    assert mbsync.tree.contents()["INBOX"] == sorted(snapshot(account)["INBOX"].values())
