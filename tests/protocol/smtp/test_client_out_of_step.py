"""The client engine towards servers that are one reply off, in every place: none of them costs a message.

Delivered is said only of what the server has taken, refused only of what it has refused, and once the conversation is
broken not one octet is written. A message goes out twice only where SMTP has no answer: the server's last word on it
was lost.
"""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.message.reply import Reply
from posthouse.protocol.smtp import client
from posthouse.protocol.smtp.client import OutgoingTransaction, SmtpClient, SmtpClientState
from tests.protocol.smtp.scripted_server import Fault, Script, Server

PIECES = (b"Subject: x\r\n\r\n.\r\n", b"..two\r\nQUIT\r\n", b"end\r\n")
# What shows only after the content's end was written, so that the message may have been taken.
SENT_TWICE = {
    (Fault.DROP, "END"),
    (Fault.DROP, "BDAT"),
    (Fault.CODE, "END"),
    (Fault.EXTRA_REFUSAL, "END"),
    (Fault.LATE, "DATA"),
    (Fault.LATE, "BDAT"),
}


def hold_conversation(server: Server) -> tuple[Reply | None, ...]:
    """Send one message as a courier does; the final answer of each recipient, None: none."""
    engine = SmtpClient("me.test")
    recipients = [f"r{n}@mx.test" for n in range(len(server.script.recipients))]
    answers: tuple[Reply | None, ...] = (None,) * len(recipients)
    while True:
        event = engine.next_event()
        server.receive(engine.data_to_send())
        match event:
            case None:
                heard = server.replies()
                engine.receive_data(heard)
                if not heard and server.hung_up:
                    engine.receive_eof()
                elif not heard:
                    engine.time_out()
            case client.Ready():
                chunked = "CHUNKING" in engine.extensions
                engine.transact(OutgoingTransaction("a@me.test", recipients, chunked=chunked))
            case client.ContentWanted():
                send_content(engine, server)
            case client.Finished():
                answers = event.replies
                engine.next_event()
                break
            case client.Broken():
                answers = event.refusals or answers
                assert engine.state is SmtpClientState.CLOSED
                break
            case _:
                break
    if engine.state is SmtpClientState.CLOSED:
        engine.quit()
        assert engine.data_to_send() == b""
    return answers


def send_content(engine: SmtpClient, server: Server) -> None:
    for piece in PIECES:
        engine.send_content(piece)
        server.receive(engine.data_to_send())
        engine.receive_data(server.replies())
        if engine.state is not SmtpClientState.CONTENT:
            return
        if engine.content_refused:
            break
    engine.end_content()


def check(script: Script) -> None:
    server = Server(script)
    answers = hold_conversation(server)
    for n, answer in enumerate(answers):
        if answer is not None and answer.code < 300:
            assert n in server.taken, f"{n} counts as delivered: {answer}"
        elif answer is not None and answer.code >= 500:
            assert n in server.refused, f"{n} counts as refused: {answer}"
        if n in server.taken and (answer is None or answer.code >= 300):
            assert (script.fault, server.hit) in SENT_TWICE, f"{n} is sent twice, since {server.hit} was struck"
    assert len(server.messages) <= 1
    assert all(message == b"".join(PIECES) for message in server.messages if server.taken)


CODES = st.sampled_from([250, 250, 250, 251, 252, 450, 550])
SCRIPTS = st.builds(
    Script,
    st.lists(CODES, min_size=1, max_size=3),
    mail=st.sampled_from([250, 250, 250, 450, 550]),
    data=st.sampled_from([354, 354, 354, 451, 554]),
    end=st.sampled_from([250, 250, 451, 554]),
    chunk=st.sampled_from([250, 250, 452, 552]),
    extensions=st.sampled_from([(), ("PIPELINING",), ("PIPELINING", "CHUNKING"), ("CHUNKING",)]),
    fault=st.sampled_from(Fault),
    at=st.integers(0, 11),
    code=st.sampled_from([200, 214, 220, 221, 235, 251, 299, 300, 334, 354, 399, 250]),
)


@settings(max_examples=500)
@given(SCRIPTS)
def test_nothing_is_lost_or_refused_by_mistake(script: Script) -> None:
    check(script)


@pytest.mark.parametrize("extensions", [(), ("PIPELINING",), ("CHUNKING",), ("PIPELINING", "CHUNKING")])
@pytest.mark.parametrize("fault", Fault)
def test_every_reply_is_struck_once(fault: Fault, extensions: tuple[str, ...]) -> None:
    """A message for three, one of whom is refused, and one that is refused as a whole."""
    script = Script([250, 550, 250], extensions=extensions, fault=fault)
    for at in range(12):
        for code in (200, 250, 354):
            check(replace(script, at=at, code=code))
            check(replace(script, at=at, code=code, end=554))
            check(replace(script, at=at, code=code, data=554))
            check(replace(script, at=at, code=code, mail=550))
            check(replace(script, at=at, code=code, recipients=[550]))


