"""Logins over the POP3 engine: a foreign SCRAM client, refusals, and what is counted."""

from base64 import b64decode, b64encode

import pytest
from scramp import ScramClient

from posthouse.message.credentials import ScramKeys
from posthouse.protocol.authentication import MAX_FAILED_LOGINS
from posthouse.protocol.events import KeysWanted, LoginFailed, LoginProven, LoginRefused, PasswordOffered, SessionEnded
from posthouse.protocol.pop3.server import Pop3Server
from posthouse.protocol.pop3.settings import MAX_ERRORS
from tests.protocol.pop3.talk import SMALL, ask, engine, events, feed

BINDING = ("tls-server-end-point", b"digest of the certificate")
KEYS = ScramKeys.derive("pencil", bytes(16), 4096)


def scram(server: Pop3Server, password: str, *, plus: bool, initial: bool) -> tuple[list[object], ScramClient]:
    """Up to the client's proof; the events it led to."""
    name = "SCRAM-SHA-256-PLUS" if plus else "SCRAM-SHA-256"
    client = ScramClient([name], "alice", password, channel_binding=BINDING if plus else None)
    first = b64encode(client.get_client_first().encode())
    if initial:
        found = feed(server, b"AUTH %b %b\r\n" % (name.encode(), first))
    else:
        assert ask(server, b"auth " + name.lower().encode()) == b"+ \r\n"
        found = feed(server, first + b"\r\n")
    assert found == [KeysWanted("alice")]
    server.provide_keys(KEYS)
    client.set_server_first(challenge(server))
    return feed(server, b64encode(client.get_client_final().encode()) + b"\r\n"), client


def challenge(server: Pop3Server) -> str:
    said = server.data_to_send()
    assert said.startswith(b"+ ") and said.endswith(b"\r\n")
    return b64decode(said[2:-2], validate=True).decode()


def under_tls(plus: bool) -> Pop3Server:
    server = engine(plaintext_auth=False)
    feed(server, b"STLS\r\n")
    server.tls_started(dict([BINDING]) if plus else {})
    server.data_to_send()
    return server


@pytest.mark.parametrize("initial", [False, True])
@pytest.mark.parametrize("plus", [False, True])
def test_scram_with_a_foreign_client(plus: bool, initial: bool) -> None:
    server = under_tls(plus)
    found, client = scram(server, "pencil", plus=plus, initial=initial)
    assert found == [LoginProven("alice")]
    server.accept_login(SMALL)
    client.set_server_final(challenge(server))  # raises when the server has not proved itself
    assert ask(server, b"") == b"+OK 3 messages (60 octets)\r\n"
    assert ask(server, b"STAT") == b"+OK 3 60\r\n"


@pytest.mark.parametrize("plus", [False, True])
def test_scram_with_a_wrong_password(plus: bool) -> None:
    server = under_tls(plus)
    found, _ = scram(server, "crayon", plus=plus, initial=True)
    assert found == [LoginFailed("alice")]
    server.refuse_login("AUTH", "wrong login or password")
    assert server.data_to_send() == b"-ERR [AUTH] wrong login or password\r\n"
    assert ask(server, b"STAT").startswith(b"-ERR")


def test_scram_refused_before_its_keys() -> None:
    server = under_tls(False)
    assert feed(server, b"AUTH SCRAM-SHA-256 %b\r\n" % b64encode(b"n,,n=alice,r=abc")) == [KeysWanted("alice")]
    server.refuse_login("LOGIN-DELAY", "wait")
    assert server.data_to_send() == b"-ERR [LOGIN-DELAY] wait\r\n"
    assert ask(server, b"USER alice") == b"+OK now PASS\r\n"


def test_scram_refused_after_its_proof() -> None:
    server = under_tls(False)
    found, _ = scram(server, "pencil", plus=False, initial=True)
    assert found == [LoginProven("alice")]
    server.refuse_login("IN-USE", "open elsewhere")
    assert server.data_to_send() == b"-ERR [IN-USE] open elsewhere\r\n"
    assert feed(server, b"USER alice\r\nPASS secret\r\n") == [PasswordOffered("alice", "secret")]
    server.accept_login(SMALL)
    assert server.data_to_send().endswith(b"+OK 3 messages (60 octets)\r\n")  # nothing is left of the exchange


def test_stopping_between_the_steps() -> None:
    server = under_tls(False)
    feed(server, b"AUTH SCRAM-SHA-256 %b\r\n" % b64encode(b"n,,n=alice,r=abc"))
    server.shut_down()
    server.provide_keys(KEYS)
    assert events(server) == [SessionEnded("the server is stopping")]


def test_stopping_before_the_last_word_is_acknowledged() -> None:
    server = under_tls(False)
    scram(server, "pencil", plus=False, initial=True)
    server.accept_login(SMALL)
    server.shut_down()
    assert server.closing and server.data_to_send().endswith(
        b"-ERR [SYS/TEMP] the server is stopping, try again later\r\n"
    )


@pytest.mark.parametrize(
    ("code", "times"), [("AUTH", MAX_FAILED_LOGINS), ("", MAX_FAILED_LOGINS), ("IN-USE", MAX_ERRORS)]
)
def test_refusals_are_counted(code: str, times: int) -> None:
    server = engine()
    for number in range(times):
        assert not server.closing, number
        assert feed(server, b"USER alice\r\nPASS wrong\r\n") == [PasswordOffered("alice", "wrong")]
        server.refuse_login(code, "no")
    assert server.closing


@pytest.mark.parametrize(
    "line", [b"USER alice", b"PASS secret", b"AUTH PLAIN AGFsaWNlAHNlY3JldA==", b"AUTH SCRAM-SHA-256"]
)
def test_no_login_without_tls(line: bytes) -> None:
    server = engine(plaintext_auth=False)
    assert feed(server, line + b"\r\n") == [LoginRefused("without TLS")]
    said = server.data_to_send()
    assert said.startswith(b"-ERR ") and b"STLS" in said and b"995" in said
    for _ in range(MAX_ERRORS - 1):
        feed(server, line + b"\r\n")
    assert server.closing


@pytest.mark.parametrize("password", [" ", "  two  words ", "ünïcode", "a\tb", "x" * 248])
def test_passwords_are_kept_as_they_are(password: str) -> None:
    server = engine()
    assert feed(server, b"USER alice\r\nPASS %b\r\n" % password.encode()) == [PasswordOffered("alice", password)]


def test_a_new_user_replaces_the_old_one() -> None:
    server = engine()
    assert feed(server, b"USER bob\r\nUSER \xff\r\nPASS x\r\n") == []
    assert feed(server, b"USER bob\r\nUSER alice\r\nPASS x\r\n") == [PasswordOffered("alice", "x")]
