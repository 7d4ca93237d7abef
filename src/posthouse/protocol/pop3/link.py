"""What every part of the POP3 engine stands on: octets in, answers out, events and their answers, and the end."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from posthouse.protocol.events import SessionEnded
from posthouse.protocol.lines import MAX_IN_A_ROW, LineBuffer, LineFault
from posthouse.protocol.pop3 import replies
from posthouse.protocol.pop3.settings import MAX_ERRORS, MAX_UNSENT, PATIENCE, Pop3Settings


class Link:
    """The engine without its commands. See net.interface.Engine for the contract it fulfils.

    `_read` says what the next line is: it takes it and returns True, or False when it needs more octets. A listing that
    is under way comes first: it is made block by block, as the peer takes it.
    """

    __slots__ = (
        "_eof",
        "_errors",
        "_events",
        "_lines",
        "_listing",
        "_offer",
        "_out",
        "_read",
        "_settings",
        "_stop_reason",
        "_stopping",
        "_unfinished",
        "_unsent",
        "closing",
        "has_more",
    )

    def __init__(self, settings: Pop3Settings) -> None:
        self._settings = settings
        self._lines = LineBuffer()
        self._events: deque[object] = deque()
        self._out: list[bytes] = []
        self._unsent = 0  # octets in _out
        self._offer: type | None = None  # the event that waits for its answer
        self._listing: Iterator[bytes] | None = None
        self._unfinished = False  # the first line of an answer of many lines is said, its end is not
        self._read: Callable[[Any], bool]
        self._expect_command()
        self._errors = 0
        self._eof = self._stopping = False
        self._stop_reason = ("the server is stopping", replies.STOPPING)
        self.closing = False
        self.has_more = False  # see Engine

    @property
    def patience(self) -> float:
        """See Engine."""
        return PATIENCE

    def receive_data(self, data: bytes) -> None:
        """See Engine."""
        if data and not self.closing:
            self._lines.add(data)

    def receive_eof(self) -> None:
        """See Engine."""
        self._eof = True

    def next_event(self) -> object | None:
        """See Engine."""
        events = self._events
        if events:
            return events.popleft()
        self.has_more = False
        for _ in range(MAX_IN_A_ROW):
            if self._offer is not None or self.closing or self._unsent >= MAX_UNSENT:
                return None
            if self._listing is not None:
                self._list_on(self._listing)
            elif self._stopping:
                self.shut_down()
            elif not self._read(self):
                if not self._eof:
                    return None
                self._end("the client hung up")
            if events:
                return events.popleft()
        self.has_more = True
        return None

    def data_to_send(self) -> bytes:
        """See Engine."""
        out = self._out
        if not out:
            return b""
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        self._unsent = 0
        return data

    def time_out(self) -> None:
        """See Engine."""
        self._end("nothing came for too long")  # RFC 1939 3: nothing is removed, and nothing is said

    def shut_down(self) -> None:
        """See Engine."""
        if not self._stopping and (self._offer is not None or self._unfinished):
            self._stopping = True
        else:
            self._end(*self._stop_reason)

    def revoke(self) -> None:
        """The login no longer holds: say so and close, at once if idle, else after the command at hand.

        As without QUIT, nothing is removed.
        """
        self._stop_reason = ("the login was revoked", replies.REVOKED)
        self.shut_down()

    def fail(self) -> None:
        """See Engine."""
        self._end("internal error", replies.INTERNAL_ERROR)

    # What the parts use.

    def _read_command(self) -> bool:
        """Carry out one command; False when octets are needed."""
        raise NotImplementedError

    def _expect_command(self) -> None:
        self._read = type(self)._read_command

    def _next_line(self, limit: int) -> bytes | LineFault | None:
        """A line without its CRLF, or what is wrong with it; None: needs octets."""
        line = self._lines.next_line(limit)
        if isinstance(line, bytes) and (b"\r" in line or b"\0" in line):
            return LineFault.BARE_LF
        return line

    def _refuse_line(self, fault: LineFault) -> None:
        if fault is LineFault.ENDLESS:
            self._end("a line without end", replies.LINE_WITHOUT_END)
        else:
            self._error(replies.LINE_TOO_LONG if fault is LineFault.TOO_LONG else replies.BAD_LINE)

    def _offered(self, *expected: type) -> bool:
        """Whether this is the time for such an answer. False when the connection has ended, which is nobody's fault."""
        if self._offer in expected:
            return True
        if self.closing:
            return False
        raise RuntimeError(f"an answer to {[kind.__name__ for kind in expected]}, but {self._offer} is offered")

    def _answered(self, *expected: type) -> bool:
        """Take the answer to an offer, see _offered."""
        offered = self._offered(*expected)
        self._offer = None
        return offered

    def _offer_up(self, event: object) -> None:
        self._offer = type(event)
        self._events.append(event)

    def _say(self, answer: bytes) -> None:
        self._out.append(answer)
        self._unsent += len(answer)

    def _list(self, first: bytes, blocks: Iterator[bytes]) -> None:
        """Answer with many lines. `blocks` are whole lines that need no stuffing."""
        self._say(first)
        self._listing, self._unfinished = blocks, True

    def _list_on(self, blocks: Iterator[bytes]) -> None:
        block = next(blocks, None)
        if block is None:
            self._listing, self._unfinished = None, False
        self._say(replies.END if block is None else block)

    def _error(self, answer: bytes) -> None:
        """Say what the peer did wrong, and count it."""
        self._errors += 1
        if self._errors >= MAX_ERRORS:
            self._end("too many errors", replies.TOO_MANY_ERRORS)
        else:
            self._say(answer)

    def _end(self, reason: str, last_words: bytes = b"") -> None:
        if self.closing:
            return
        if not self._unfinished:  # last words inside a message would be taken for a part of it
            self._say(last_words)
        self.closing = True
        self._offer = self._listing = None
        self._lines.clear()
        self._events.append(SessionEnded(reason))
