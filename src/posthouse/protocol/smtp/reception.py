"""The transaction and its content: DATA (RFC 5321 4.1.1.4) and BDAT (RFC 3030), up to the last word on a message."""

import re
from collections.abc import Callable, Mapping, Sequence

from posthouse.message.envelope import BodyType, ReversePath
from posthouse.message.reply import Reply
from posthouse.protocol.smtp import replies
from posthouse.protocol.smtp.events import DataOffered, EnvelopeCleared, MessageChunk, MessageEnded, RefusalScope
from posthouse.protocol.smtp.intake import Intake
from posthouse.protocol.smtp.login import Login
from posthouse.protocol.smtp.settings import SmtpSettings
from posthouse.protocol.smtp.states import State

_BDAT = re.compile(r"([0-9]{1,20})(?: +(LAST))?", re.IGNORECASE | re.ASCII)
_CLEARED = EnvelopeCleared()
NO_SENDER = ReversePath(None)


class Reception(Login):
    """The part of the engine that takes messages in."""

    __slots__ = (
        "_accepted",
        "_attempts",
        "_chunk",
        "_intake",
        "_offered_octets",
        "_recipient_octets",
        "_sender",
        "_state",
        "_stray",
        "_unknown",
    )

    def __init__(
        self, settings: SmtpSettings, *, bindings: Mapping[str, bytes], secure: bool, nonce: Callable[[], str]
    ) -> None:
        super().__init__(settings, bindings=bindings, secure=secure, nonce=nonce)
        self._state = State.FRESH
        self._stray = (0, b"")  # octets of a BDAT that belongs to no message, and the reply to it
        self._unknown = 0  # recipients that do not exist, since a message was taken
        self._forget_transaction()

    def _forget_transaction(self) -> None:
        self._sender = NO_SENDER
        self._accepted = self._attempts = 0  # RCPT commands: taken, refused
        self._recipient_octets = 0  # of those that were taken
        self._offered_octets = 0  # of the one that was offered last
        self._intake: Intake | None = None
        self._chunk: tuple[int, bool] | None = None  # the BDAT that waits for the answer to DataOffered
        self._receiving = False  # the session holds a message that is not settled

    def accept_data(self) -> None:
        """Answer to DataOffered."""
        if not self._answered(DataOffered):
            return
        if self._chunk is None and self._is_out_of_turn():  # content before the 354
            self._end("spoke out of turn", replies.OUT_OF_TURN)
            return
        self._receiving = True
        if self._chunk is not None:
            self._begin_chunk(*self._chunk)
        else:
            self._intake = Intake(self._settings, binary=False)
            self._read = Reception._read_data
            self._say(replies.GO_AHEAD)

    def accept_message(self, reply: Reply) -> None:
        """Answer to MessageEnded: the message is durable. In LMTP every recipient gets this reply."""
        if self._answered(MessageEnded):
            self._unknown = 0
            self._conclude(reply.encode() * (self._accepted if self._lmtp else 1))

    def finish_message(self, answers: Sequence[Reply]) -> None:
        """Answer to MessageEnded in LMTP: one reply per accepted recipient, in their order (RFC 2033 4.2)."""
        if not self._lmtp or (self._offer is not None and len(answers) != self._accepted):
            raise ValueError(f"{len(answers)} replies, {self._accepted if self._lmtp else 1} expected")
        if self._answered(MessageEnded):
            refused = b"".join([reply.encode() for reply in answers if not reply.is_positive])
            self._conclude(b"".join([reply.encode() for reply in answers]), refused)

    def _is_out_of_turn(self) -> bool:
        """Whether the client goes on where it has to wait for our reply."""
        return self._settings.in_turn and not self.authenticated and not self._lines.is_empty

    def _is_busy(self) -> bool:
        return super()._is_busy() or self._read in (Reception._read_data, Reception._read_chunk)

    def _clear(self) -> None:
        """End the transaction, if there is one."""
        if self._state not in (State.FRESH, State.READY):
            self._state = State.READY
            self._forget_transaction()
            self._events.append(_CLEARED)

    def _conclude(self, said: bytes, refused: bytes = b"") -> None:
        """The last word on a message: RFC 5321 4.1.1.4 clears the buffers. `refused`: what of it is no good news."""
        self._expect_command()
        self._say(said)
        if refused:
            self._note_refusal(refused, RefusalScope.MESSAGE)
        self._clear()

    def _do_data(self, text: str) -> None:
        if text:
            self._error(replies.NO_ARGUMENT)
        elif not self._accepted:
            self._error(self._no_recipients())
        elif self._sender.body is BodyType.BINARY:
            self._error(replies.BINARY_NEEDS_BDAT)
        else:
            self._offer_up(DataOffered())

    def _no_recipients(self) -> bytes:
        # RFC 5321 3.3: 503 or 554; RFC 2033 4.2 wants 503.
        return replies.NO_RECIPIENTS if self._attempts and not self._lmtp else replies.RCPT_FIRST

    def _read_data(self) -> bool:
        """Take what is there as content of DATA; False when there is nothing."""
        data = self._lines.take_all()
        intake = self._intake
        if not data or intake is None:
            return False
        self._hand_on(intake, intake.take_data(data))
        if self.closing or not intake.data.ended:
            return True
        self._lines.put_back(intake.data.rest)
        self._message_ended(intake, intake.data.has_leading_dots, intake.data.bare_cr_or_lf)
        return True

    def _hand_on(self, intake: Intake, block: bytes) -> None:
        if block:
            self._events.append(MessageChunk(block))
        elif intake.fault is not None:
            self._drop(intake.fault.decode().rstrip())
            if intake.octets > self._settings.max_drained:
                self._hang_up("4.7.0", "far too much data")

    def _message_ended(self, intake: Intake, has_leading_dots: bool, bare_cr_or_lf: bool) -> None:
        if intake.fault is not None:
            self._conclude(intake.fault * (self._accepted if self._lmtp else 1), intake.fault)
        else:
            self._expect_command()
            self._offer_up(MessageEnded(intake.octets, has_leading_dots, bare_cr_or_lf))

    def _do_bdat(self, text: str) -> None:
        match = _BDAT.fullmatch(text)
        if match is None:
            self._end("bad BDAT", replies.BAD_BDAT)  # nobody knows where the next command starts
            return
        octets, last = int(match[1]), match[2] is not None
        received = self._intake.octets if self._intake is not None else 0
        if received + octets > self._settings.max_drained:
            self._hang_up("4.3.4", "far too much data")
        elif self._state in (State.BDAT, State.FAILED):
            self._begin_chunk(octets, last)
        elif self._state is not State.RCPT:
            # RFC 3030 2: the octets come whatever we say, so they are taken and thrown away.
            fresh = replies.LHLO_FIRST if self._lmtp else replies.HELLO_FIRST
            early = {State.FRESH: fresh, State.READY: replies.MAIL_FIRST}.get(self._state)
            self._stray = (octets, early or self._no_recipients())
            self._read = Reception._read_stray
        elif octets > self._settings.max_size:
            self._begin_chunk(octets, last)
        else:
            self._chunk = (octets, last)
            self._offer_up(DataOffered())

    def _begin_chunk(self, octets: int, last: bool, *, fault: bytes | None = None) -> None:
        if self._intake is None:
            self._intake = Intake(self._settings, binary=self._sender.body is BodyType.BINARY)
        if fault is not None:
            self._intake.refuse(fault)
        self._intake.begin_chunk(octets, last=last)
        if self._intake.fault is not None:
            self._drop(self._intake.fault.decode().rstrip())
        self._read = Reception._read_chunk
        if not octets:
            self._chunk_ended(self._intake)

    def _read_chunk(self) -> bool:
        """Take what is there as part of a chunk; False when there is nothing."""
        intake = self._intake
        data = self._lines.take_all()
        if not data or intake is None:
            return False
        if len(data) > intake.chunks.left:
            self._lines.put_back(data[intake.chunks.left :])
            data = data[: intake.chunks.left]
        self._hand_on(intake, intake.take_chunk(data))
        if not intake.chunks.left and not self.closing:
            self._chunk_ended(intake)
        return True

    def _chunk_ended(self, intake: Intake) -> None:
        if intake.chunks.last:
            intake.finish_chunks()
            self._hand_on(intake, b"")
            self._message_ended(intake, intake.chunks.has_leading_dots, intake.chunks.bare_cr_or_lf)
        else:
            self._state = State.BDAT if intake.fault is None else State.FAILED
            self._expect_command()
            if intake.fault is not None:
                self._refuse(intake.fault, RefusalScope.MESSAGE)
            else:
                self._say(replies.CHUNK_OK)

    def _read_stray(self) -> bool:
        """Throw away what is there of a chunk that belongs to no message."""
        left, reply = self._stray
        data = self._lines.take_all() if left else b""
        if left and not data:
            return False
        if len(data) > left:
            self._lines.put_back(data[left:])
        self._stray = (max(0, left - len(data)), reply)
        if not self._stray[0]:
            self._expect_command()
            self._error(reply)
        return True
