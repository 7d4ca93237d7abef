"""One message on its way to another server: the envelope, pipelined where that is offered, then DATA or BDAT.

client_states.py has the table; client_core.py says which reply belongs to which command.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from posthouse.message.reply import Reply
from posthouse.protocol.smtp.client_core import BLOCK_PATIENCE, ClientCore, Refusals, command_line
from posthouse.protocol.smtp.client_events import ContentWanted, Finished, OutgoingTransaction
from posthouse.protocol.smtp.client_states import SmtpClientState
from posthouse.protocol.smtp.remote_reply import ReplyError
from posthouse.protocol.stuffing import Stuffing

# RFC 5321 4.5.3.2, in seconds; the others stand in client_core.py.
_DATA_PATIENCE = 120.0
_END_PATIENCE = 600.0

_OK = frozenset({250})
_RECIPIENT_TAKEN = frozenset({250, 251, 252})
_GO_AHEAD = frozenset({354})

MAX_BURST = 100  # commands sent at once; RFC 5321 4.5.3.1.8: a server takes at least 100 recipients


@dataclass(slots=True)
class _Progress:
    """The transaction at hand."""

    transaction: OutgoingTransaction
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


class TransactionSender:
    """The transactions of one connection, one after the other."""

    __slots__ = ("_core", "_extensions", "_progress", "_waiting_commands")

    def __init__(self, core: ClientCore) -> None:
        self._core = core
        self._extensions: Mapping[str, str] = {}
        self._progress: _Progress | None = None
        self._waiting_commands: Sequence[bytes] = ()  # RCPTs that have not gone yet

    def begin(self, transaction: OutgoingTransaction, extensions: Mapping[str, str]) -> None:
        """Send the envelope. Raises ValueError for an argument that holds a line break or NUL."""
        self._core.expect(SmtpClientState.READY)
        commands = _envelope(transaction)
        core, self._extensions = self._core, extensions
        core.state = SmtpClientState.ENVELOPE
        core.heard = False
        core.refusals = self._refusals
        progress = self._progress = _Progress(transaction, [None] * len(transaction.recipients))
        core.send(commands[0], self._sender_answered, _OK)
        if "PIPELINING" in extensions:
            self._send_recipients(progress, commands[1:])
        else:
            self._waiting_commands = commands[1:]

    def send_content(self, data: bytes) -> None:
        """The next octets of the message, CRLF at every line end; at most a MiB or so at once."""
        self._core.expect(SmtpClientState.CONTENT)
        progress = self._still_in_step()
        if progress is None:
            return
        if progress.transaction.chunked:
            self._send_chunk(progress, data, last=False)
        elif progress.stuffing is not None:
            self._core.out.append(progress.stuffing.feed(data))

    def end_content(self, data: bytes = b"") -> None:
        """The last octets of the message. They are held back when the peer has said what it was not asked."""
        self._core.expect(SmtpClientState.CONTENT)
        progress = self._still_in_step()
        if progress is None:
            return
        self._core.state = SmtpClientState.ENDING
        progress.ended = True
        if progress.transaction.chunked:
            self._send_chunk(progress, data, last=True)
            return
        assert progress.stuffing is not None
        if data:
            self._core.out.append(progress.stuffing.feed(data))
        self._core.send(progress.stuffing.end(), self._content_answered, _OK, _END_PATIENCE)

    def _still_in_step(self) -> _Progress | None:
        """Look at what has come while content is sent; None: the connection is broken."""
        while self._core.take_next():
            pass
        if self._core.state is SmtpClientState.CONTENT and not self._core.pending and not self._core.nothing_unread:
            self._core.break_off("it answered what it was not asked")
        return self._progress if self._core.state is SmtpClientState.CONTENT else None

    def _send_recipients(self, progress: _Progress, commands: Sequence[bytes]) -> None:
        """All RCPTs at once, and DATA behind them (RFC 2920 3.1). BDAT waits: its content would be sent in vain."""
        self._waiting_commands = commands[MAX_BURST:]
        for command in commands[:MAX_BURST]:
            self._send_recipient(progress, command)
        if not self._waiting_commands and not progress.transaction.chunked:
            self._ask_for_data(progress)

    def _send_recipient(self, progress: _Progress, command: bytes) -> None:
        self._core.send(command, self._recipient_answered, _RECIPIENT_TAKEN)
        progress.sent += 1

    def _ask_for_data(self, progress: _Progress) -> None:
        progress.wants_data = True
        self._core.command("DATA", self._data_answered, _GO_AHEAD, _DATA_PATIENCE)

    def _sender_answered(self, reply: Reply) -> None:
        progress = self._progress
        assert progress is not None
        if reply.code == 250:
            if "PIPELINING" not in self._extensions:
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
            self._core.break_off("it took a recipient after it had refused the sender")
            return
        if taken:
            progress.taken += 1
        else:
            progress.replies[progress.answered] = progress.failed or reply
        progress.answered += 1
        if progress.answered < progress.sent:
            return
        if self._waiting_commands and progress.failed is None:
            if "PIPELINING" in self._extensions:
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
            self._core.break_off("it wanted content after it had refused the sender")
        elif progress.taken:
            self._want_content(progress)
        else:
            # RFC 2920 3.1: DATA was granted although no recipient was. An empty message ends it, whatever the answer.
            self._core.state = SmtpClientState.ENDING
            self._core.send(b".\r\n", self._content_answered, _OK, _END_PATIENCE)

    def _content_answered(self, reply: Reply) -> None:
        """What the server says of the whole message. Once it has taken it, nothing that follows takes that back.

        But when a refusal stands behind it already, the first of the two may have been for something before.
        """
        if self._core.nothing_unread:
            self._finish(reply)
            return
        try:
            behind = self._core.unread_reply() if reply.code == 250 else reply
        except ReplyError:
            behind = None
        if behind is not None and behind.code >= 400 and behind.code != 421:
            self._core.break_off("it answered what it was not asked", behind)
        else:
            self._finish(reply)
            self._core.break_off("it answered what it was not asked")

    def _want_content(self, progress: _Progress) -> None:
        if not self._core.nothing_unread:
            self._core.break_off("it answered what it was not asked")
            return
        transaction = progress.transaction
        self._core.state = SmtpClientState.CONTENT
        if not transaction.chunked:
            progress.stuffing = Stuffing(transaction.has_leading_dots, transaction.no_final_crlf, None)
        self._core.emit(ContentWanted())

    def _send_chunk(self, progress: _Progress, data: bytes, *, last: bool) -> None:
        command = b"BDAT %d%b\r\n" % (len(data), b" LAST" if last else b"")
        self._core.send(command + data, self._chunk_answered, _OK, _END_PATIENCE if last else BLOCK_PATIENCE)
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
        self._core.state = SmtpClientState.ENDING
        self._waiting_commands = ()
        self._core.command("RSET", self._reset_answered, _OK)

    def _reset_answered(self, reply: Reply) -> None:
        progress = self._progress
        assert progress is not None
        if reply.code == 250 and self._core.nothing_unread:
            self._finish(progress.rest)
        elif reply.code == 250:
            self._core.break_off("it answered what it was not asked")
        else:
            self._core.break_off("it refused RSET", reply)

    def _finish(self, rest: Reply | None) -> None:
        """The transaction is over; `rest` is the answer for those recipients that have none of their own."""
        progress = self._progress
        assert progress is not None
        self._progress = None
        self._waiting_commands = ()
        missing = rest or Reply(451, "4.5.0", "No answer")
        self._core.state = SmtpClientState.READY
        self._core.emit(Finished(tuple(reply or missing for reply in progress.replies)))

    def _refusals(self, silent: bool) -> Refusals:
        """What is final of a transaction that ends half way, though its peer was in step.

        Only when the envelope has all its replies: among those of one burst, one that is missing shows in the last.
        With a single recipient there is nobody else whom its refusal could be meant for, unless the peer has fallen
        `silent`: that may be the reply that is missing.
        """
        progress = self._progress
        if progress is None or not self._core.nothing_unread:
            return ()
        if self._core.state in (SmtpClientState.CONTENT, SmtpClientState.ENDING):
            return tuple(reply or progress.rest for reply in progress.replies)
        alone = progress.failed or progress.replies[0]
        return () if silent or len(progress.replies) > 1 or alone is None else (alone,)


def _envelope(transaction: OutgoingTransaction) -> list[bytes]:
    """MAIL and every RCPT, ready for the wire."""
    parameters = transaction.recipient_parameters or ("",) * len(transaction.recipients)
    return [
        command_line(f"MAIL FROM:<{transaction.sender}>{transaction.sender_parameters}"),
        *(
            command_line(f"RCPT TO:<{recipient}>{given}")
            for recipient, given in zip(transaction.recipients, parameters, strict=True)
        ),
    ]
