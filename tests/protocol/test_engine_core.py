"""The core that all server engines hold: what is read when, what an answer is, and how an engine ends."""

import gc
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from posthouse.protocol.engine_core import MAX_UNSENT, ClosingReplies, EngineCore, ServerEngine
from posthouse.protocol.events import SessionEnded
from posthouse.protocol.imap.server import ImapServer
from posthouse.protocol.imap.settings import ImapSettings
from posthouse.protocol.lines import MAX_IN_A_ROW, LineFault
from posthouse.protocol.pop3.server import Pop3Server, Pop3Settings
from posthouse.protocol.smtp.server import SmtpServer, SmtpSettings

CLOSING = ClosingReplies(
    timed_out=b"late\r\n",
    stopping=b"stop\r\n",
    revoked=b"gone\r\n",
    internal_error=b"bug\r\n",
    too_many_errors=b"errors\r\n",
    too_many_failed_logins=b"guesses\r\n",
    endless_line=b"endless\r\n",
)


@dataclass
class Asked:
    """An offer: a line that wants an answer."""

    line: bytes


class Echo:
    """The smallest protocol: a line that ends with ? is offered, one with ! is an error, all others are sent back."""

    def __init__(self) -> None:
        self.ends: list[tuple[str, bytes, bool]] = []
        self.core = EngineCore(self.read, CLOSING, max_errors=3, before_end=lambda *how: self.ends.append(how))

    def read(self) -> bool:
        """Carry out one line."""
        line = self.core.next_line(100)
        if line is None:
            return False
        if isinstance(line, LineFault) or line.endswith(b"!"):
            self.core.send(b"no\r\n")
            self.core.count_error()
        elif line.endswith(b"?"):
            self.core.emit(Asked(line))
        else:
            self.core.send(line + b"\r\n")
        return True

    def hear(self, data: bytes) -> list[object]:
        """Feed `data`; the events it leads to."""
        self.core.receive_data(data)
        return list(iter(self.core.next_event, None))


def test_nothing_is_read_while_an_offer_waits() -> None:
    echo = Echo()
    assert echo.hear(b"a\r\nb?\r\nc\r\n") == [Asked(b"b?")]
    assert echo.core.data_to_send() == b"a\r\n"
    assert echo.core.answered(Asked)
    assert echo.hear(b"") == [] and echo.core.data_to_send() == b"c\r\n"


def test_who_sends_much_gives_way_to_others() -> None:
    echo = Echo()
    assert echo.hear(b"a\r\n" * (MAX_IN_A_ROW + 1)) == []
    assert echo.core.has_more and echo.core.data_to_send() == b"a\r\n" * MAX_IN_A_ROW
    assert echo.hear(b"") == [] and not echo.core.has_more and echo.core.data_to_send() == b"a\r\n"


def test_who_does_not_read_is_not_answered_without_end() -> None:
    echo = Echo()
    echo.core.send(b"x" * MAX_UNSENT)
    assert echo.hear(b"a\r\n") == [] and len(echo.core.data_to_send()) == MAX_UNSENT
    assert echo.hear(b"") == [] and echo.core.data_to_send() == b"a\r\n"


def test_an_answer_that_fits_no_offer_is_a_bug_until_the_end_has_come() -> None:
    echo = Echo()
    with pytest.raises(RuntimeError, match="Asked"):
        echo.core.answered(Asked)
    echo.hear(b"a?\r\n")
    with pytest.raises(RuntimeError, match="SessionEnded"):
        echo.core.answered(SessionEnded)
    echo.core.fail()
    assert not echo.core.answered(Asked)


@pytest.mark.parametrize(
    ("end", "last", "unasked"),
    [
        (EngineCore.time_out, b"late\r\n", True),
        (EngineCore.shut_down, b"stop\r\n", True),
        (EngineCore.revoke, b"gone\r\n", True),
        (EngineCore.fail, b"bug\r\n", False),
    ],
)
def test_each_end_has_its_last_words(end: Callable[[EngineCore], None], last: bytes, unasked: bool) -> None:
    echo = Echo()
    end(echo.core)
    assert echo.core.closing and echo.core.data_to_send() == last
    (ended,) = echo.hear(b"a\r\n")
    assert isinstance(ended, SessionEnded) and echo.ends == [(ended.reason, last, unasked)]
    end(echo.core)
    assert echo.core.data_to_send() == b"" and len(echo.ends) == 1


def test_no_last_words_within_an_answer() -> None:
    echo = Echo()
    echo.core.unfinished = True
    echo.core.fail()
    assert echo.core.data_to_send() == b""


def test_stopping_waits_for_the_answer_but_not_twice() -> None:
    echo = Echo()
    echo.hear(b"a?\r\nb\r\n")
    echo.core.shut_down()
    assert not echo.core.closing
    assert echo.core.answered(Asked)
    assert echo.hear(b"") == [SessionEnded("the server is stopping")]
    assert echo.core.data_to_send() == b"stop\r\n"
    echo = Echo()
    echo.hear(b"a?\r\n")
    echo.core.shut_down()
    echo.core.shut_down()
    assert echo.core.closing


def test_stopping_waits_for_a_message_that_comes_in() -> None:
    echo = Echo()
    echo.core.expect(echo.read, receiving=True)
    echo.core.shut_down()
    assert echo.hear(b"a\r\n") == [] and echo.core.data_to_send() == b"a\r\n"
    echo.core.expect_command()
    assert echo.hear(b"b\r\n") == [SessionEnded("the server is stopping")]


def test_errors_are_counted_and_may_be_forgiven() -> None:
    echo = Echo()
    assert echo.hear(b"a!\r\nb!\r\n") == []
    echo.core.forgive_errors()
    assert echo.hear(b"a!\r\nb\0\r\n") == []
    assert echo.hear(b"a!\r\n") == [SessionEnded("too many errors")]


def test_the_end_of_input_is_the_end_once_all_is_answered() -> None:
    echo = Echo()
    echo.core.receive_eof()
    assert echo.hear(b"a?\r\nb") == [Asked(b"a?")]
    assert echo.core.answered(Asked)
    assert echo.hear(b"") == [SessionEnded("the client hung up")]


@pytest.mark.parametrize(
    "make",
    [
        lambda: SmtpServer(SmtpSettings("mx.test", auth=True, in_turn=True), nonce=lambda: "nonce"),
        lambda: Pop3Server(Pop3Settings("pop.test"), nonce=lambda: "nonce"),
        lambda: ImapServer(ImapSettings("imap.test"), secure=False, nonce=lambda: "nonce"),
    ],
)
def test_an_engine_that_has_ended_is_freed_at_once(make: Callable[[], ServerEngine]) -> None:
    """Its parts hold the core and not the engine; else each connection would wait for the cycle collector."""
    gc.collect()
    gc.disable()
    try:
        engine = make()
        engine.data_to_send()
        engine.receive_data(b"a NOOP\r\n")
        while engine.next_event() is not None:
            pass
        engine.shut_down()
        del engine
        assert gc.collect() == 0
    finally:
        gc.enable()
