"""The SMTP and LMTP server engine (RFC 5321, RFC 2033).

`COMMANDS`, at the end, holds every verb with the states it is legal in and the method that carries it out. What the
next octets are (a command line, a SASL response, content, a chunk) is `_read`, one of the `_read_...` methods. A
method either answers at once, or puts an offer among the events; while that is unanswered nothing is parsed, so
PIPELINING (RFC 2920) is right by construction.
"""

import re
from base64 import b64encode
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from posthouse.message.credentials import ScramKeys
from posthouse.message.envelope import BodyType, Sender
from posthouse.message.reply import Reply
from posthouse.protocol.events import (
    KeysWanted,
    LoginFailed,
    LoginProven,
    PasswordOffered,
    SessionEnded,
    StartTlsOffered,
)
from posthouse.protocol.sasl import Challenge, Exchange, Malformed, Step, mechanisms
from posthouse.protocol.smtp import replies
from posthouse.protocol.smtp.capabilities import hello_reply, protocol_name
from posthouse.protocol.smtp.events import (
    DataOffered,
    EnvelopeCleared,
    MessageChunk,
    MessageDropped,
    MessageEnded,
    RecipientOffered,
    SenderOffered,
)
from posthouse.protocol.smtp.grammar import ArgumentError, parse_mail, parse_rcpt
from posthouse.protocol.smtp.intake import Intake
from posthouse.protocol.smtp.lines import LineBuffer, LineFault
from posthouse.protocol.smtp.settings import (
    MAX_AUTH_LINE,
    MAX_ERRORS,
    MAX_FAILED_LOGINS,
    MAX_UNSENT,
    PATIENCE,
    SmtpSettings,
    Variant,
)

__all__ = ["COMMANDS", "SmtpServer", "SmtpSettings", "Variant"]

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f]")
_BDAT = re.compile(r"([0-9]{1,20})(?: +(LAST))?", re.IGNORECASE | re.ASCII)
_CLEARED = EnvelopeCleared()
_NO_SENDER = Sender(None)


class State(Enum):
    """Where a session stands (RFC 5321 4.1.4)."""

    FRESH = auto()  # no greeting yet
    READY = auto()
    MAIL = auto()  # a sender, no recipient
    RCPT = auto()  # at least one recipient
    BDAT = auto()  # between the chunks of a message
    FAILED = auto()  # between the chunks of a message that was refused


