"""The mail transaction (RFC 5321 3.3): MAIL, RCPT, then the content by DATA or BDAT (RFC 3030), and the reply to it."""

import re
from collections.abc import Sequence

from posthouse.message.envelope import BodyType, ReversePath
from posthouse.message.reply import Reply
from posthouse.protocol.engine_core import EngineCore
from posthouse.protocol.events import MessageChunk
from posthouse.protocol.smtp import replies, states
from posthouse.protocol.smtp.content_reader import ContentReader
from posthouse.protocol.smtp.events import (
    DataOffered,
    EnvelopeCleared,
    MessageDropped,
    MessageEnded,
    RecipientOffered,
    RefusalScope,
    SenderOffered,
)
from posthouse.protocol.smtp.grammar import ArgumentError, parse_mail, parse_rcpt
from posthouse.protocol.smtp.responder import Responder
from posthouse.protocol.smtp.settings import SmtpSettings, Variant
from posthouse.protocol.smtp.states import SmtpState

_BDAT = re.compile(r"([0-9]{1,20})(?: +(LAST))?", re.IGNORECASE | re.ASCII)
_CLEARED = EnvelopeCleared()
NO_SENDER = ReversePath(None)


class MailTransaction:
    """The state of the session, the envelope as far as the engine needs it, and the message that is coming in."""

    __slots__ = (
        "_accepted",
        "_attempts",
        "_core",
        "_lmtp",
        "_offered_octets",
        "_reader",
        "_receiving",
        "_recipient_octets",
        "_responder",
        "_settings",
        "_stray",
        "_unknown",
        "chunk",
        "sender",
        "state",
    )

    def __init__(self, core: EngineCore, responder: Responder, settings: SmtpSettings) -> None:
        self._core = core
        self._responder = responder
        self._settings = settings
        self._lmtp = settings.variant is Variant.LMTP
        self._stray = (0, b"")  # octets of a BDAT that belongs to no message, and the reply to it
        self.state = SmtpState.FRESH
        self._unknown = 0  # recipients that do not exist, since a message was taken
        self._forget()

    def _forget(self) -> None:
        self.sender = NO_SENDER
        self._accepted = self._attempts = 0  # RCPT commands: taken, refused
        self._recipient_octets = 0  # of those that were taken
        self._offered_octets = 0  # of the one that was offered last
        self.chunk: tuple[int, bool] | None = None  # the BDAT that waits for the answer to DataOffered
        self._reader: ContentReader | None = None
        self._receiving = False  # the session holds a message that is not settled

    def clear(self) -> None:
        """End the transaction, if there is one."""
        if self.state in states.TRANSACTION_ENDED:
            self.state = states.TRANSACTION_ENDED[self.state]
            self._forget()
            self._core.events.append(_CLEARED)

    def drop(self, reason: str) -> None:
        """The message under way, if there is one, will not come to be."""
        if self._receiving:
            self._receiving = False
            self._core.events.append(MessageDropped(reason))

    # The envelope.

    def do_mail(self, text: str) -> None:
        """Carry out MAIL FROM."""
        try:
            sender = parse_mail(text, future=self._settings.hold_until is not None)
        except ArgumentError as error:
            self._responder.error(error.reply.encode())
            return
        if sender.size > self._settings.max_size:  # RFC 1870 6.1
            self._responder.refuse(replies.TOO_LARGE)
            return
        self.drop("MAIL")
        self.clear()  # after a failed BDAT a new transaction may follow without RSET
        self.sender = sender
        self._core.emit(SenderOffered(sender))

    def accept_sender(self) -> None:
        """Answer to SenderOffered."""
        if self._core.answered(SenderOffered):
            self.state = states.SENDER_ACCEPTED[self.state]
            self._core.send(replies.SENDER_OK)

    def do_rcpt(self, text: str) -> None:
        """Carry out RCPT TO."""
        octets = self._recipient_octets + len(text)
        # RFC 5321 4.5.3.1.10
        if self._accepted >= self._settings.max_recipients or octets > self._settings.max_recipient_octets:
            self._refuse_recipient(replies.TOO_MANY_RECIPIENTS, RefusalScope.COMMAND)
            return
        try:
            recipient = parse_rcpt(text, smtputf8=self.sender.smtputf8)
        except ArgumentError as error:
            self._responder.error(error.reply.encode())
            return
        self._offered_octets = len(text)
        self._core.emit(RecipientOffered(recipient))

    def accept_recipient(self) -> None:
        """Answer to RecipientOffered."""
        if self._core.answered(RecipientOffered):
            self._accepted += 1
            self._recipient_octets += self._offered_octets
            self.state = states.RECIPIENT_ACCEPTED[self.state]
            self._core.send(replies.RECIPIENT_OK)

    def _refuse_recipient(self, reply: bytes, scope: RefusalScope, *, guessed: bool = False) -> None:
        self._responder.refuse(reply, scope)
        self._attempts += 1
        self._unknown += guessed
        # A list whose addresses are old has a few dead ones among many good ones. Only the good ones of this
        # transaction count: a name that is known can be given again in each.
        if guessed and self._unknown > max(self._settings.max_unknown, self._accepted // 4):
            self._responder.hang_up("4.7.0", "too many unknown recipients")
        elif self._attempts > self._settings.max_attempts:
            self._responder.hang_up("4.7.0", "too many recipients")

    # Answers to what the message leads to.

    def reject(self, reply: Reply, *, guessed: bool = False) -> None:
        """Refuse the sender, the recipient, DATA, or the whole message.

        `guessed`: there is no such recipient, and who asks may be trying out names. We hang up on those.
        """
        offer = self._core.offer
        if not self._core.answered(SenderOffered, RecipientOffered, DataOffered, MessageEnded):
            return
        encoded = reply.encode()
        if offer is MessageEnded:
            self._conclude(encoded * (self._accepted if self._lmtp else 1), encoded)
        elif offer is DataOffered and self.chunk is not None:
            self._begin_chunk(*self.chunk, fault=encoded)  # its octets come all the same
        elif offer is DataOffered:
            self._conclude(encoded, encoded)
        elif offer is RecipientOffered:
            self._refuse_recipient(encoded, RefusalScope.RECIPIENT, guessed=guessed)
        else:
            self.sender = NO_SENDER
            self._responder.refuse(encoded, RefusalScope.SENDER)

    def begin_content(self) -> None:
        """The session takes the message, as far as it has come."""
        self._receiving = True
        if self.chunk is not None:
            self._begin_chunk(*self.chunk)
        else:
            self._reader = ContentReader(self._settings, binary=False)
            self._core.expect(self._read_data, receiving=True)
            self._core.send(replies.GO_AHEAD)

    def accept_message(self, reply: Reply) -> None:
        """Answer to MessageEnded: the message is durable. In LMTP every recipient gets this reply."""
        if self._core.answered(MessageEnded):
            self._unknown = 0
            self._conclude(reply.encode() * (self._accepted if self._lmtp else 1))

    def finish_message(self, answers: Sequence[Reply]) -> None:
        """Answer to MessageEnded in LMTP: one reply per accepted recipient, in their order (RFC 2033 4.2)."""
        if not self._lmtp or (self._core.offer is not None and len(answers) != self._accepted):
            raise ValueError(f"{len(answers)} replies, {self._accepted if self._lmtp else 1} expected")
        if self._core.answered(MessageEnded):
            refused = b"".join([reply.encode() for reply in answers if not reply.is_positive])
            self._conclude(b"".join([reply.encode() for reply in answers]), refused)

    def _conclude(self, reply: bytes, refused: bytes = b"") -> None:
        """The reply to a message: RFC 5321 4.1.1.4 clears the buffers. `refused`: what of it is no good news."""
        self._core.expect_command()
        self._core.send(reply)
        if refused:
            self._responder.note_refusal(refused, RefusalScope.MESSAGE)
        self.clear()

    # DATA.

    def do_data(self, text: str) -> None:
        """Carry out DATA."""
        if text:
            self._responder.error(replies.NO_ARGUMENT)
        elif not self._accepted:
            self._responder.error(self._no_recipients())
        elif self.sender.body is BodyType.BINARY:
            self._responder.error(replies.BINARY_NEEDS_BDAT)
        else:
            self._core.emit(DataOffered())

    def _no_recipients(self) -> bytes:
        # RFC 5321 3.3: 503 or 554; RFC 2033 4.2 wants 503.
        return replies.NO_RECIPIENTS if self._attempts and not self._lmtp else replies.RCPT_FIRST

    def _read_data(self) -> bool:
        """Take what is there as content of DATA; False when there is nothing."""
        core, reader = self._core, self._reader
        data = core.lines.take_all()
        if not data or reader is None:
            return False
        self._hand_on(reader, reader.take_data(data))
        if core.closing or not reader.data.ended:
            return True
        core.lines.put_back(reader.data.rest)
        self._message_ended(reader, reader.data.has_leading_dots, reader.data.bare_cr_or_lf)
        return True

    def _hand_on(self, reader: ContentReader, block: bytes) -> None:
        if block:
            self._core.events.append(MessageChunk(block))
        elif reader.fault is not None:
            self.drop(reader.fault.decode().rstrip())
            if reader.octets > self._settings.max_drained:
                self._responder.hang_up("4.7.0", "far too much data")

    def _message_ended(self, reader: ContentReader, has_leading_dots: bool, bare_cr_or_lf: bool) -> None:
        if reader.fault is not None:
            self._conclude(reader.fault * (self._accepted if self._lmtp else 1), reader.fault)
        else:
            self._core.expect_command()
            self._core.emit(MessageEnded(reader.octets, has_leading_dots, bare_cr_or_lf))

    # BDAT.

    def do_bdat(self, text: str) -> None:
        """Carry out BDAT."""
        match = _BDAT.fullmatch(text)
        if match is None:
            self._core.end("bad BDAT", replies.BAD_BDAT)  # nobody knows where the next command starts
            return
        octets, last = int(match[1]), match[2] is not None
        received = self._reader.octets if self._reader is not None else 0
        if received + octets > self._settings.max_drained:
            self._responder.hang_up("4.3.4", "far too much data")
        elif self.state in (SmtpState.BDAT, SmtpState.FAILED):
            self._begin_chunk(octets, last)
        elif self.state is not SmtpState.RCPT:
            # RFC 3030 2: the octets come whatever we say, so they are taken and thrown away.
            hello_first = replies.LHLO_FIRST if self._lmtp else replies.HELLO_FIRST
            early = {SmtpState.FRESH: hello_first, SmtpState.READY: replies.MAIL_FIRST}.get(self.state)
            self._stray = (octets, early or self._no_recipients())
            self._core.expect(self._read_stray)
        elif octets > self._settings.max_size:
            self._begin_chunk(octets, last)
        else:
            self.chunk = (octets, last)
            self._core.emit(DataOffered())

    def _begin_chunk(self, octets: int, last: bool, *, fault: bytes | None = None) -> None:
        if self._reader is None:
            self._reader = ContentReader(self._settings, binary=self.sender.body is BodyType.BINARY)
        if fault is not None:
            self._reader.refuse(fault)
        self._reader.begin_chunk(octets, last=last)
        if self._reader.fault is not None:
            self.drop(self._reader.fault.decode().rstrip())
        self._core.expect(self._read_chunk, receiving=True)
        if not octets:
            self._chunk_ended(self._reader)

    def _read_chunk(self) -> bool:
        """Take what is there as part of a chunk; False when there is nothing."""
        core, reader = self._core, self._reader
        data = core.lines.take_all()
        if not data or reader is None:
            return False
        if len(data) > reader.chunks.left:
            core.lines.put_back(data[reader.chunks.left :])
            data = data[: reader.chunks.left]
        self._hand_on(reader, reader.take_chunk(data))
        if not reader.chunks.left and not core.closing:
            self._chunk_ended(reader)
        return True

    def _chunk_ended(self, reader: ContentReader) -> None:
        if reader.chunks.last:
            reader.finish_chunks()
            self._hand_on(reader, b"")
            self._message_ended(reader, reader.chunks.has_leading_dots, reader.chunks.bare_cr_or_lf)
            return
        self._core.expect_command()
        if reader.fault is not None:
            self.state = states.CHUNK_REFUSED[self.state]
            self._responder.refuse(reader.fault, RefusalScope.MESSAGE)
        else:
            self.state = states.CHUNK_TAKEN[self.state]
            self._core.send(replies.CHUNK_OK)

    def _read_stray(self) -> bool:
        """Throw away what is there of a chunk that belongs to no message."""
        left, reply = self._stray
        lines = self._core.lines
        data = lines.take_all() if left else b""
        if left and not data:
            return False
        if len(data) > left:
            lines.put_back(data[left:])
        self._stray = (max(0, left - len(data)), reply)
        if not self._stray[0]:
            self._core.expect_command()
            self._responder.error(reply)
        return True