@pytest.mark.parametrize("extensions", [(), ("PIPELINING",), ("CHUNKING",), ("PIPELINING", "CHUNKING")])
def test_a_server_in_step_is_believed(extensions: tuple[str, ...]) -> None:
    taken = hold_conversation(Server(Script([250, 550, 251, 252], extensions=extensions)))
    assert [reply.code for reply in taken if reply is not None] == [250, 550, 250, 250]
    refused = hold_conversation(Server(Script([250, 250], end=554, extensions=extensions)))
    assert [reply.code for reply in refused if reply is not None] == [554, 554]


@pytest.mark.parametrize("recipients", [[550], [550, 551]])
def test_who_hangs_up_has_refused_all_the_same(recipients: list[int]) -> None:
    """RFC 5321 4.2.1: a 5yz is final, even from a server that does not wait for our next command."""
    script = Script(recipients, fault=Fault.HANG_UP, at=2 + len(recipients))
    refused = hold_conversation(Server(script))
    assert [reply.code for reply in refused if reply is not None] == recipients


def engine_with(*heard: bytes, extensions: bytes = b"") -> SmtpClient:
    """An engine that has heard a greeting and a hello, and these in a transaction with one recipient."""
    engine = SmtpClient("me.test")
    for octets in (b"220 mx.test\r\n", b"250-mx.test\r\n" + extensions + b"250 HELP\r\n"):
        engine.receive_data(octets)
        while engine.next_event() is not None:
            pass
        engine.data_to_send()
    if heard:
        engine.transact(OutgoingTransaction("a@me.test", ["r0@mx.test"]))
    for octets in heard:
        engine.data_to_send()
        engine.receive_data(octets)
        engine.next_event()
    return engine


def assert_broken(engine: SmtpClient) -> None:
    """It is over without a word."""
    event = engine.next_event()
    assert isinstance(event, client.Broken)
    assert event.refusals == ()
    assert engine.state is SmtpClientState.CLOSED
    engine.quit()
    assert engine.data_to_send() == b""


@pytest.mark.parametrize("early", [b"2", b"250 ok\r\n", b"250-ok\r\n"])
def test_octets_that_come_before_a_command(early: bytes) -> None:
    engine = engine_with()
    engine.receive_data(early)
    engine.transact(OutgoingTransaction("a@me.test", ["b@mx.test"]))
    assert engine.data_to_send() == b""
    assert_broken(engine)


@pytest.mark.parametrize("behind", [b"2", b"354 go\r\n", b"250-ok\r\n"])
def test_octets_behind_the_go_ahead(behind: bytes) -> None:
    engine = engine_with(b"250 ok\r\n", b"250 ok\r\n")
    engine.data_to_send()
    engine.receive_data(b"354 go\r\n" + behind)
    assert_broken(engine)


@pytest.mark.parametrize("late", [b"2", b"354 go\r\n", b"250 ok\r\n", b"552 too big\r\n"])
def test_octets_that_come_before_the_end_is_written(late: bytes) -> None:
    engine = engine_with(b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n")
    assert engine.state is SmtpClientState.CONTENT
    engine.receive_data(late)
    engine.end_content(b"all of it\r\n")
    assert engine.data_to_send() == b""
    assert_broken(engine)


def test_what_was_not_written_yet_never_is() -> None:
    engine = engine_with(b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n")
    engine.send_content(b"half of it\r\n")
    engine.receive_data(b"250 ok\r\n")
    assert_broken(engine)


@pytest.mark.parametrize("rest", [b"250 ok\r\n503 no\r\n", b"503 no\r\n354 go\r\n"])
def test_who_refuses_the_sender_takes_nothing_else(rest: bytes) -> None:
    engine = engine_with(b"550 no\r\n" + rest, extensions=b"250-PIPELINING\r\n")
    engine.data_to_send()
    assert engine.state is SmtpClientState.CLOSED


def test_two_answers_to_one_chunk() -> None:
    """The second must not count as the answer to the last chunk."""
    engine = engine_with(extensions=b"250-CHUNKING\r\n")
    engine.transact(OutgoingTransaction("a@me.test", ["b@mx.test"], chunked=True))
    for reply in (b"250 ok\r\n", b"250 ok\r\n"):
        engine.data_to_send()
        engine.receive_data(reply)
        event = engine.next_event()
    assert isinstance(event, client.ContentWanted)
    engine.send_content(b"half of it\r\n")
    engine.data_to_send()
    engine.receive_data(b"250 ok\r\n250 ok\r\n")
    engine.end_content(b"the rest\r\n")
    assert engine.data_to_send() == b""
    assert_broken(engine)