class SmtpServer:
    """One SMTP or LMTP connection. See net.interface.Engine for the contract, events.py for the answers."""

    __slots__ = (
        "_accepted",
        "_attempts",
        "_bindings",
        "_chunk",
        "_eof",
        "_errors",
        "_events",
        "_exchange",
        "_extended",
        "_failed_logins",
        "_intake",
        "_lines",
        "_lmtp",
        "_nonce",
        "_offer",
        "_out",
        "_proven",
        "_read",
        "_receiving",
        "_secure",
        "_sender",
        "_settings",
        "_state",
        "_stopping",
        "_stray",
        "_unsent",
        "authenticated",
        "closing",
        "hello",
    )

    def __init__(
        self,
        settings: SmtpSettings,
        *,
        bindings: Mapping[str, bytes] | None = None,
        secure: bool = False,
        nonce: Callable[[], str],
    ) -> None:
        """`secure`: TLS is up already, with these channel `bindings`. `nonce` gives fresh SCRAM nonces."""
        self._settings = settings
        self._bindings: Mapping[str, bytes] = bindings or {}
        self._secure = secure
        self._nonce = nonce
        self._lmtp = settings.variant is Variant.LMTP
        self._lines = LineBuffer()
        self._events: deque[object] = deque()
        self._out: list[bytes] = []
        self._unsent = 0  # octets in _out
        self._offer: type | None = None  # the event that waits for its answer
        self._read: Callable[[SmtpServer], bool] = SmtpServer._read_command
        self._state = State.FRESH
        self._extended = False  # greeted by EHLO or LHLO
        self._exchange: Exchange | None = None
        self._proven = False  # the exchange has only its last words left
        self._stray = (0, b"")  # octets of a BDAT that belongs to no message, and the reply to it
        self._errors = self._failed_logins = 0
        self._eof = self._stopping = False
        self._forget_transaction()
        self.hello = ""
        self.authenticated = False
        self.closing = False
        self._say(f"220 {settings.hostname} {'LMTP' if self._lmtp else 'ESMTP'} {settings.greeting}\r\n".encode())

    def _forget_transaction(self) -> None:
        self._sender = _NO_SENDER
        self._accepted = self._attempts = 0  # RCPT commands: taken, refused
        self._intake: Intake | None = None
        self._chunk: tuple[int, bool] | None = None  # the BDAT that waits for the answer to DataOffered
        self._receiving = False  # the session holds a message that is not settled

    # The contract of engines.

    @property
    def protocol(self) -> str:
        """The protocol as Received names it, for the transaction at hand: ESMTP, ESMTPSA, UTF8SMTPS, LMTP ..."""
        return protocol_name(
            self._settings.variant,
            extended=self._extended,
            utf8=self._sender.smtputf8,
            secure=self._secure,
            authenticated=self.authenticated,
        )

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
        while not events:
            if self._offer is not None or self.closing or self._unsent >= MAX_UNSENT:
                return None
            if not self._read(self):
                if not self._eof:
                    return None
                self._end("the client hung up")
        return events.popleft()

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
        self._hang_up("4.4.2", "nothing came for too long")

    def shut_down(self) -> None:
        """See Engine."""
        busy = self._offer is not None or self._read in (SmtpServer._read_data, SmtpServer._read_chunk)
        if busy and not self._stopping:
            self._stopping = True
        else:
            self._hang_up("4.3.2", "the server is stopping")

    # Answers of the session.

    def accept_sender(self) -> None:
        """Answer to SenderOffered."""
        if self._answered(SenderOffered):
            self._state = State.MAIL
            self._say(replies.SENDER_OK)

    def accept_recipient(self) -> None:
        """Answer to RecipientOffered."""
        if self._answered(RecipientOffered):
            self._accepted += 1
            self._state = State.RCPT
            self._say(replies.RECIPIENT_OK)

    def accept_data(self) -> None:
        """Answer to DataOffered."""
        if not self._answered(DataOffered):
            return
        self._receiving = True
        if self._chunk is not None:
            self._begin_chunk(*self._chunk)
        else:
            self._intake = Intake(self._settings, binary=False)
            self._read = SmtpServer._read_data
            self._say(replies.GO_AHEAD)

    def accept_message(self, reply: Reply) -> None:
        """Answer to MessageEnded: the message is durable. In LMTP every recipient gets this reply."""
        if self._answered(MessageEnded):
            self._conclude(reply.encode() * (self._accepted if self._lmtp else 1))

    def finish_message(self, answers: Sequence[Reply]) -> None:
        """Answer to MessageEnded in LMTP: one reply per accepted recipient, in their order (RFC 2033 4.2)."""
        if not self._lmtp or (self._offer is not None and len(answers) != self._accepted):
            raise ValueError(f"{len(answers)} replies, {self._accepted if self._lmtp else 1} expected")
        if self._answered(MessageEnded):
            self._conclude(b"".join([reply.encode() for reply in answers]))

    def reject(self, reply: Reply) -> None:
        """Refuse the sender, the recipient, DATA, or the whole message."""
        offer = self._offer
        if not self._answered(SenderOffered, RecipientOffered, DataOffered, MessageEnded):
            return
        said = reply.encode()
        if offer is MessageEnded:
            self._conclude(said * (self._accepted if self._lmtp else 1))
        elif offer is DataOffered and self._chunk is not None:
            self._begin_chunk(*self._chunk, fault=said)
        elif offer is DataOffered:
            self._conclude(said)
        elif offer is RecipientOffered:
            self._refuse_recipient(said)
        else:
            self._sender = _NO_SENDER
            self._say(said)

    def tls_started(self, bindings: Mapping[str, bytes]) -> None:
        """Answer to StartTlsOffered, once the handshake is done."""
        if self._answered(StartTlsOffered):
            # RFC 3207 4.2: nothing that was said in plain text counts, above all not what stands in the buffer.
            self._lines.clear()
            self._secure, self._bindings = True, bindings
            self._state, self.hello, self._extended = State.FRESH, "", False

    def provide_keys(self, keys: ScramKeys) -> None:
        """Answer to KeysWanted."""
        if self._answered(KeysWanted) and self._exchange is not None:
            self._step(self._exchange.provide_keys(keys))

    def accept_login(self) -> None:
        """Answer to PasswordOffered and LoginProven."""
        if not self._answered(PasswordOffered, LoginProven) or self._exchange is None:
            return
        if self._exchange.final:
            # RFC 4954 4: SMTP has no room for data beside 235, so it goes in a challenge that wants an empty response.
            self._challenge(self._exchange.final)
            self._proven = True
        else:
            self._log_in()

    def refuse_login(self, reply: Reply) -> None:
        """Answer to any login offer."""
        if self._answered(PasswordOffered, LoginProven, KeysWanted):
            self._fail_login(reply.encode(), counts=not reply.is_transient)

    def hang_up(self, reply: Reply) -> None:
        """Say this and close, whatever stands open: for a session that will not go on with this peer."""
        self._end(reply.text, reply.encode())

    def _answered(self, *expected: type) -> bool:
        """Take the answer to an offer. False when the connection has ended meanwhile, which is nobody's fault."""
        if self._offer in expected:
            self._offer = None
            return True
        if self.closing:
            return False
        raise RuntimeError(f"an answer to {[kind.__name__ for kind in expected]}, but {self._offer} is offered")

    # Output and the end.

    def _say(self, reply: bytes) -> None:
        self._out.append(reply)
        self._unsent += len(reply)

    def _error(self, reply: bytes) -> None:
        """Say what the peer did wrong, and count it."""
        self._say(reply)
        self._errors += 1
        if self._errors > MAX_ERRORS:
            self._hang_up("4.7.0", "too many errors")

    def _offer_up(self, event: object) -> None:
        self._offer = type(event)
        self._events.append(event)

    def _hang_up(self, status: str, reason: str) -> None:
        self._end(reason, replies.hanging_up(self._settings.hostname, status, reason))

    def _end(self, reason: str, last_words: bytes = b"") -> None:
        if self.closing:
            return
        self._drop(reason)
        if last_words:
            self._say(last_words)
        self.closing = True
        self._offer = self._exchange = None
        self._lines.clear()
        self._events.append(SessionEnded(reason))

    def _drop(self, reason: str) -> None:
        """The message under way, if there is one, will not come to be."""
        if self._receiving:
            self._receiving = False
            self._events.append(MessageDropped(reason))

    def _clear(self) -> None:
        """End the transaction, if there is one."""
        if self._state not in (State.FRESH, State.READY):
            self._state = State.READY
            self._forget_transaction()
            self._events.append(_CLEARED)

    def _conclude(self, said: bytes) -> None:
        """The last word on a message, whatever it is: RFC 5321 4.1.1.4 clears the buffers."""
        self._read = SmtpServer._read_command
        self._say(said)
        self._clear()

    # Command lines.

    def _read_command(self) -> bool:
        """Carry out one command; False when octets are needed."""
        if self._stopping:
            self.shut_down()
            return True
        line = self._lines.next_line()
        if line is None:
            return False
        if isinstance(line, LineFault):
            self._refuse_line(line, replies.LINE_TOO_LONG)
            return True
        verb, _, rest = line.partition(b" ")
        command = COMMANDS.get(verb) or COMMANDS.get(verb.upper())
        if command is None:
            self._refuse_verb(verb)
            return True
        if not rest.isascii():
            try:
                text = rest.decode().strip(" ")
            except UnicodeDecodeError:
                self._error(replies.NOT_UTF8)
                return True
            if not command.utf8:
                self._error(replies.NOT_ASCII)
                return True
        else:
            text = rest.decode("ascii").strip(" ")  # RFC 5321 4.1.1: trailing spaces are harmless
        if not text.isprintable() and _CONTROLS.search(text):
            self._error(replies.CONTROLS)
        elif self._state in command.states:
            command.run(self, text)
        else:
            self._error(replies.LHLO_FIRST if self._lmtp and self._state is State.FRESH else _OUT_OF_ORDER[self._state])
        return True

    def _refuse_line(self, fault: LineFault, too_long: bytes) -> None:
        if fault is LineFault.ENDLESS:
            self._hang_up("4.7.0", "a line without end")
        else:
            self._error(too_long if fault is LineFault.TOO_LONG else replies.BARE_LF)

    def _refuse_verb(self, verb: bytes) -> None:
        if verb.upper() in _HTTP:  # a browser made to post here by a hostile page
            self._hang_up("4.7.0", "this is a mail server, not a web server")
        else:
            self._error(replies.UNKNOWN)

    def _do_hello(self, text: str) -> None:
        if self._lmtp:
            self._error(replies.USE_LHLO)  # RFC 2033 4.1
        else:
            self._greet(text, extended=True)

    def _do_helo(self, text: str) -> None:
        if self._lmtp:
            self._error(replies.USE_LHLO)
        else:
            self._greet(text, extended=False)

    def _do_lhlo(self, text: str) -> None:
        if self._lmtp:
            self._greet(text, extended=True)
        else:
            self._error(replies.UNKNOWN)

    def _greet(self, text: str, *, extended: bool) -> None:
        name = text.partition(" ")[0]
        if not name or len(name) > 255:  # RFC 5321 4.1.4: it need not be true, so it is not held against the grammar
            self._error(replies.BAD_HELLO)
            return
        self._drop("greeted again")
        self._clear()  # RFC 5321 4.1.4
        self.hello, self._extended, self._state = name, extended, State.READY
        if extended:
            starttls = self._settings.starttls and not self._secure
            offered = () if self.authenticated else self._mechanisms()
            self._say(hello_reply(self._settings, starttls=starttls, mechanisms=offered))
        else:
            self._say(f"250 {self._settings.hostname}\r\n".encode())

    def _do_rset(self, _text: str) -> None:
        self._drop("RSET")
        self._clear()
        self._say(replies.OK)

    def _do_noop(self, _text: str) -> None:
        self._say(replies.OK)

    def _do_vrfy(self, text: str) -> None:
        if text:
            self._say(replies.VRFY)
        else:
            self._error(replies.ARGUMENT_MISSING)

    def _do_expn(self, _text: str) -> None:
        self._error(replies.NOT_IMPLEMENTED)

    def _do_help(self, _text: str) -> None:
        self._say(replies.HELP_LMTP if self._lmtp else replies.HELP)

    def _do_quit(self, text: str) -> None:
        if text:
            self._error(replies.NO_ARGUMENT)
        else:
            self._end("QUIT", replies.farewell(self._settings.hostname))

    # The envelope.

    def _do_mail(self, text: str) -> None:
        if self._settings.variant is Variant.SUBMISSION and not self.authenticated:  # RFC 6409 4.3
            self._error(replies.LOGIN_FIRST if self._mechanisms() or self._secure else replies.TLS_FIRST)
            return
        try:
            sender = parse_mail(text)
        except ArgumentError as error:
            self._error(error.reply.encode())
            return
        if sender.size > self._settings.max_size:  # RFC 1870 6.1
            self._say(replies.TOO_LARGE)
            return
        self._drop("MAIL")
        self._clear()  # after a failed BDAT a new transaction may follow without RSET
        self._sender = sender
        self._offer_up(SenderOffered(sender))

    def _do_rcpt(self, text: str) -> None:
        if self._accepted >= self._settings.max_recipients:  # RFC 5321 4.5.3.1.10
            self._refuse_recipient(replies.TOO_MANY_RECIPIENTS)
            return
        try:
            recipient = parse_rcpt(text, smtputf8=self._sender.smtputf8)
        except ArgumentError as error:
            self._error(error.reply.encode())
            return
        self._offer_up(RecipientOffered(recipient))

    def _refuse_recipient(self, said: bytes) -> None:
        self._say(said)
        self._attempts += 1
        if self._attempts > self._settings.max_attempts:
            self._hang_up("4.7.0", "too many recipients")

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

    # Content.

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
        self._message_ended(intake, intake.data.dot_lines, intake.data.bare_breaks)
        return True

    def _hand_on(self, intake: Intake, block: bytes) -> None:
        if block:
            self._events.append(MessageChunk(block))
        elif intake.fault is not None:
            self._drop(intake.fault.decode().rstrip())
            if intake.octets > self._settings.max_drained:
                self._hang_up("4.7.0", "far too much data")

    def _message_ended(self, intake: Intake, dot_lines: bool, bare_breaks: bool) -> None:
        if intake.fault is not None:
            self._conclude(intake.fault * (self._accepted if self._lmtp else 1))
        else:
            self._read = SmtpServer._read_command
            self._offer_up(MessageEnded(intake.octets, dot_lines, bare_breaks))

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
            self._read = SmtpServer._read_stray
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
        self._read = SmtpServer._read_chunk
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
            self._message_ended(intake, intake.chunks.dot_lines, intake.chunks.bare_breaks)
        else:
            self._state = State.BDAT if intake.fault is None else State.FAILED
            self._read = SmtpServer._read_command
            self._say(intake.fault or replies.CHUNK_OK)

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
            self._read = SmtpServer._read_command
            self._error(reply)
        return True

    # TLS and logging in.

    def _do_starttls(self, text: str) -> None:
        if self._secure:
            self._error(replies.TLS_ACTIVE)
        elif not self._settings.starttls:
            self._error(replies.NOT_IMPLEMENTED)
        elif self.authenticated:
            self._error(replies.TLS_BEFORE_LOGIN)
        elif text:
            self._error(replies.NO_ARGUMENT)
        else:
            self._say(replies.TLS_READY)
            self._offer_up(StartTlsOffered())

    def _mechanisms(self) -> tuple[str, ...]:
        """What AUTH may use at this moment."""
        if not self._settings.auth or not (self._secure or self._settings.plaintext_auth):
            return ()
        return mechanisms(bindings=self._bindings, plaintext_ok=True)

    def _do_auth(self, text: str) -> None:
        name, _, initial = text.partition(" ")
        offered = self._mechanisms()
        if not self._settings.auth:
            self._error(replies.NOT_IMPLEMENTED)
        elif not offered:
            self._error(replies.ENCRYPTION_FIRST)
        elif self.authenticated:
            self._error(replies.LOGGED_IN_ALREADY)  # RFC 4954 4
        elif not name:
            self._error(replies.ARGUMENT_MISSING)
        elif name.upper() not in offered:
            self._error(replies.NO_MECHANISM)
        else:
            self._exchange = Exchange(name.upper(), bindings=self._bindings, nonce=self._nonce)
            if not initial:
                self._step(self._exchange.begin(None))
            elif initial == "=":  # RFC 4954 4: an initial response that is empty
                self._step(self._exchange.begin(b""))
            elif (data := _decode(initial.encode())) is None:
                self._abandon(replies.BAD_BASE64)
            else:
                self._step(self._exchange.begin(data))

    def _read_response(self) -> bool:
        """Take one SASL response; False when octets are needed."""
        if self._stopping:
            self.shut_down()
            return True
        line = self._lines.next_line(MAX_AUTH_LINE)
        exchange = self._exchange
        if line is None or exchange is None:
            return False
        if isinstance(line, LineFault):
            self._read, self._exchange, self._proven = SmtpServer._read_command, None, False
            self._refuse_line(line, replies.RESPONSE_TOO_LONG)
        elif line == b"*":
            self._abandon(replies.CANCELLED)  # RFC 4954 4
        elif self._proven:
            if line:
                self._abandon(replies.NOT_EMPTY)
            else:
                self._log_in()
        elif (data := _decode(line)) is None:
            self._abandon(replies.BAD_BASE64)
        else:
            self._step(exchange.respond(data))
        return True

    def _step(self, step: Step) -> None:
        """What the exchange made of a response."""
        if isinstance(step, Challenge):
            self._challenge(step.data)
        elif isinstance(step, Malformed):
            self._abandon(Reply(501, "5.5.2", f"Bad authentication response: {step.reason}").encode())
        elif isinstance(step, LoginFailed):
            self._events.append(step)
            self._fail_login(replies.WRONG_LOGIN, counts=True)
        else:
            self._offer_up(step)

    def _challenge(self, data: bytes) -> None:
        self._say(b"334 %b\r\n" % b64encode(data))
        self._read = SmtpServer._read_response

    def _leave_exchange(self) -> None:
        self._read, self._exchange, self._proven = SmtpServer._read_command, None, False

    def _abandon(self, reply: bytes) -> None:
        self._leave_exchange()
        self._error(reply)

    def _fail_login(self, reply: bytes, *, counts: bool) -> None:
        self._leave_exchange()
        self._say(reply)
        self._failed_logins += counts
        if self._failed_logins >= MAX_FAILED_LOGINS:
            self._hang_up("4.7.0", "too many failed logins")

    def _log_in(self) -> None:
        self._leave_exchange()
        self.authenticated = True
        self._say(replies.LOGGED_IN)


