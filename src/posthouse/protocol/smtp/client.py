"""SMTP as client (RFC 5321), without input or output: what another server says goes in, what we say to it comes out.

client_link.py says which reply belongs to which command, and what becomes of a peer that is out of step.

What a caller may do when:

    state       entered by                          the caller may
    GREETING    the connection                      wait for Ready or Refused
    HELLO       220; tls_started(); a login         wait for Ready or Refused
    READY       Ready                               start_tls(), login(), transact(), quit()
    TLS         start_tls()                         wait for TlsGranted, then tls_started(); or TlsRefused (READY)
    LOGIN       login()                             wait for Ready or LoginRefused
    ENVELOPE    transact()                          wait for ContentWanted or Finished
    CONTENT     ContentWanted                       send_content() and end_content(), or abandon()
    ENDING      end_content(); a refused envelope   wait for Finished (READY)
    CLOSED      quit(), Broken, Refused             nothing
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from posthouse.message.reply import Reply
from posthouse.protocol.smtp.client_events import (
    Broken,
    ContentWanted,
    Event,
    Finished,
    LoginRefused,
    Ready,
    Refused,
    TlsGranted,
    TlsRefused,
    Transaction,
)
from posthouse.protocol.smtp.client_link import BLOCK_PATIENCE, ClientLink, State, command_line
from posthouse.protocol.smtp.remote_reply import ReplyError
from posthouse.protocol.stuffing import Stuffing

__all__ = [
    "MAX_BURST",
    "Broken",
    "ContentWanted",
    "Event",
    "Finished",
    "LoginRefused",
    "Ready",
    "Refused",
    "SmtpClient",
    "State",
    "TlsGranted",
    "TlsRefused",
    "Transaction",
]

# RFC 5321 4.5.3.2, in seconds; the others stand in client_link.py.
_DATA_PATIENCE = 120.0
_END_PATIENCE = 600.0

# RFC 5321 4.3.2, RFC 3207 4, RFC 4954 4, RFC 3030 2: what means success, and nothing else does.
_OK = frozenset({250})
_READY = frozenset({220})  # the greeting, STARTTLS
_RECIPIENT_TAKEN = frozenset({250, 251, 252})
_GO_AHEAD = frozenset({354})
_LOGIN = frozenset({235, 334})
_NOTHING = frozenset[int]()

MAX_BURST = 100  # commands sent at once; RFC 5321 4.5.3.1.8: a server takes at least 100 recipients


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
    rest: Reply | None = None  # the answer for those recipients that have none of their own


class SmtpClient(ClientLink):
    """One connection to another server. `hostname` is what we call ourselves."""

    def __init__(self, hostname: str) -> None:
        super().__init__(self._greeted, _READY)
        self._hostname = hostname
        self._progress: _Progress | None = None
        self._waiting_commands: Sequence[bytes] = ()  # RCPTs that have not gone yet
        self._tls = False
        self._credentials: list[bytes] = []
        self._greeting = ""
        self.extensions: dict[str, str] = {}

    def greeted_as(self, hostname: str) -> bool:
        """Whether the peer has greeted with that name (RFC 5321 4.2: the first word)."""
        return self._greeting.lower() == hostname.lower()

    # What the caller says.

    def start_tls(self) -> None:
        """Ask for TLS (RFC 3207); only when STARTTLS was announced."""
        self._expect(State.READY)
        self._state = State.TLS
        self._command("STARTTLS", self._tls_answered, _READY)

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
            self._command(f"AUTH PLAIN {secret}", self._login_answered, _LOGIN)
        else:
            self._credentials = [base64.b64encode(word.encode()) for word in (name, password)]
            self._command("AUTH LOGIN", self._login_answered, _LOGIN)

    def transact(self, transaction: Transaction) -> None:
        """Begin to send a message. Raises ValueError for an argument that holds a line break or NUL."""
        self._expect(State.READY)
        commands = _envelope(transaction)
        self._state = State.ENVELOPE
        self.heard = False
        progress = self._progress = _Progress(transaction, [None] * len(transaction.recipients))
        self._send(commands[0], self._sender_answered, _OK)
        if "PIPELINING" in self.extensions:
            self._send_recipients(progress, commands[1:])
        else:
            self._waiting_commands = commands[1:]

    def send_content(self, data: bytes) -> None:
        """The next octets of the message, CRLF at every line end; at most a MiB or so at once."""
        self._expect(State.CONTENT)
        progress = self._still_in_step()
        if progress is None:
            return
        if progress.transaction.chunked:
            self._send_chunk(progress, data, last=False)
        elif progress.stuffing is not None:
            self._out.append(progress.stuffing.feed(data))

    def end_content(self, data: bytes = b"") -> None:
        """The last octets of the message. They are held back when the peer has said what it was not asked."""
        self._expect(State.CONTENT)
        progress = self._still_in_step()
        if progress is None:
            return
        self._state = State.ENDING
        progress.ended = True
        if progress.transaction.chunked:
            self._send_chunk(progress, data, last=True)
            return
        assert progress.stuffing is not None
        if data:
            self._out.append(progress.stuffing.feed(data))
        self._send(progress.stuffing.end(), self._content_answered, _OK, _END_PATIENCE)

    def abandon(self) -> None:
        """The content cannot be sent to its end: nothing but hanging up keeps half a message from being taken."""
        self._wanted.clear()
        self._out.clear()
        self._state = State.CLOSED

    def quit(self) -> None:
        """Say goodbye; the reply is not waited for long."""
        if self._state is not State.CLOSED:
            if self._reader.is_empty:
                self._out.append(b"QUIT\r\n")
            self._close()

    # What the peer says.

    def _still_in_step(self) -> _Progress | None:
        """Look at what has come while content is sent; None: the connection is broken."""
        while self._take_next():
            pass
        if self._state is State.CONTENT and not self._wanted and not self._reader.is_empty:
            self._break("it answered what it was not asked")
        return self._progress if self._state is State.CONTENT else None

    def _greeted(self, reply: Reply) -> None:
        if reply.code != 220:
            self._refuse(reply)
            return
        self._greeting = reply.text.partition(" ")[0].partition("\n")[0]
        self._say_hello()

    def _say_hello(self) -> None:
        self._state = State.HELLO
        self.extensions = {}
        self._command(f"EHLO {self._hostname}", self._hello_answered, _OK)

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
            self._command(f"HELO {self._hostname}", self._helo_answered, _OK)
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
        self.quit()
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
            self._send(self._credentials.pop(0) + b"\r\n", self._login_answered, _LOGIN)
        elif reply.code == 235 and self._credentials:
            self._break("it granted a login before the password was sent")
        elif reply.code == 235:
            self._become_ready()
        elif reply.code == 334:
            self._send(b"*\r\n", self._login_answered, _NOTHING)  # RFC 4954 4: give up this exchange
        else:
            self._credentials = []
            self._state = State.READY
            self._events.append(LoginRefused(reply))

    # The transaction.

    def _send_recipients(self, progress: _Progress, commands: Sequence[bytes]) -> None:
        """All RCPTs at once, and DATA behind them (RFC 2920 3.1). BDAT waits: its content would be sent in vain."""
        self._waiting_commands = commands[MAX_BURST:]
        for command in commands[:MAX_BURST]:
            self._send_recipient(progress, command)
        if not self._waiting_commands and not progress.transaction.chunked:
            self._ask_for_data(progress)

    def _send_recipient(self, progress: _Progress, command: bytes) -> None:
        self._send(command, self._recipient_answered, _RECIPIENT_TAKEN)
        progress.sent += 1

    def _ask_for_data(self, progress: _Progress) -> None:
        progress.wants_data = True
        self._command("DATA", self._data_answered, _GO_AHEAD, _DATA_PATIENCE)

    def _sender_answered(self, reply: Reply) -> None:
        progress = self._progress
        assert progress is not None
        if reply.code == 250:
            if "PIPELINING" not in self.extensions:
                self._next_recipient(progress)
            return
        progress.failed = reply
        if not progress.sent:  # nothing else is on its way
            self._reset(progress, reply)

    def _next_recipient(self, progress: _Progress) -> None:
        """Without pipelining: one command, one reply."""
        if self._waiting_commands:
            self._send_recipient(progress, self._waiting_commands[0])
            self._waiting_commands = self._waiting_commands[1:]

    def _recipient_answered(self, reply: Reply) -> None:
        progress = self._progress
        assert progress is not None
        taken = reply.code in _RECIPIENT_TAKEN
        if taken and progress.failed is not None:
            self._break("it took a recipient after it had refused the sender")
            return
        if taken:
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
            self._reset(progress, progress.failed)
        elif progress.transaction.chunked:
            self._want_content(progress)
        else:
            self._ask_for_data(progress)

    def _data_answered(self, reply: Reply) -> None:
        progress = self._progress
        assert progress is not None
        if reply.code != 354:
            self._reset(progress, progress.failed or reply)
        elif progress.failed is not None:
            self._break("it wanted content after it had refused the sender")
        elif progress.taken:
            self._want_content(progress)
        else:
            # RFC 2920 3.1: DATA was granted although no recipient was. An empty message ends it, whatever the answer.
            self._state = State.ENDING
            self._send(b".\r\n", self._content_answered, _OK, _END_PATIENCE)

    def _content_answered(self, reply: Reply) -> None:
        """What the server says of the whole message. Once it has taken it, nothing that follows takes that back.

        But when a refusal stands behind it already, the first of the two may have been for something before.
        """
        if self._reader.is_empty:
            self._finish(reply)
            return
        try:
            behind = self._reader.next_reply() if reply.code == 250 else reply
        except ReplyError:
            behind = None
        if behind is not None and behind.code >= 400 and behind.code != 421:
            self._break("it answered what it was not asked", behind)
        else:
            self._finish(reply)
            self._break("it answered what it was not asked")

    def _want_content(self, progress: _Progress) -> None:
        if not self._reader.is_empty:
            self._break("it answered what it was not asked")
            return
        transaction = progress.transaction
        self._state = State.CONTENT
        if not transaction.chunked:
            progress.stuffing = Stuffing(transaction.has_leading_dots, transaction.no_final_crlf, None)
        self._events.append(ContentWanted())

    def _send_chunk(self, progress: _Progress, data: bytes, *, last: bool) -> None:
        command = b"BDAT %d%b\r\n" % (len(data), b" LAST" if last else b"")
        self._send(command + data, self._chunk_answered, _OK, _END_PATIENCE if last else BLOCK_PATIENCE)
        progress.chunks += 1

    def _chunk_answered(self, reply: Reply) -> None:
        progress = self._progress
        assert progress is not None
        progress.chunks -= 1
        if reply.code != 250 and progress.failed is None:
            progress.failed = reply
        if not progress.ended or progress.chunks:
            return
        if progress.failed is not None:
            self._reset(progress, progress.failed)  # RFC 3030 2: after a BDAT that failed
        else:
            self._content_answered(reply)

    @property
    def is_in_step(self) -> bool:
        """While content is sent: the peer has said nothing that it was not asked, as far as is known now."""
        return self._still_in_step() is not None

    @property
    def content_refused(self) -> bool:
        """While content is sent in chunks: the peer has refused one, the rest may be left out."""
        return self._progress is not None and self._progress.failed is not None

    def _reset(self, progress: _Progress, rest: Reply | None) -> None:
        """The envelope was refused. What was taken of it stays with the peer otherwise; and see the rules above."""
        progress.rest = rest
        self._state = State.ENDING
        self._waiting_commands = ()
        self._command("RSET", self._reset_answered, _OK)

    def _reset_answered(self, reply: Reply) -> None:
        progress = self._progress
        assert progress is not None
        if reply.code == 250 and self._reader.is_empty:
            self._finish(progress.rest)
        elif reply.code == 250:
            self._break("it answered what it was not asked")
        else:
            self._break("it refused RSET", reply)

    def _finish(self, rest: Reply | None) -> None:
        """The transaction is over; `rest` is the answer for those recipients that have none of their own."""
        progress = self._progress
        assert progress is not None
        self._progress = None
        self._waiting_commands = ()
        missing = rest or Reply(451, "4.5.0", "No answer")
        self._state = State.READY
        self._events.append(Finished(tuple(reply or missing for reply in progress.replies)))

    def _refusals(self, *, silent: bool = False) -> tuple[Reply | None, ...]:
        """What is final of a transaction that ends half way, though its peer was in step.

        Only when the envelope has all its replies: among those of one burst, one that is missing shows in the last.
        With a single recipient there is nobody else whom its refusal could be meant for, unless the peer has fallen
        `silent`: that may be the reply that is missing.
        """
        progress = self._progress
        if progress is None or not self._reader.is_empty:
            return ()
        if self._state in (State.CONTENT, State.ENDING):
            return tuple(reply or progress.rest for reply in progress.replies)
        alone = progress.failed or progress.replies[0]
        return () if silent or len(progress.replies) > 1 or alone is None else (alone,)


def _envelope(transaction: Transaction) -> list[bytes]:
    """MAIL and every RCPT, ready for the wire."""
    parameters = transaction.recipient_parameters or ("",) * len(transaction.recipients)
    return [
        command_line(f"MAIL FROM:<{transaction.sender}>{transaction.sender_parameters}"),
        *(
            command_line(f"RCPT TO:<{recipient}>{given}")
            for recipient, given in zip(transaction.recipients, parameters, strict=True)
        ),
    ]
