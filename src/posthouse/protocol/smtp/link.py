"""What every part of the SMTP engine stands on: octets in, replies out, events and their answers, and the end."""

from collections import deque
from collections.abc import Callable
from typing import Any

from posthouse.message.reply import Reply
from posthouse.protocol.events import SessionEnded
from posthouse.protocol.lines import MAX_IN_A_ROW, LineBuffer, LineFault
from posthouse.protocol.smtp import replies
from posthouse.protocol.smtp.events import CommandRefused, MessageDropped, RefusalScope
from posthouse.protocol.smtp.settings import MAX_ERRORS, MAX_UNSENT, PATIENCE, SmtpSettings, Variant


class Link:
    """The engine without its commands. See net.interface.Engine for the contract it fulfils.

    `_read` says what the next octets are: it takes some of those that are there and returns True, or False when it
    needs more.
    """

    __slots__ = (
        "_command",
        "_eof",
        "_errors",
        "_events",
        "_lines",
        "_lmtp",
        "_offer",
        "_out",
        "_read",
        "_receiving",
        "_settings",
        "_stop_reason",
        "_stopping",
        "_unsent",
        "_verb",
        "closing",
        "has_more",
    )

    def __init__(self, settings: SmtpSettings) -> None:
        self._settings = settings
        self._lmtp = settings.variant is Variant.LMTP
        self._lines = LineBuffer()
        self._events: deque[object] = deque()
        self._out: list[bytes] = []
        self._unsent = 0  # octets in _out
        self._command: bytes | None = b""  # the line that is answered now; None: we speak unasked
        self._offer: type | None = None  # the event that waits for its answer
        self._read: Callable[[Any], bool]
        self._expect_command()
        self._receiving = False  # the session holds a message that is not settled
        self._errors = 0
        self._verb = b""  # of the command at hand, for the log
        self._eof = self._stopping = False
        self._stop_reason = ("4.3.2", "the server is stopping")
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
            if not self._read(self):
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
        self._command = None
        self._hang_up("4.4.2", "nothing came for too long")

    def shut_down(self) -> None:
        """See Engine."""
        if not self._stopping and self._is_busy():
            self._stopping = True
        else:
            self._command = None
            self._hang_up(*self._stop_reason)

    def revoke(self) -> None:
        """The login no longer holds: say so and close, at once if idle, else after the command at hand."""
        self._stop_reason = ("4.7.0", "the password has changed, or the account is gone")
        self.shut_down()

    def fail(self) -> None:
        """See Engine."""
        self._hang_up("4.3.0", "internal error")

    def hang_up(self, reply: Reply) -> None:
        """Say this and close, whatever stands open: for a session that will not go on with this peer."""
        self._end(reply.text, reply.encode())

    # What the parts use.

    def _read_command(self) -> bool:
        """Carry out one command; False when octets are needed."""
        raise NotImplementedError

    def _expect_command(self) -> None:
        self._read = type(self)._read_command

    def _is_busy(self) -> bool:
        """A command is at hand whose end the peer should hear."""
        return self._offer is not None

    def _answered(self, *expected: type) -> bool:
        """Take the answer to an offer. False when the connection has ended meanwhile, which is nobody's fault."""
        if self._offer in expected:
            self._offer = None
            return True
        if self.closing:
            return False
        raise RuntimeError(f"an answer to {[kind.__name__ for kind in expected]}, but {self._offer} is offered")

    def _say(self, reply: bytes) -> None:
        self._out.append(reply)
        self._unsent += len(reply)

    def _error(self, reply: bytes) -> None:
        """Say what the peer did wrong, and count it."""
        self._refuse(reply)
        self._errors += 1
        if self._errors > MAX_ERRORS:
            self._hang_up("4.7.0", "too many errors")

    def _refuse(self, reply: bytes, scope: RefusalScope = RefusalScope.COMMAND) -> None:
        """Say no to the command at hand; every reply of 4xx and 5xx goes this way."""
        self._say(reply)
        self._note_refusal(reply, scope)

    def _note_refusal(self, reply: bytes, scope: RefusalScope) -> None:
        if self._command is not None:
            line = _without_secrets(self._command)
            self._events.append(CommandRefused(scope, self._verb.decode(), line, reply.decode().rstrip()))

    def _refuse_line(self, fault: LineFault, too_long: bytes) -> None:
        if fault is LineFault.ENDLESS:
            self._hang_up("4.7.0", "a line without end")
        else:
            self._error(too_long if fault is LineFault.TOO_LONG else replies.BARE_LF)

    def _offer_up(self, event: object) -> None:
        self._offer = type(event)
        self._events.append(event)

    def _hang_up(self, status: str, reason: str) -> None:
        self._end(reason, replies.hanging_up(self._settings.hostname, status, reason))

    def _end(self, reason: str, last_words: bytes = b"") -> None:
        if self.closing:
            return
        self._drop(reason)
        if last_words[:1] >= b"4":
            self._refuse(last_words, RefusalScope.CONNECTION)
        elif last_words:
            self._say(last_words)
        self.closing = True
        self._offer = None
        self._lines.clear()
        self._events.append(SessionEnded(reason))

    def _drop(self, reason: str) -> None:
        """The message under way, if there is one, will not come to be."""
        if self._receiving:
            self._receiving = False
            self._events.append(MessageDropped(reason))


def _without_secrets(command: bytes) -> str:
    """A command line for people to read; what stands behind the mechanism of AUTH is half a password."""
    text = command.decode("utf-8", "replace")
    return " ".join(text.split()[:2]) if text.lstrip()[:4].upper() == "AUTH" else text
