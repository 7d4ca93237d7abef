"""The POP3 engine against the contract of engines: octets, offers, back-pressure, the end."""

import tracemalloc

import pytest

from posthouse.protocol.engine_core import MAX_UNSENT
from posthouse.protocol.events import PasswordOffered, SessionEnded, StartTlsOffered
from posthouse.protocol.pop3.events import MaildropContents, MessageWanted, QuitOffered
from posthouse.protocol.pop3.settings import MAX_ERRORS
from tests.protocol.pop3.talk import ask, engine, events, feed, logged_in

LARGE = MaildropContents([1234] * 200_000, [f"1f.{number:x}" for number in range(200_000)])


def test_patience_is_ten_minutes() -> None:
    assert engine().patience == 600  # RFC 1939 3: at least


def test_nothing_is_parsed_while_an_offer_waits() -> None:
    server = engine()
    assert feed(server, b"USER alice\r\nPASS secret\r\nSTAT\r\n") == [PasswordOffered("alice", "secret")]
    assert server.data_to_send() == b"+OK now PASS\r\n"
    assert feed(server, b"NOOP\r\n") == []
    assert server.data_to_send() == b""
    server.accept_login(MaildropContents((), ()))
    assert events(server) == []
    assert server.data_to_send() == b"+OK 0 messages (0 octets)\r\n+OK 0 0\r\n+OK still here\r\n"


def test_data_to_send_is_given_once() -> None:
    server = engine()
    assert ask(server, b"CAPA")
    assert server.data_to_send() == b""


def test_a_peer_that_does_not_read_cannot_fill_the_memory() -> None:
    server = logged_in()
    server.receive_data(b"UIDL\r\n" * 100_000)
    assert events(server) == []
    while server.has_more:
        assert events(server) == []
    said = server.data_to_send()
    assert MAX_UNSENT <= len(said) < MAX_UNSENT + 100
    answers = said.count(b"+OK")
    while said or server.has_more:
        assert events(server) == []
        said = server.data_to_send()
        answers += said.count(b"+OK")
    assert answers == 100_000


@pytest.mark.parametrize("command", [b"LIST", b"UIDL"])
def test_a_large_maildrop_is_listed_in_pieces(command: bytes) -> None:
    server = logged_in(LARGE)
    pieces = []
    tracemalloc.start()
    server.receive_data(command + b"\r\nNOOP\r\n")
    while events(server) == [] and (piece := server.data_to_send()):
        pieces.append(len(piece))
        last = piece
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert max(pieces) < 2 * MAX_UNSENT and len(pieces) > 20
    assert last.endswith(b"\r\n.\r\n+OK still here\r\n")
    assert peak < 2 << 20


def test_a_listing_in_pieces_is_whole() -> None:
    server = logged_in(LARGE)
    for number in (1, 2048, 2049, 4096, 200_000):
        ask(server, b"DELE %d" % number)
    server.receive_data(b"LIST\r\n")
    said = b""
    while events(server) == [] and (piece := server.data_to_send()):
        said += piece
    lines = said.decode().split("\r\n")
    assert lines[0] == f"+OK 199995 messages, {199_995 * 1234} octets"
    assert lines[1:-2] == [f"{n} 1234" for n in range(1, 200_001) if n not in {1, 2048, 2049, 4096, 200_000}]
    assert lines[-2:] == [".", ""]


def test_an_endless_line_is_not_kept() -> None:
    server = engine()
    tracemalloc.start()
    for _ in range(100):
        assert feed(server, b"x" * 100) == []
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 << 10
    assert server.data_to_send() == b"-ERR line too long\r\n"
    assert feed(server, b"x" * (64 << 10)) == [SessionEnded("a line without end")]
    assert server.closing


def test_nothing_is_taken_in_after_the_end() -> None:
    server = engine()
    assert feed(server, b"QUIT\r\n") == [SessionEnded("quit")]
    assert server.data_to_send() == b"+OK goodbye\r\n"
    assert feed(server, b"USER alice\r\n" * 1000) == []
    assert server.data_to_send() == b""


def test_the_end_of_input() -> None:
    server = engine()
    server.receive_data(b"USER alice\r\nNO")
    server.receive_eof()
    assert events(server) == [SessionEnded("the client hung up")]
    assert server.closing and server.data_to_send() == b"+OK now PASS\r\n"


def test_the_end_of_input_waits_for_the_answer() -> None:
    server = logged_in()
    assert feed(server, b"QUIT\r\n") == [QuitOffered(())]
    server.receive_eof()
    assert events(server) == [] and not server.closing
    server.accept_quit()
    assert events(server) == [SessionEnded("quit")]


def test_errors_are_counted() -> None:
    server = engine()
    for _ in range(MAX_ERRORS - 1):
        assert ask(server, b"FOO") == b"-ERR unknown command\r\n"
    assert feed(server, b"FOO\r\nFOO\r\n") == [SessionEnded("too many errors")]
    assert server.data_to_send() == b"-ERR too many errors, goodbye\r\n"


def test_a_timeout_is_silent() -> None:
    server = logged_in()
    ask(server, b"DELE 1")
    server.time_out()
    assert server.data_to_send() == b""  # RFC 1939 3
    assert server.closing and events(server) == [SessionEnded("nothing came for too long")]


