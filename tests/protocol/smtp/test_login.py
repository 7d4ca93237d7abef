"""AUTH with a foreign SCRAM client, with channel bindings, and what a failed login costs."""

from base64 import b64decode, b64encode

import pytest
from scramp import ScramClient

from posthouse.message.credentials import ScramKeys
from posthouse.message.reply import Reply
from posthouse.protocol.authentication import MAX_FAILED_LOGINS
from posthouse.protocol.events import KeysWanted, LoginFailed, LoginProven, PasswordOffered, SessionEnded
from posthouse.protocol.smtp.events import CommandRefused
from posthouse.protocol.smtp.server import SmtpServer, SmtpSettings, Variant

BINDING = ("tls-server-end-point", b"digest of the certificate")
KEYS = ScramKeys.derive("secret", b"salt of 16 octet", 4096)


def server(*, bindings: dict[str, bytes] | None = None) -> SmtpServer:
    made = SmtpServer(
        SmtpSettings("mx.test", Variant.SUBMISSION, auth=True), bindings=bindings, secure=True, nonce=lambda: "server"
    )
    made.receive_data(b"EHLO c\r\n")
    assert made.next_event() is None
    return made


def challenge(engine: SmtpServer) -> str:
    reply = engine.data_to_send()
    assert reply.startswith(b"334 ")
    return b64decode(reply[4:]).decode()


@pytest.mark.parametrize("plus", [False, True])
def test_scram_with_a_foreign_client(plus: bool) -> None:
    engine = server(bindings=dict([BINDING]) if plus else None)
    announced = engine.data_to_send()
    assert (b"SCRAM-SHA-256-PLUS" in announced) == plus
    mechanism = "SCRAM-SHA-256-PLUS" if plus else "SCRAM-SHA-256"
    client = ScramClient([mechanism], "alice", "secret", channel_binding=BINDING if plus else None)
    engine.receive_data(f"AUTH {mechanism} ".encode() + b64encode(client.get_client_first().encode()) + b"\r\n")
    assert engine.next_event() == KeysWanted("alice")
    engine.provide_keys(KEYS)
    client.set_server_first(challenge(engine))
    engine.receive_data(b64encode(client.get_client_final().encode()) + b"\r\n")
    assert engine.next_event() == LoginProven("alice")
    assert not engine.authenticated
    engine.accept_login()
    client.set_server_final(challenge(engine))
    assert not engine.authenticated  # RFC 4954 4: only after the empty response
    engine.receive_data(b"\r\n")
    assert engine.next_event() is None
    assert engine.authenticated and engine.data_to_send().startswith(b"235 2.7.0 ")


def test_a_proof_that_does_not_hold_is_the_sessions_to_answer() -> None:
    engine = server()
    engine.data_to_send()
    client = ScramClient(["SCRAM-SHA-256"], "alice", "wrong")
    engine.receive_data(b"AUTH SCRAM-SHA-256 " + b64encode(client.get_client_first().encode()) + b"\r\n")
    assert engine.next_event() == KeysWanted("alice")
    engine.provide_keys(KEYS)
    client.set_server_first(challenge(engine))
    engine.receive_data(b64encode(client.get_client_final().encode()) + b"\r\n")
    assert engine.next_event() == LoginFailed("alice")
    engine.receive_data(b"NOOP\r\n")
    assert engine.next_event() is None and engine.data_to_send() == b""
    engine.refuse_login(Reply(535, "5.7.8", "Wrong login or password"))
    assert isinstance(engine.next_event(), CommandRefused)
    assert engine.next_event() is None and not engine.authenticated
    assert engine.data_to_send().startswith(b"535 5.7.8 ")


def test_keys_may_be_refused() -> None:
    engine = server()
    engine.data_to_send()
    engine.receive_data(b"AUTH SCRAM-SHA-256 " + b64encode(b"n,,n=alice,r=abc") + b"\r\n")
    assert engine.next_event() == KeysWanted("alice")
    engine.refuse_login(Reply(454, "4.7.0", "Wait"))
    assert engine.data_to_send() == b"454 4.7.0 Wait\r\n"
    assert isinstance(engine.next_event(), CommandRefused)
    engine.receive_data(b"NOOP\r\n")
    assert engine.next_event() is None
    assert engine.data_to_send().startswith(b"250 ")


@pytest.mark.parametrize(("code", "closes"), [(535, True), (454, False)])
def test_wrong_logins_are_counted_and_busy_servers_are_not(code: int, closes: bool) -> None:
    engine = server()
    for _ in range(MAX_FAILED_LOGINS):
        engine.receive_data(b"AUTH PLAIN AGFsaWNlAHdyb25n\r\n")
        assert isinstance(engine.next_event(), PasswordOffered)
        engine.refuse_login(Reply(code, f"{code // 100}.7.0", "No"))
        assert isinstance(engine.next_event(), CommandRefused)
    assert engine.closing == closes
    if closes:
        assert isinstance(engine.next_event(), CommandRefused)
        assert engine.next_event() == SessionEnded("too many failed logins")
        assert engine.data_to_send().endswith(b"421 4.7.0 mx.test too many failed logins; closing connection\r\n")


def test_the_last_words_want_an_empty_response() -> None:
    engine = server()
    client = ScramClient(["SCRAM-SHA-256"], "alice", "secret")
    engine.data_to_send()
    engine.receive_data(b"AUTH SCRAM-SHA-256 " + b64encode(client.get_client_first().encode()) + b"\r\n")
    engine.next_event()
    engine.provide_keys(KEYS)
    client.set_server_first(challenge(engine))
    engine.receive_data(b64encode(client.get_client_final().encode()) + b"\r\n")
    engine.next_event()
    engine.accept_login()
    engine.data_to_send()
    engine.receive_data(b"YQ==\r\n")
    assert isinstance(engine.next_event(), CommandRefused)
    assert engine.data_to_send().startswith(b"501 5.5.2 ") and not engine.authenticated


def test_shutting_down_between_two_responses() -> None:
    engine = server()
    engine.data_to_send()
    engine.receive_data(b"AUTH SCRAM-SHA-256 " + b64encode(b"n,,n=alice,r=abc") + b"\r\n")
    assert engine.next_event() == KeysWanted("alice")
    engine.shut_down()
    assert not engine.closing
    engine.provide_keys(KEYS)
    assert engine.next_event() == SessionEnded("the server is stopping")
    assert [line[:4] for line in engine.data_to_send().splitlines()] == [b"334 ", b"421 "]
    engine.accept_login()
    assert not engine.authenticated