def _decode(line: bytes) -> bytes | None:
    """Strict base64 (RFC 4954 4), or None."""
    try:
        return a2b_base64(line, strict_mode=True)
    except Base64Error:
        return None


@dataclass(frozen=True, slots=True)
class Command:
    """One verb: the states it is legal in, what carries it out, and whether its argument may be UTF-8 (RFC 6531)."""

    states: frozenset[State]
    run: Callable[[SmtpServer, str], None]
    utf8: bool = False


_ANY = frozenset(State)
_IDLE = frozenset({State.READY})
_HTTP = frozenset({b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"CONNECT", b"PATCH", b"TRACE"})
_OUT_OF_ORDER = {
    State.FRESH: replies.HELLO_FIRST,
    State.READY: replies.MAIL_FIRST,
    State.MAIL: replies.IN_TRANSACTION,
    State.RCPT: replies.IN_TRANSACTION,
    State.BDAT: replies.BDAT_UNDER_WAY,
    State.FAILED: replies.BDAT_UNDER_WAY,
}

# RFC 5321 4.1.4: the order of commands.
COMMANDS: dict[bytes, Command] = {
    b"EHLO": Command(_ANY, SmtpServer._do_hello),
    b"HELO": Command(_ANY, SmtpServer._do_helo),
    b"LHLO": Command(_ANY, SmtpServer._do_lhlo),
    b"MAIL": Command(frozenset({State.READY, State.FAILED}), SmtpServer._do_mail, utf8=True),
    b"RCPT": Command(frozenset({State.MAIL, State.RCPT}), SmtpServer._do_rcpt, utf8=True),
    b"DATA": Command(frozenset({State.MAIL, State.RCPT}), SmtpServer._do_data),
    b"BDAT": Command(_ANY, SmtpServer._do_bdat),
    b"RSET": Command(_ANY, SmtpServer._do_rset),
    b"NOOP": Command(_ANY, SmtpServer._do_noop),
    b"VRFY": Command(_ANY, SmtpServer._do_vrfy, utf8=True),
    b"EXPN": Command(_ANY, SmtpServer._do_expn, utf8=True),
    b"HELP": Command(_ANY, SmtpServer._do_help),
    b"QUIT": Command(_ANY, SmtpServer._do_quit),
    b"STARTTLS": Command(_IDLE, SmtpServer._do_starttls),
    b"AUTH": Command(_IDLE, SmtpServer._do_auth),
}