def test_shut_down_when_idle() -> None:
    server = engine()
    server.shut_down()
    assert server.closing
    assert server.data_to_send() == b"-ERR [SYS/TEMP] the server is stopping, try again later\r\n"
    assert events(server) == [SessionEnded("the server is stopping")]


def test_shut_down_lets_quit_finish() -> None:
    server = logged_in()
    feed(server, b"DELE 2\r\nQUIT\r\n")
    server.shut_down()
    assert not server.closing
    server.accept_quit()
    assert server.data_to_send().endswith(b"+OK goodbye\r\n") and server.closing


def test_shut_down_lets_a_message_finish() -> None:
    server = logged_in()
    feed(server, b"RETR 1\r\nRETR 2\r\n")
    server.begin_message(10, False, False)
    server.shut_down()
    assert server.send_chunk(b"12345678\r\n")
    server.end_message()
    assert events(server) == [SessionEnded("the server is stopping")]
    said = server.data_to_send()
    assert said == (b"+OK 10 octets\r\n12345678\r\n.\r\n-ERR [SYS/TEMP] the server is stopping, try again later\r\n")


def test_shut_down_lets_a_listing_finish() -> None:
    server = logged_in(LARGE)
    feed(server, b"LIST\r\nLIST\r\n")
    server.shut_down()
    said = b""
    while piece := server.data_to_send():
        said += piece
        events(server)
    assert server.closing
    assert said.count(b"\r\n") == 200_000 + 3
    assert said.endswith(b"\r\n.\r\n-ERR [SYS/TEMP] the server is stopping, try again later\r\n")


def test_shut_down_twice_ends_at_once() -> None:
    server = engine()
    feed(server, b"USER alice\r\nPASS secret\r\n")
    server.data_to_send()
    server.shut_down()
    assert not server.closing
    server.shut_down()
    assert server.closing and server.data_to_send().startswith(b"-ERR [SYS/TEMP]")
    server.accept_login(MaildropContents((), ()))  # comes too late, and is nobody's fault
    assert server.data_to_send() == b""


def test_nothing_is_said_inside_a_message() -> None:
    server = logged_in()
    feed(server, b"RETR 1\r\n")
    server.begin_message(10, False, False)
    server.send_chunk(b"1234")
    server.shut_down()
    server.shut_down()
    assert server.closing
    assert server.data_to_send() == b"+OK 10 octets\r\n1234"
    assert not server.send_chunk(b"5678\r\n")
    server.end_message()
    assert server.data_to_send() == b""


def test_nothing_is_said_inside_a_listing() -> None:
    server = logged_in(LARGE)
    feed(server, b"LIST\r\n")
    server.data_to_send()
    server.time_out()
    assert server.closing and server.data_to_send() == b""


def test_answers_nobody_asked_for_are_bugs() -> None:
    server = logged_in()
    for answer in (
        lambda: server.accept_login(MaildropContents((), ())),
        lambda: server.refuse_login("AUTH", "no"),
        lambda: server.begin_message(1, False, False),
        lambda: server.send_chunk(b"x"),
        server.end_message,
        server.accept_quit,
        lambda: server.reject("", "no"),
        lambda: server.tls_started({}),
    ):
        with pytest.raises(RuntimeError):
            answer()
    assert feed(server, b"RETR 1\r\n") == [MessageWanted(1)]
    with pytest.raises(RuntimeError):
        server.accept_quit()
    server.reject("SYS/PERM", "gone")
    assert server.data_to_send() == b"-ERR [SYS/PERM] gone\r\n"


def test_a_message_that_has_begun_cannot_be_refused() -> None:
    server = logged_in()
    feed(server, b"RETR 1\r\n")
    server.begin_message(10, False, False)
    with pytest.raises(RuntimeError):
        server.reject("SYS/TEMP", "the disk is gone")


def test_what_was_sent_before_the_handshake_is_forgotten() -> None:
    server = engine()
    assert feed(server, b"USER alice\r\nSTLS\r\nPASS secret\r\nUSER") == [StartTlsOffered()]
    assert server.data_to_send() == b"+OK now PASS\r\n+OK begin TLS\r\n"
    assert feed(server, b" alice\r\n") == []
    server.tls_started({"tls-server-end-point": b"digest"})
    assert ask(server, b"PASS secret") == b"-ERR USER comes first\r\n"
    assert b"SASL SCRAM-SHA-256-PLUS " in ask(server, b"CAPA")


def test_a_bug_is_told_as_one() -> None:
    server = logged_in()
    feed(server, b"RETR 1\r\n")
    server.fail()
    assert server.data_to_send() == b"-ERR [SYS/TEMP] internal error, goodbye\r\n"
    assert events(server) == [SessionEnded("internal error")] and server.closing


def test_no_bug_is_told_inside_a_message() -> None:
    server = logged_in()
    feed(server, b"RETR 1\r\n")
    server.begin_message(10, False, False)
    server.send_chunk(b"1234")
    server.fail()
    assert server.data_to_send() == b"+OK 10 octets\r\n1234" and server.closing
