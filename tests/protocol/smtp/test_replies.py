"""The engine's own replies: one well-formed line each, with a status that fits the code."""

import re

from posthouse.protocol.smtp import replies

_LINE = re.compile(rb"([2-5])[0-5]\d (?:([245])\.\d{1,3}\.\d{1,3} )?[\x20-\x7e]+\r\n")


def test_every_reply_is_one_good_line() -> None:
    ready = {name: value for name, value in vars(replies).items() if name.isupper() and isinstance(value, bytes)}
    assert len(ready) > 40
    for name, value in ready.items():
        match = _LINE.fullmatch(value)
        assert match is not None and len(value) <= 512, name  # RFC 5321 4.5.3.1.5
        if match[1] == b"3":
            assert match[2] is None, name  # RFC 2034 3
        else:
            assert match[2] == match[1], name  # RFC 2034 4


def test_last_words_begin_with_the_name() -> None:
    assert replies.farewell("mx.test").startswith(b"221 2.0.0 mx.test ")
    assert replies.hanging_up("mx.test", "4.3.2", "reason") == b"421 4.3.2 mx.test reason; closing connection\r\n"
