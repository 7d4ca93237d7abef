"""SMTP as client (RFC 5321), without input or output: what another server says goes in, what we say to it comes out.

Each command that is sent leaves the name of what its reply is for in a queue; replies come in the same order, so
pipelining (RFC 2920) needs nothing more. A reply that nobody waits for, or one that comes before its command has gone,
ends the connection: nothing such a peer says can be trusted.

What a caller may do when:

    state       entered by                          the caller may
    GREETING    the connection                      wait for Ready or Refused
    HELLO       220; tls_started(); a login         wait for Ready or Refused
    READY       Ready                               start_tls(), login(), transact(), quit()
    TLS         start_tls()                         wait for TlsGranted, then tls_started(); or TlsRefused (READY)
    LOGIN       login()                             wait for Ready or LoginRefused
    ENVELOPE    transact()                          wait for ContentWanted or Finished
    CONTENT     ContentWanted                       send_content() and end_content(), or abandon()
    ENDING      end_content()                       wait for Finished (READY)
    CLOSED      quit(), Broken, Refused             nothing
"""

import base64
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from posthouse.message.envelope import BodyType
from posthouse.message.reply import Reply
from posthouse.protocol.smtp.remote_reply import ReplyError, ReplyReader
from posthouse.protocol.stuffing import Stuffing

# RFC 5321 4.5.3.2, in seconds.
_GREETING_PATIENCE = 300.0
_COMMAND_PATIENCE = 300.0  # MAIL, RCPT, and EHLO for which none is given
_DATA_PATIENCE = 120.0
_BLOCK_PATIENCE = 180.0
_END_PATIENCE = 600.0

MAX_BURST = 100  # commands sent at once; RFC 5321 4.5.3.1.8: a server takes at least 100 recipients


class State(Enum):
    """See the table above."""

    GREETING = auto()
    HELLO = auto()
    READY = auto()
    TLS = auto()
    LOGIN = auto()
    ENVELOPE = auto()
    CONTENT = auto()
    ENDING = auto()
    CLOSED = auto()


@dataclass(frozen=True, slots=True)
class Ready:
    """The peer is ready for transactions. `extensions`: keyword -> arguments, both upper case."""

    extensions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Refused:
    """The peer serves nobody, or not us: its greeting or hello said so."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class TlsGranted:
    """Shake hands now, then call tls_started()."""


@dataclass(frozen=True, slots=True)
class TlsRefused:
    """The peer offers STARTTLS but does not begin it now."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class LoginRefused:
    """The peer does not take our login."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class ContentWanted:
    """At least one recipient was taken: send the content."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The transaction is over: one reply for each recipient, in order."""

    replies: tuple[Reply, ...]


@dataclass(frozen=True, slots=True)
class Broken:
    """The connection is of no more use. `reply` is what the peer said last, if that is why (421)."""

    reason: str
    reply: Reply | None = None


Event = Ready | Refused | TlsGranted | TlsRefused | LoginRefused | ContentWanted | Finished | Broken


@dataclass(frozen=True, slots=True)
class Transaction:
    """One message for one peer. `sender` and `recipients` are what stands between the angle brackets.

    Parameters are given ready for the wire and only when the peer has announced what they belong to.
    """

    sender: str
    recipients: Sequence[str]
    sender_parameters: str = ""
    recipient_parameters: Sequence[str] = ()  # none, or one for each recipient
    dot_lines: bool = True  # some line of the content starts with "."
    open_end: bool = False  # the content does not end with CRLF
    chunked: bool = False  # BDAT instead of DATA (RFC 3030)
    body: BodyType = BodyType.SEVEN_BIT


@dataclass(slots=True)
class _Progress:
    """The transaction at hand."""

    transaction: Transaction
    replies: list[Reply | None]
    sent: int = 0  # recipients whose RCPT has gone
    answered: int = 0
    wants_data: bool = False  # DATA has gone with the rest
    taken: int = 0
    stuffing: Stuffing | None = None
    chunks: int = 0  # BDAT commands not yet answered
    failed: Reply | None = None  # of a BDAT, or of MAIL
    ended: bool = False


@dataclass(slots=True)
class _Wanted:
    """What the next reply is for, and how long it may take."""

    handle: Callable[[Reply], None]
    patience: float = _COMMAND_PATIENCE


