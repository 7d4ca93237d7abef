"""The SASL exchange as SMTP, POP3 and IMAP carry it: one behaviour, three wordings."""

from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from posthouse.message.reply import Reply
from posthouse.protocol.authentication import MAX_FAILED_LOGINS, initial_response
from posthouse.protocol.events import KeysWanted, PasswordOffered, SessionEnded
from posthouse.protocol.imap.server import ImapServer
from posthouse.protocol.imap.settings import ImapSettings
from posthouse.protocol.pop3.events import MaildropContents
from posthouse.protocol.pop3.server import Pop3Server, Pop3Settings
from posthouse.protocol.smtp.server import SmtpServer, SmtpSettings

Server = SmtpServer | Pop3Server | ImapServer
ALICE = b64encode(b"\0alice\0secret")


@dataclass(frozen=True)
class Protocol:
    """How one of them begins a login, and what stands before its challenges and refusals."""

    make: Callable[[], Server]
    auth: bytes
    challenge: bytes
    refusal: bytes
    accept: Callable[[Server], None]
    refuse: Callable[[Server], None]


def _smtp() -> SmtpServer:
    server = SmtpServer(SmtpSettings("mx.test", auth=True, plaintext_auth=True), nonce=lambda: "nonce")
    server.receive_data(b"EHLO client.test\r\n")
    while server.next_event() is not None:
        pass
    return server


def _accept(server: Server) -> None:
    if isinstance(server, Pop3Server):
        server.accept_login(MaildropContents((), ()))
    else:
        server.accept_login()


def _refuse(server: Server) -> None:
    if isinstance(server, SmtpServer):
        server.refuse_login(Reply(535, "5.7.8", "Wrong"))
    elif isinstance(server, Pop3Server):
        server.refuse_login("AUTH", "wrong")
    else:
        server.refuse_login("AUTHENTICATIONFAILED", "Wrong", guess=True)


PROTOCOLS = {
    "smtp": Protocol(_smtp, b"AUTH", b"334 ", b"5", _accept, _refuse),
    "pop3": Protocol(
        lambda: Pop3Server(Pop3Settings("pop.test", plaintext_auth=True), nonce=lambda: "nonce"),
        b"AUTH",
        b"+ ",
        b"-ERR",
        _accept,
        _refuse,
    ),
    "imap": Protocol(
        lambda: ImapServer(ImapSettings("imap.test", plaintext_auth=True), secure=False, nonce=lambda: "nonce"),
        b"a AUTHENTICATE",
        b"+ ",
        b"a BAD",
        _accept,
        _refuse,
    ),
}


@pytest.fixture(params=sorted(PROTOCOLS))
def protocol(request: pytest.FixtureRequest) -> Protocol:
    """Each of them."""
    found: Protocol = PROTOCOLS[request.param]
    return found


def talk(server: Server, line: bytes) -> tuple[list[object], bytes]:
    """One line; the offers and the answer it leads to."""
    server.data_to_send()
    server.receive_data(line + b"\r\n")
    found = [event for event in iter(server.next_event, None) if type(event) in (PasswordOffered, KeysWanted)]
    return found, server.data_to_send()


@pytest.mark.parametrize("initial", [False, True])
def test_plain(protocol: Protocol, initial: bool) -> None:
    server = protocol.make()
    if initial:
        found, _ = talk(server, protocol.auth + b" PLAIN " + ALICE)
    else:
        assert talk(server, protocol.auth + b" PLAIN") == ([], protocol.challenge + b"\r\n")
        found, _ = talk(server, ALICE)
    assert found == [PasswordOffered("alice", "secret")]
    protocol.accept(server)
    assert not server.data_to_send().startswith(protocol.refusal)


def test_login_asks_twice(protocol: Protocol) -> None:
    server = protocol.make()
    assert talk(server, protocol.auth + b" LOGIN") == ([], protocol.challenge + b64encode(b"Username:") + b"\r\n")
    assert talk(server, b64encode(b"alice")) == ([], protocol.challenge + b64encode(b"Password:") + b"\r\n")
    assert talk(server, b64encode(b"secret"))[0] == [PasswordOffered("alice", "secret")]


def test_a_star_cancels_and_a_command_is_read_next(protocol: Protocol) -> None:
    server = protocol.make()
    talk(server, protocol.auth + b" PLAIN")
    assert talk(server, b"*")[1].startswith(protocol.refusal)
    assert talk(server, protocol.auth + b" PLAIN " + ALICE)[0] == [PasswordOffered("alice", "secret")]


@pytest.mark.parametrize(
    "response", [b"====", b"AA=", b"AAA", b"A===", b"AAAA====", b"AA A", b"A*==", b"\xff\xff\xff\xff"]
)
@pytest.mark.parametrize("initial", [False, True])
def test_one_rule_for_base64(protocol: Protocol, response: bytes, initial: bool) -> None:
    server = protocol.make()
    if initial and response.isascii() and b" " not in response:
        answer = talk(server, protocol.auth + b" PLAIN " + response)[1]
    else:
        talk(server, protocol.auth + b" PLAIN")
        answer = talk(server, response)[1]
    assert answer.startswith(protocol.refusal), answer
    assert initial_response(response) is None


def test_an_initial_response_may_be_empty() -> None:
    assert initial_response(b"=") == b""
    assert initial_response(b"YQ==") == b"a"


def test_too_many_failed_logins_are_the_end(protocol: Protocol) -> None:
    server = protocol.make()
    for _ in range(MAX_FAILED_LOGINS):
        assert not server.closing
        assert talk(server, protocol.auth + b" PLAIN " + ALICE)[0]
        protocol.refuse(server)
    assert server.closing
    assert list(iter(server.next_event, None))[-1] == SessionEnded("too many failed logins")


def test_an_answer_after_the_end_is_nobodys_fault(protocol: Protocol) -> None:
    server = protocol.make()
    talk(server, protocol.auth + b" PLAIN " + ALICE)
    server.fail()
    server.data_to_send()
    protocol.accept(server)
    protocol.refuse(server)
    assert server.data_to_send() == b""
