"""What the SMTP client engine stands on: octets in and out, which reply belongs to which command, and the end.

Each command that is sent leaves in a queue what its reply is for and which codes mean success there; replies come in
the same order, so pipelining (RFC 2920) needs nothing more.

A peer may be out of step: a reply too many, one that is missing, one before its command has gone, a 2yz or 3yz code
that has no meaning in its place. From then on every reply may belong to another command, so nothing is written any
more and nothing of the transaction counts, refusals neither. Three rules follow:
    - a command is written only when no octet waits to be read that no command has asked for;
    - so is the content's end, for what comes behind it can never be taken back;
    - an envelope that was refused is reported only when the RSET behind it was answered: a peer that is one reply off
      answers that with the reply of something else.
A peer that hangs up or says 421 is not out of step: what it has refused until then stays refused.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from posthouse.message.reply import Reply
from posthouse.protocol.smtp.client_events import Broken, Event
from posthouse.protocol.smtp.remote_reply import ReplyError, ReplyReader

# RFC 5321 4.5.3.2, in seconds.
COMMAND_PATIENCE = 300.0  # the greeting, MAIL, RCPT, and EHLO for which none is given
BLOCK_PATIENCE = 180.0


class State(Enum):
    """See the table in client.py."""

    GREETING = auto()
    HELLO = auto()
    READY = auto()
    TLS = auto()
    LOGIN = auto()
    ENVELOPE = auto()
    CONTENT = auto()
    ENDING = auto()
    CLOSED = auto()


@dataclass(slots=True)
class Wanted:
    """What the next reply is for, which codes mean success there, and how long it may take."""

    handle: Callable[[Reply], None]
    success: frozenset[int]
    patience: float = COMMAND_PATIENCE


class ClientLink:
    """The engine without its commands. `greeted` takes the reply that comes before any command."""

    def __init__(self, greeted: Callable[[Reply], None], success: frozenset[int]) -> None:
        self._state = State.GREETING
        self._reader = ReplyReader()
        self._out: list[bytes] = []
        self._wanted: deque[Wanted] = deque([Wanted(greeted, success)])
        self._events: deque[Event] = deque()
        self._unsent = 0  # of the wanted replies: their commands have not gone yet
        self.heard = False  # a reply has come since the transaction began
        self.replies = 0  # that have come in all

    # What the pump uses; see net.interface.Engine.

    @property
    def state(self) -> State:
        """Where the conversation stands."""
        return self._state

    @property
    def closing(self) -> bool:
        """True once the connection must end as soon as data_to_send() has been written out."""
        return self._state is State.CLOSED

    @property
    def patience(self) -> float:
        """Seconds the peer has for its next reply, or for taking a block of content (RFC 5321 4.5.3.2)."""
        return self._wanted[0].patience if self._wanted else BLOCK_PATIENCE

    def receive_data(self, data: bytes) -> None:
        """Buffer what came. Parses nothing."""
        self._reader.add(data)

    def receive_eof(self) -> None:
        """The peer hung up. What it had said before counts."""
        while self._take_next():
            pass
        if self._state is not State.CLOSED:
            self._break("it closed the connection", refusals=self._refusals())

    def next_event(self) -> Event | None:
        """The next thing worth knowing; None: needs bytes, or the caller's next word."""
        while not self._events and self._take_next():
            pass
        return self._events.popleft() if self._events else None

    def data_to_send(self) -> bytes:
        """Everything to be written since the last call."""
        out = self._out
        if not out:
            return b""
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        self._unsent = 0
        return data

    def time_out(self) -> None:
        """The peer was silent for longer than `patience`."""
        if self._state is not State.CLOSED:
            self._break("it did not answer in time", refusals=self._refusals(silent=True))

    # What the commands use.

    def _take_next(self) -> bool:
        """Take one reply; False when none is there, or no more counts."""
        if self._state is State.CLOSED:
            return False
        try:
            reply = self._reader.next_reply()
        except ReplyError as error:
            self._break(str(error))
            return False
        if reply is not None:
            self._take(reply)
        return reply is not None

    def _take(self, reply: Reply) -> None:
        self.heard = True
        self.replies += 1
        if reply.code == 421 and self._state is not State.GREETING:
            # RFC 5321 3.8: a server that must go may say so at any time
            self._break("it closes the connection", reply, refusals=self._refusals())
        elif len(self._wanted) > self._unsent:
            wanted = self._wanted.popleft()
            if reply.code < 400 and reply.code not in wanted.success:
                self._break(f"it answered {reply.code}, which has no meaning there")
            else:
                wanted.handle(reply)
        elif self._state is State.CONTENT and reply.code >= 400:
            # Perhaps it has seen enough, perhaps this was for a command before: it is for the next attempt to tell.
            self._break("it refused the message half way", reply)
        else:
            self._break("it answered what it was not asked")

    def _command(
        self,
        line: str,
        handle: Callable[[Reply], None],
        success: frozenset[int],
        patience: float = COMMAND_PATIENCE,
    ) -> None:
        self._send(command_line(line), handle, success, patience)

    def _send(
        self,
        data: bytes,
        handle: Callable[[Reply], None],
        success: frozenset[int],
        patience: float = COMMAND_PATIENCE,
    ) -> None:
        if self._state is State.CLOSED:
            return
        if len(self._wanted) == self._unsent and not self._reader.is_empty:
            self._break("it answered what it was not asked")
            return
        self._out.append(data)
        self._wanted.append(Wanted(handle, success, patience))
        self._unsent += 1

    def _break(self, reason: str, reply: Reply | None = None, *, refusals: tuple[Reply | None, ...] = ()) -> None:
        self._out.clear()
        self._close()
        self._events.append(Broken(reason, reply, refusals))

    def _close(self) -> None:
        self._state = State.CLOSED
        self._wanted.clear()
        self._unsent = 0

    def _refusals(self, *, silent: bool = False) -> tuple[Reply | None, ...]:
        """What is final of a transaction that ends half way, though its peer was in step."""
        return ()

    def _expect(self, state: State) -> None:
        if self._state is not state:
            raise RuntimeError(f"not now: {self._state.name}")


def command_line(text: str) -> bytes:
    """One command. Whatever its arguments hold, it never becomes two."""
    if "\r" in text or "\n" in text or "\0" in text:
        raise ValueError(f"a command with a line break or NUL in it: {text[:80]!r}")
    return text.encode() + b"\r\n"