class SmtpClient:
    """One connection to another server. `hostname` is what we call ourselves."""

    def __init__(self, hostname: str) -> None:
        self._hostname = hostname
        self._state = State.GREETING
        self._reader = ReplyReader()
        self._out: list[bytes] = []
        self._wanted: deque[_Wanted] = deque([_Wanted(self._greeted, _GREETING_PATIENCE)])
        self._events: deque[Event] = deque()
        self._unsent = 0  # of the wanted replies: their commands have not gone yet
        self._progress: _Progress | None = None
        self._waiting_commands: Sequence[bytes] = ()  # RCPTs that have not gone yet
        self._tls = False
        self._credentials: list[bytes] = []
        self._greeting = ""
        self.extensions: dict[str, str] = {}
        self.heard = False  # a reply has come since the transaction began

    # What the pump uses; see net.interface.Engine.

    @property
    def state(self) -> State:
        """Where the conversation stands."""
        return self._state

    def greeted_as(self, hostname: str) -> bool:
        """Whether the peer has greeted with that name (RFC 5321 4.2: the first word)."""
        return self._greeting.lower() == hostname.lower()

    @property
    def closing(self) -> bool:
        """True once the connection must end as soon as data_to_send() has been written out."""
        return self._state is State.CLOSED

    @property
    def patience(self) -> float:
        """Seconds the peer has for its next reply, or for taking a block of content (RFC 5321 4.5.3.2)."""
        return self._wanted[0].patience if self._wanted else _BLOCK_PATIENCE

    def receive_data(self, data: bytes) -> None:
        """Buffer what came. Parses nothing."""
        self._reader.add(data)

    def receive_eof(self) -> None:
        """The peer hung up."""
        if self._state is not State.CLOSED:
            self._break("it closed the connection")

    def next_event(self) -> Event | None:
        """The next thing worth knowing; None: needs bytes, or the caller's next word."""
        while not self._events and self._state is not State.CLOSED:
            try:
                reply = self._reader.next_reply()
            except ReplyError as error:
                self._break(str(error))
                break
            if reply is None:
                break
            self._take(reply)
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
        self._break("it did not answer in time")

    # What the caller says.

    def start_tls(self) -> None:
        """Ask for TLS (RFC 3207); only when STARTTLS was announced."""
        self._expect(State.READY)
        self._state = State.TLS
        self._command("STARTTLS", self._tls_answered)

    def tls_started(self) -> None:
        """The handshake is done. RFC 3207 4.2: all that was known of the peer is forgotten."""
        if self._state is not State.TLS or self._tls:
            raise RuntimeError("TLS started unasked")
        self._tls = True
        self._say_hello()

    def login(self, name: str, password: str) -> None:
        """Log in by AUTH (RFC 4954), PLAIN or LOGIN, whichever was announced."""
        self._expect(State.READY)
        self._state = State.LOGIN
        offered = self.extensions.get("AUTH", "").split()
        if "PLAIN" in offered or "LOGIN" not in offered:
            secret = base64.b64encode(f"\0{name}\0{password}".encode()).decode()
            self._command(f"AUTH PLAIN {secret}", self._login_answered)
        else:
            self._credentials = [base64.b64encode(word.encode()) for word in (name, password)]
            self._command("AUTH LOGIN", self._login_answered)

    def transact(self, transaction: Transaction) -> None:
        """Begin to send a message. Raises ValueError for an argument that holds a line break or NUL."""
        self._expect(State.READY)
        commands = _envelope(transaction)
        self._state = State.ENVELOPE
        self.heard = False
        progress = self._progress = _Progress(transaction, [None] * len(transaction.recipients))
        self._send(commands[0], self._sender_answered)
        if "PIPELINING" in self.extensions:
            self._send_recipients(progress, commands[1:])
        else:
            self._waiting_commands = commands[1:]

    def send_content(self, data: bytes) -> None:
        """The next octets of the message, CRLF at every line end; at most a MiB or so at once."""
        self._expect(State.CONTENT)
        progress = self._progress
        assert progress is not None
        if progress.transaction.chunked:
            self._send_chunk(progress, data, last=False)
        elif progress.stuffing is not None:
            self._out.append(progress.stuffing.feed(data))

    def end_content(self, data: bytes = b"") -> None:
        """The last octets of the message."""
        self._expect(State.CONTENT)
        progress = self._progress
        assert progress is not None
        self._state = State.ENDING
        progress.ended = True
        if progress.transaction.chunked:
            self._send_chunk(progress, data, last=True)
            return
        assert progress.stuffing is not None
        if data:
            self._out.append(progress.stuffing.feed(data))
        self._send(progress.stuffing.end(), self._finish, _END_PATIENCE)

    def abandon(self) -> None:
        """The content cannot be sent to its end: nothing but hanging up keeps half a message from being taken."""
        self._wanted.clear()
        self._out.clear()
        self._state = State.CLOSED

    def quit(self) -> None:
        """Say goodbye; the reply is not waited for long."""
        if self._state is not State.CLOSED:
            self._out.append(b"QUIT\r\n")
            self._close()

    # What the peer says.

    def _take(self, reply: Reply) -> None:
        self.heard = True
        if reply.code == 421 and self._state is not State.GREETING:
            self._break("it closes the connection", reply)  # RFC 5321 3.8: a server that must go may say so at any time
        elif len(self._wanted) > self._unsent:
            self._wanted.popleft().handle(reply)
        elif self._state is State.CONTENT and reply.code >= 400:
            self._finish(reply)  # it has seen enough before the end, and waits for no more
            self._break("it refused the message half way")
        else:
            self._break("it answered what it was not asked")

    def _greeted(self, reply: Reply) -> None:
        if reply.code != 220:
            self._refuse(reply)
            return
        self._greeting = reply.text.partition(" ")[0].partition("\n")[0]
        self._say_hello()

    def _say_hello(self) -> None:
        self._state = State.HELLO
        self.extensions = {}
        self._command(f"EHLO {self._hostname}", self._hello_answered)

    def _hello_answered(self, reply: Reply) -> None:
        if reply.code == 250:
            for line in reply.text.split("\n")[1:]:
                keyword, _, arguments = line.strip().upper().partition(" ")
                if keyword.startswith("AUTH="):  # an old spelling that some servers still add
                    keyword, arguments = "AUTH", keyword[5:] + " " + arguments
                self.extensions.setdefault(keyword, arguments)
            self._become_ready()
        elif 500 <= reply.code < 555 and not self._tls:
            # RFC 5321 3.2: a server that does not know EHLO; after TLS it must.
            self._command(f"HELO {self._hostname}", self._helo_answered)
        else:
            self._refuse(reply)

    def _helo_answered(self, reply: Reply) -> None:
        if reply.code == 250:
            self._become_ready()
        else:
            self._refuse(reply)

    def _become_ready(self) -> None:
        self._state = State.READY
        self._events.append(Ready(self.extensions))

    def _refuse(self, reply: Reply) -> None:
        self._out.append(b"QUIT\r\n")
        self._close()
        self._events.append(Refused(reply))

    def _tls_answered(self, reply: Reply) -> None:
        if reply.code != 220:
            self._state = State.READY
            self._events.append(TlsRefused(reply))
        elif not self._reader.is_empty:
            # What came in plain text behind the 220 was written by someone in between (CVE-2021-33515 and its kin).
            self._break("it spoke in plain text where TLS was to start")
        else:
            self._events.append(TlsGranted())

    def _login_answered(self, reply: Reply) -> None:
        if reply.code == 334 and self._credentials:
            self._send(self._credentials.pop(0) + b"\r\n", self._login_answered)
        elif reply.code == 235:
            self._credentials = []
            self._become_ready()
        elif reply.code == 334:
            self._send(b"*\r\n", self._login_answered)  # RFC 4954 4: give up this exchange
        else:
            self._credentials = []
            self._state = State.READY
            self._events.append(LoginRefused(reply))

    # The transaction.

    def _send_recipients(self, progress: _Progress, commands: Sequence[bytes]) -> None:
        """All RCPTs at once, and DATA behind them (RFC 2920 3.1). BDAT waits: its content would be sent in vain."""
        self._waiting_commands = commands[MAX_BURST:]
        for command in commands[:MAX_BURST]:
            self._send(command, self._recipient_answered)
            progress.sent += 1
        if not self._waiting_commands and not progress.transaction.chunked:
            self._ask_for_data(progress)

    def _ask_for_data(self, progress: _Progress) -> None:
        progress.wants_data = True
        self._command("DATA", self._data_answered, _DATA_PATIENCE)

    def _sender_answered(self, reply: Reply) -> None:
        progress = self._progress
        assert progress is not None
        if reply.code == 250:
            if "PIPELINING" not in self.extensions:
                self._next_recipient(progress)
            return
        progress.failed = reply
        if not progress.sent:  # nothing else is on its way
            self._finish_envelope(progress)

    def _next_recipient(self, progress: _Progress) -> None:
        """Without pipelining: one command, one reply."""
        if self._waiting_commands:
            self._send(self._waiting_commands[0], self._recipient_answered)
            self._waiting_commands = self._waiting_commands[1:]
            progress.sent += 1

    def _recipient_answered(self, reply: Reply) -> None:
        progress = self._progress
        assert progress is not None
        if reply.code in (250, 251, 252) and progress.failed is None:  # RFC 5321 4.3.2
            progress.taken += 1
        else:
            progress.replies[progress.answered] = progress.failed or reply
        progress.answered += 1
        if progress.answered < progress.sent:
            return
        if self._waiting_commands and progress.failed is None:
            if "PIPELINING" in self.extensions:
                self._send_recipients(progress, self._waiting_commands)
            else:
                self._next_recipient(progress)
        elif not progress.wants_data:
            self._envelope_answered(progress)

    def _envelope_answered(self, progress: _Progress) -> None:
        """All recipients have their answers, and DATA was not sent with them."""
        if not progress.taken:
            self._finish_envelope(progress)
        elif progress.transaction.chunked:
            self._want_content(progress)
        else:
            self._ask_for_data(progress)

    def _finish_envelope(self, progress: _Progress) -> None:
        """Nobody is left to send to."""
        if progress.failed is None:
            self._reset()
        self._finish(progress.failed)

    def _data_answered(self, reply: Reply) -> None:
        progress = self._progress
        assert progress is not None
        if reply.code != 354:
            if progress.failed is None:
                self._reset()
            self._finish(progress.failed or reply)
        elif progress.taken:
            self._want_content(progress)
        else:
            # RFC 2920 3.1: DATA was granted although no recipient was. An empty message ends it, whatever the answer.
            self._send(b".\r\n", self._finish, _END_PATIENCE)

    def _want_content(self, progress: _Progress) -> None:
        transaction = progress.transaction
        self._state = State.CONTENT
        if not transaction.chunked:
            progress.stuffing = Stuffing(transaction.dot_lines, transaction.open_end, None)
        self._events.append(ContentWanted())

    def _send_chunk(self, progress: _Progress, data: bytes, *, last: bool) -> None:
        command = b"BDAT %d%b\r\n" % (len(data), b" LAST" if last else b"")
        self._send(command + data, self._chunk_answered, _END_PATIENCE if last else _BLOCK_PATIENCE)
        progress.chunks += 1

    def _chunk_answered(self, reply: Reply) -> None:
        progress = self._progress
        assert progress is not None
        progress.chunks -= 1
        if reply.code != 250 and progress.failed is None:
            progress.failed = reply
        if progress.ended and not progress.chunks:
            if progress.failed is not None:
                self._reset()  # RFC 3030 2: after a BDAT that failed
            self._finish(progress.failed or reply)

    @property
    def content_refused(self) -> bool:
        """While content is sent in chunks: the peer has refused one, the rest may be left out."""
        return self._progress is not None and self._progress.failed is not None

    def _finish(self, rest: Reply | None) -> None:
        """The transaction is over; `rest` is the answer for those recipients that have none of their own."""
        progress = self._progress
        assert progress is not None
        self._progress = None
        self._waiting_commands = ()
        missing = rest or Reply(451, "4.5.0", "No answer")
        replies = tuple(reply or missing for reply in progress.replies)
        if self._state is not State.CLOSED:
            self._state = State.READY
        self._events.append(Finished(replies))

    def _reset(self) -> None:
        """What was taken of an envelope stays with the peer otherwise. The answer may come when it likes."""
        self._command("RSET", self._reset_answered)

    def _reset_answered(self, reply: Reply) -> None:
        if reply.code != 250:
            self._break("it refused RSET", reply)

    # The inside.

    def _command(self, line: str, handle: Callable[[Reply], None], patience: float = _COMMAND_PATIENCE) -> None:
        self._send(_line(line), handle, patience)

    def _send(self, data: bytes, handle: Callable[[Reply], None], patience: float = _COMMAND_PATIENCE) -> None:
        self._out.append(data)
        self._wanted.append(_Wanted(handle, patience))
        self._unsent += 1

    def _break(self, reason: str, reply: Reply | None = None) -> None:
        self._close()
        self._events.append(Broken(reason, reply))

    def _close(self) -> None:
        self._state = State.CLOSED
        self._wanted.clear()
        self._unsent = 0
        self._progress = None

    def _expect(self, state: State) -> None:
        if self._state is not state:
            raise RuntimeError(f"not now: {self._state.name}")


def _envelope(transaction: Transaction) -> list[bytes]:
    """MAIL and every RCPT, ready for the wire."""
    parameters = transaction.recipient_parameters or ("",) * len(transaction.recipients)
    return [
        _line(f"MAIL FROM:<{transaction.sender}>{transaction.sender_parameters}"),
        *(
            _line(f"RCPT TO:<{recipient}>{given}")
            for recipient, given in zip(transaction.recipients, parameters, strict=True)
        ),
    ]


def _line(text: str) -> bytes:
    """One command. Whatever its arguments hold, it never becomes two."""
    if "\r" in text or "\n" in text or "\0" in text:
        raise ValueError(f"a command with a line break or NUL in it: {text[:80]!r}")
    return text.encode() + b"\r\n"
