"""The core of the SMTP client engine: octets in and out, which reply belongs to which command, and the end.

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

from posthouse.message.reply import Reply
from posthouse.protocol.smtp.client_events import Broken, Event
from posthouse.protocol.smtp.client_states import SmtpClientState
from posthouse.protocol.smtp.remote_reply import ReplyError, ReplyReader

# RFC 5321 4.5.3.2, in seconds.
COMMAND_PATIENCE = 300.0  # the greeting, MAIL, RCPT, and EHLO for which none is given
BLOCK_PATIENCE = 180.0

Refusals = tuple[Reply | None, ...]  # one for each recipient, None where nothing is known; or none at all


@dataclass(slots=True)
class PendingReply:
    """What the next reply is for, which codes mean success there, and how long it may take."""

    handle: Callable[[Reply], None]
    success: frozenset[int]
    patience: float = COMMAND_PATIENCE


class ClientCore:
    """One connection's queues and its end."""

    __slots__ = ("_events", "_reader", "_unsent", "heard", "out", "pending", "refusals", "replies", "state")

    def __init__(self, greeted: Callable[[Reply], None], success: frozenset[int]) -> None:
        """`greeted` takes the reply that comes before any command, of which `success` are good ones."""
        self.state = SmtpClientState.GREETING
        self._reader = ReplyReader()
        self.out: list[bytes] = []
        self.pending: deque[PendingReply] = deque([PendingReply(greeted, success)])
        self._events: deque[Event] = deque()
        self._unsent = 0  # of the pending replies: their commands have not gone yet
        self.heard = False  # a reply has come since the transaction began
        self.replies = 0  # that have come in all
        # What is final of a transaction that ends half way, though its peer was in step; given whether it was silent.
        self.refusals: Callable[[bool], Refusals] = _no_refusals

    # What the pump uses; see net.interface.Engine.

    @property
    def closing(self) -> bool:
        """True once the connection must end as soon as data_to_send() has been written out."""
        return self.state is SmtpClientState.CLOSED

    @property
    def patience(self) -> float:
        """Seconds the peer has for its next reply, or for taking a block of content (RFC 5321 4.5.3.2)."""
        return self.pending[0].patience if self.pending else BLOCK_PATIENCE

    def receive_data(self, data: bytes) -> None:
        """Buffer what came. Parses nothing."""
        self._reader.add(data)

    def receive_eof(self) -> None:
        """The peer hung up. What it had said before counts."""
        while self.take_next():
            pass
        if self.state is not SmtpClientState.CLOSED:
            self.break_off("it closed the connection", refusals=self.refusals(False))

    def next_event(self) -> Event | None:
        """The next thing worth knowing; None: needs bytes, or the caller's next word."""
        while not self._events and self.take_next():
            pass
        return self._events.popleft() if self._events else None

    def data_to_send(self) -> bytes:
        """Everything to be written since the last call."""
        out = self.out
        if not out:
            return b""
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        self._unsent = 0
        return data

    def time_out(self) -> None:
        """The peer was silent for longer than `patience`."""
        if self.state is not SmtpClientState.CLOSED:
            self.break_off("it did not answer in time", refusals=self.refusals(True))

    # What the engine uses.

    @property
    def nothing_unread(self) -> bool:
        """Whether no octet waits to be read."""
        return self._reader.is_empty

    def unread_reply(self) -> Reply | None:
        """A whole reply that waits to be read, or None. Raises ReplyError."""
        return self._reader.next_reply()

    def emit(self, event: Event) -> None:
        """Tell the caller."""
        self._events.append(event)

    def take_next(self) -> bool:
        """Take one reply; False when none is there, or no more counts."""
        if self.state is SmtpClientState.CLOSED:
            return False
        try:
            reply = self._reader.next_reply()
        except ReplyError as error:
            self.break_off(str(error))
            return False
        if reply is not None:
            self._take(reply)
        return reply is not None

    def _take(self, reply: Reply) -> None:
        self.heard = True
        self.replies += 1
        if reply.code == 421 and self.state is not SmtpClientState.GREETING:
            # RFC 5321 3.8: a server that must go may say so at any time
            self.break_off("it closes the connection", reply, refusals=self.refusals(False))
        elif len(self.pending) > self._unsent:
            pending = self.pending.popleft()
            if reply.code < 400 and reply.code not in pending.success:
                self.break_off(f"it answered {reply.code}, which has no meaning there")
            else:
                pending.handle(reply)
        elif self.state is SmtpClientState.CONTENT and reply.code >= 400:
            # Perhaps it has seen enough, perhaps this was for a command before: it is for the next attempt to tell.
            self.break_off("it refused the message half way", reply)
        else:
            self.break_off("it answered what it was not asked")

    def command(
        self,
        line: str,
        handle: Callable[[Reply], None],
        success: frozenset[int],
        patience: float = COMMAND_PATIENCE,
    ) -> None:
        """Send one command; `handle` takes its reply, of which `success` are good ones."""
        self.send(command_line(line), handle, success, patience)

    def send(
        self,
        data: bytes,
        handle: Callable[[Reply], None],
        success: frozenset[int],
        patience: float = COMMAND_PATIENCE,
    ) -> None:
        """The same for octets that are ready for the wire."""
        if self.state is SmtpClientState.CLOSED:
            return
        if len(self.pending) == self._unsent and not self._reader.is_empty:
            self.break_off("it answered what it was not asked")
            return
        self.out.append(data)
        self.pending.append(PendingReply(handle, success, patience))
        self._unsent += 1

    def break_off(self, reason: str, reply: Reply | None = None, *, refusals: Refusals = ()) -> None:
        """The connection is of no more use, see Broken."""
        self.out.clear()
        self.close()
        self._events.append(Broken(reason, reply, refusals))

    def close(self) -> None:
        """Nothing more is taken or asked."""
        self.state = SmtpClientState.CLOSED
        self.pending.clear()
        self._unsent = 0
        self.refusals = _no_refusals  # so nothing holds the engine but its caller

    def expect(self, state: SmtpClientState) -> None:
        """Raises RuntimeError when the conversation stands elsewhere: a bug of the caller."""
        if self.state is not state:
            raise RuntimeError(f"not now: {self.state.name}")


def _no_refusals(_silent: bool) -> Refusals:
    return ()


def command_line(text: str) -> bytes:
    """One command. Whatever its arguments hold, it never becomes two."""
    if "\r" in text or "\n" in text or "\0" in text:
        raise ValueError(f"a command with a line break or NUL in it: {text[:80]!r}")
    return text.encode() + b"\r\n"
