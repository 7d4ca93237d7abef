"""What all server engines have in common: octets in, answers out, events and their answers, and the end.

Theory of operation. An engine turns octets into events. An event is an *offer*, which the session has to answer, or
*news* (protocol/events.py). EngineCore keeps three queues: the octets that are not parsed yet (`lines`), the events
that nobody has taken yet, and the answers that are not sent yet. next_event() gives the events out one by one; when
there is none left it calls `read`, which takes some of the octets (a command, a response, a piece of a message) and
answers it, or emits an event, or both. Nothing is read

    - while an offer waits for its answer, so pipelining is right by construction;
    - while MAX_UNSENT octets or more wait to be sent, so a peer that does not read cannot fill the memory;
    - after MAX_IN_A_ROW commands in one call, so that a peer that sends many does not keep the loop (`has_more`);
    - once the end has come (`closing`).

Each engine holds a core as a field, and sets by `expect` what is read next. What differs from protocol to protocol is
passed in: the last reply in each case of an end (ClosingReplies), and what else the end brings (`before_end`).
The states of a protocol are the engine's own: see the states.py of each.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from posthouse.protocol.events import SessionEnded
from posthouse.protocol.lines import MAX_IN_A_ROW, LineBuffer, LineFault

MAX_UNSENT = 64 << 10  # octets of answers that may wait for a peer that does not read; see net.interface.Engine


@dataclass(frozen=True, slots=True)
class ClosingReplies:
    """The last words of a protocol, ready as bytes; b"" where it says nothing."""

    timed_out: bytes
    stopping: bytes
    revoked: bytes
    internal_error: bytes
    too_many_errors: bytes
    too_many_failed_logins: bytes
    endless_line: bytes


# Called once, before the last reply is sent: the reason, the reply, and whether it answers nothing the peer has sent.
BeforeEnd = Callable[[str, bytes, bool], None]


class EngineCore:
    """One connection's queues and its end. `read` takes what comes next and returns True, or False: needs octets."""

    __slots__ = (
        "_before_end",
        "_eof",
        "_errors",
        "_max_errors",
        "_read_command",
        "_stop_reason",
        "_stop_reply",
        "closing",
        "closing_replies",
        "events",
        "faulty_line",
        "has_more",
        "lines",
        "offer",
        "out",
        "read",
        "receiving",
        "stopping",
        "unfinished",
        "unsent",
    )

    def __init__(
        self,
        read_command: Callable[[], bool],
        closing_replies: ClosingReplies,
        *,
        max_errors: int,
        before_end: BeforeEnd | None = None,
    ) -> None:
        """`read_command` is what `read` is at first. `max_errors`: with that many the peer is sent away."""
        self.read = self._read_command = read_command
        self.receiving = False  # a message is being read, and will be even when the server stops
        self.unfinished = False  # the last answer has no end yet: nothing else can be sent
        self.lines = LineBuffer()
        self.faulty_line = b""  # the last one that held CR or NUL
        self.events: deque[object] = deque()
        self.offer: type | None = None  # the event that waits for its answer
        self.out: list[bytes] = []
        self.unsent = 0  # octets in out
        self._errors = 0
        self._max_errors = max_errors
        self._eof = self.stopping = False
        self.closing_replies = closing_replies
        self._stop_reason, self._stop_reply = "the server is stopping", closing_replies.stopping
        self._before_end = before_end
        self.closing = False
        self.has_more = False  # see Engine

    # The contract of engines, see net.interface.Engine.

    def receive_data(self, data: bytes) -> None:
        """See Engine."""
        if data and not self.closing:
            self.lines.add(data)

    def receive_eof(self) -> None:
        """See Engine."""
        self._eof = True

    def next_event(self) -> object | None:
        """See Engine."""
        events = self.events
        if events:
            return events.popleft()
        self.has_more = False
        for _ in range(MAX_IN_A_ROW):
            if self.offer is not None or self.closing or self.unsent >= MAX_UNSENT:
                return None
            if self.stopping and not (self.unfinished or self.receiving):
                self.shut_down()
            elif not self.read():
                if not self._eof:
                    return None
                self.end("the client hung up")
            if events:
                return events.popleft()
        self.has_more = True
        return None

    def data_to_send(self) -> bytes:
        """See Engine."""
        out = self.out
        if not out:
            return b""
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        self.unsent = 0
        return data

    def time_out(self) -> None:
        """See Engine."""
        self.end("nothing came for too long", self.closing_replies.timed_out, unasked=True)

    def shut_down(self) -> None:
        """See Engine."""
        if not self.stopping and (self.offer is not None or self.unfinished or self.receiving):
            self.stopping = True
        else:
            self.end(self._stop_reason, self._stop_reply, unasked=True)

    def revoke(self) -> None:
        """The login no longer holds: say so and close, at once if idle, else after the command at hand."""
        self._stop_reason, self._stop_reply = "the login was revoked", self.closing_replies.revoked
        self.shut_down()

    def fail(self) -> None:
        """See Engine."""
        self.end("internal error", self.closing_replies.internal_error)

    # What the engine uses.

    def expect(self, read: Callable[[], bool], *, receiving: bool = False) -> None:
        """What comes next is read by `read`. `receiving`: it is part of a message, which is read to its end."""
        self.read = read
        self.receiving = receiving

    def expect_command(self) -> None:
        """What comes next is a command."""
        self.read = self._read_command
        self.receiving = False

    def next_line(self, limit: int) -> bytes | LineFault | None:
        """A line without its CRLF, or what is wrong with it; None: needs octets. One with CR or NUL is at fault."""
        line = self.lines.next_line(limit)
        if isinstance(line, bytes) and (b"\r" in line or b"\0" in line):
            self.faulty_line = line
            return LineFault.BARE_LF
        return line

    def send(self, answer: bytes) -> None:
        """Send this."""
        self.out.append(answer)
        self.unsent += len(answer)

    def emit(self, offer: object) -> None:
        """Put an offer among the events, and wait for its answer. (News just goes among the events.)"""
        self.offer = type(offer)
        self.events.append(offer)

    def offered(self, *expected: type) -> bool:
        """Whether this is the time for such an answer. False when the connection has ended, which is nobody's fault.

        Raises RuntimeError when something else is offered, or nothing: a bug of the session.
        """
        if self.offer in expected:
            return True
        if self.closing:
            return False
        raise RuntimeError(f"an answer to {[kind.__name__ for kind in expected]}, but {self.offer} is offered")

    def answered(self, *expected: type) -> bool:
        """Take the answer to an offer, see offered()."""
        if self.offer in expected or self.offered(*expected):
            self.offer = None
            return True
        return False

    def count_error(self) -> None:
        """The peer did something wrong; too often is the end."""
        self._errors += 1
        if self._errors >= self._max_errors:
            self.end("too many errors", self.closing_replies.too_many_errors)

    def forgive_errors(self) -> None:
        """Set the count of errors back to 0."""
        self._errors = 0

    def end(self, reason: str, last_words: bytes = b"", *, unasked: bool = False) -> None:
        """Close once the last words are sent. `unasked`: they answer nothing that the peer has sent."""
        if self.closing:
            return
        if self._before_end is not None:
            self._before_end(reason, last_words, unasked)
        if last_words and not self.unfinished:  # within an answer they would be taken for a part of it
            self.send(last_words)
        self.closing = True
        self.offer = self._before_end = None
        self.read = self._read_command = _nothing  # so nothing holds the engine but its session
        self.lines.clear()
        self.events.append(SessionEnded(reason))


def _nothing() -> bool:
    return False


class ServerEngine:
    """The public face of every server engine: net.interface.Engine, fulfilled by the core that it holds.

    What is called for every read and every event is bound once, for a call that is passed on costs twice as much.
    """

    __slots__ = ("_core", "data_to_send", "next_event", "receive_data")

    def __init__(self, core: EngineCore) -> None:
        self._core = core
        self.receive_data: Callable[[bytes], None] = core.receive_data
        self.next_event: Callable[[], object | None] = core.next_event
        self.data_to_send: Callable[[], bytes] = core.data_to_send

    @property
    def closing(self) -> bool:
        """See Engine."""
        return self._core.closing

    @property
    def has_more(self) -> bool:
        """See Engine."""
        return self._core.has_more

    def receive_eof(self) -> None:
        """See Engine."""
        self._core.receive_eof()

    def time_out(self) -> None:
        """See Engine."""
        self._core.time_out()

    def shut_down(self) -> None:
        """See Engine."""
        self._core.shut_down()

    def revoke(self) -> None:
        """The login no longer holds: say so and close, at once if idle, else after the command at hand."""
        self._core.revoke()

    def fail(self) -> None:
        """See Engine."""
        self._core.fail()
