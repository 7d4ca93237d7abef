"""Replies of another server out of a stream of octets (RFC 5321 4.2). It may be hostile: everything is bounded.

What it says ends up in logs, bounces and on screens, so controls and broken UTF-8 are replaced here, once.
"""

import functools
import re

from posthouse.message.reply import Reply

MAX_REPLY = 64 << 10  # octets of one reply, all lines
MAX_LINE = 4096  # octets; RFC 5321 4.5.3.1.5 has 512
MAX_TEXT = 2000  # characters that are kept of a reply
_SHORT = 100  # octets of a text that may come again: servers say the same to every command of a kind

_CODE = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*))?", re.DOTALL)
_ENHANCED = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: |$)")  # RFC 2034 4
_CONTROLS = dict.fromkeys((*range(32), *range(127, 160), 8232, 8233), "?") | {9: " "}


class ReplyError(Exception):
    """The peer does not speak SMTP, or says too much. The text is a sentence for logs and bounces."""


class ReplyReader:
    """Octets in, replies out."""

    __slots__ = ("_code", "_data", "_lines", "_octets")

    def __init__(self) -> None:
        self._data = b""
        self._lines: list[bytes] = []  # texts of the reply at hand
        self._code = b""
        self._octets = 0

    def add(self, data: bytes) -> None:
        """Keep octets for later."""
        self._data = self._data + data if self._data else data

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left that was not understood yet."""
        return not self._data and not self._lines

    def next_reply(self) -> Reply | None:
        """The next whole reply; None: needs octets. Raises ReplyError."""
        while True:
            end = self._data.find(b"\n")
            if end < 0:
                if len(self._data) > MAX_LINE:
                    raise ReplyError("it sent a line without an end")
                return None
            line, self._data = self._data[:end], self._data[end + 1 :]
            self._octets += end + 1
            if self._octets > MAX_REPLY or end > MAX_LINE:
                raise ReplyError("it sent a reply without an end")
            # A bare LF ends a line here: nothing of ours depends on it, and such servers exist.
            if self._take(line.removesuffix(b"\r")):
                return self._finish()

    def _take(self, line: bytes) -> bool:
        """One line; whether it is the last of its reply."""
        match = _CODE.fullmatch(line)
        if match is None:
            raise ReplyError(f"it sent {_printable(line[:80])!r}, which is no reply")
        code, mark, text = match.groups()
        if self._lines and code != self._code:  # RFC 5321 4.2.1: the same on every line
            raise ReplyError("it sent one reply with two codes")
        self._code = code
        self._lines.append(text or b"")
        return mark != b"-"

    def _finish(self) -> Reply:
        lines, self._lines, self._octets = self._lines, [], 0
        if len(lines) == 1 and len(lines[0]) <= _SHORT:
            return _as_usual(self._code, lines[0])
        return _reply(self._code, lines)


@functools.lru_cache(64)
def _as_usual(code: bytes, text: bytes) -> Reply:
    return _reply(code, [text])


def _reply(digits: bytes, lines: list[bytes]) -> Reply:
    code, texts = int(digits), [_printable(line) for line in lines]
    match = _ENHANCED.match(texts[0])
    enhanced = match[1] if match and int(match[1][0]) == code // 100 else ""
    if enhanced:
        texts = [text.removeprefix(enhanced).lstrip(" ") for text in texts]
    return Reply(code, enhanced, "\n".join(texts)[:MAX_TEXT])


def _printable(text: bytes) -> str:
    decoded = text.decode("utf-8", "replace")
    return decoded if decoded.isprintable() else decoded.translate(_CONTROLS)
