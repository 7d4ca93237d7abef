"""A long pipeline is carried out in shares: no engine answers more than some commands in one call."""

from collections.abc import Callable
from typing import Any

import pytest

from posthouse.net.interface import Engine
from posthouse.protocol.imap.server import ImapServer
from posthouse.protocol.imap.settings import ImapSettings
from posthouse.protocol.lines import MAX_IN_A_ROW
from posthouse.protocol.pop3.server import Pop3Server
from posthouse.protocol.pop3.settings import Pop3Settings
from posthouse.protocol.smtp.server import SmtpServer
from posthouse.protocol.smtp.settings import SmtpSettings


def _smtp() -> Engine:
    return SmtpServer(SmtpSettings("mx.here.test"), nonce=str)


def _pop3() -> Engine:
    return Pop3Server(Pop3Settings("pop.here.test"), nonce=str)


def _imap() -> Engine:
    return ImapServer(ImapSettings("imap.here.test"), secure=False, nonce=str)


@pytest.mark.parametrize(
    ("make", "command", "answer"),
    [
        (_smtp, b"NOOP\r\n", b"250 "),
        (_smtp, b"EHLO client.test\r\n", b"250 "),
        (_smtp, b"RSET\r\n", b"250 "),
        (_pop3, b"CAPA\r\n", b"+OK"),
        (_imap, b"a NOOP\r\n", b"a OK"),
        (_imap, b"a CAPABILITY\r\n", b"a OK"),
        (_imap, b"a LOGOUT\n", b"* BAD"),
    ],
)
def test_shares(make: Callable[[], Any], command: bytes, answer: bytes) -> None:
    engine: Engine = make()
    engine.next_event()
    engine.data_to_send()
    engine.receive_data(command * 10 * MAX_IN_A_ROW)
    answers = calls = 0
    while True:
        while engine.next_event() is not None:
            pass
        said = engine.data_to_send().count(answer)
        assert said <= MAX_IN_A_ROW
        answers += said
        calls += 1
        if not engine.has_more:
            break
    assert calls >= (10 if not engine.closing else 1)
    assert answers == 10 * MAX_IN_A_ROW or engine.closing
