"""The SMTP and LMTP server engine (RFC 5321, RFC 2033).

`COMMANDS` holds each verb with the states it is legal in and what carries it out. Content (DATA, BDAT) bypasses lines
altogether. While an offer is unanswered nothing is parsed, so PIPELINING (RFC 2920) is right by construction.
"""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from posthouse.message.credentials import ScramKeys
from posthouse.message.envelope import BodyType
from posthouse.message.reply import Reply
from posthouse.protocol.events import LoginFailed, SessionEnded, StartTlsOffered
from posthouse.protocol.sasl import Challenge, Exchange, Malformed, Step, mechanisms
from posthouse.protocol.smtp import replies
from posthouse.protocol.smtp.content import ChunkReader, ContentReader, HeaderGuard
from posthouse.protocol.smtp.events import (
    DataOffered,
    EnvelopeCleared,
    MessageChunk,
    MessageDropped,
    MessageEnded,
    RecipientOffered,
    SenderOffered,
)
from posthouse.protocol.smtp.grammar import ParameterError, parse_mail, parse_rcpt

MAX_LINE = 2048  # octets with CRLF: 512 and what the extensions add (RFC 5321 4.5.3.1.4, RFC 6531, RFC 3461)
MAX_AUTH_LINE = 12_288  # RFC 4954 4
MAX_ENDLESS = 1 << 16  # octets of one line thrown away before we hang up
MAX_ERRORS = 50
MAX_FAILED_LOGINS = 5
COMMAND_SECONDS = 300.0  # RFC 5321 4.5.3.2.7: at least five minutes
_SLICE = 1 << 16


class Variant(Enum):
    """What kind of service this is."""

    RELAY = "relay"  # port 25
    SUBMISSION = "submission"  # ports 587 and 465, RFC 6409
    LMTP = "lmtp"


class _State(Enum):
    """Where the session stands (RFC 5321 4.1.4)."""

    FRESH = auto()  # no EHLO yet
    READY = auto()
    MAIL = auto()  # a sender, no recipient
    RCPT = auto()  # at least one recipient
    BDAT = auto()  # between chunks


class _Awaits(Enum):
    COMMAND = auto()
    ANSWER = auto()
    DATA = auto()
    CHUNK = auto()
    SASL = auto()
    FINAL = auto()
    NOTHING = auto()


@dataclass(frozen=True, slots=True)
class SmtpSettings:
    """How the service presents itself and what it bears."""

    hostname: str
    variant: Variant = Variant.RELAY
    max_size: int = 50 << 20  # octets of a message
    max_recipients: int = 1000  # RFC 5321 4.5.3.1.8: at least 100
    max_header: int = 256 << 10  # octets of the header section
    starttls: bool = True
    auth: bool = False
    plaintext_auth: bool = False  # allow AUTH without TLS; only dev on loopback
    greeting: str = "Posthouse"


class SmtpServer:
    """One SMTP or LMTP connection. See net/interface.py for the contract and events.py for the answers."""

    def __init__(
        self,
        settings: SmtpSettings,
        *,
        bindings: Mapping[str, bytes] | None = None,
        secure: bool = False,
        nonce: Callable[[], str],
    ) -> None:
        self._settings = settings
        self._bindings = bindings or {}
        self._secure = secure
        self._nonce = nonce
        self._lmtp = settings.variant is Variant.LMTP
        self._buffer = b""
        kind = "LMTP" if self._lmtp else "ESMTP"
        self._out = [f"220 {settings.hostname} {kind} {settings.greeting}\r\n".encode()]
        self._events: list[object] = []
        self._state = _State.FRESH
        self._awaits = _Awaits.COMMAND
        self._answer: Callable[[Reply | None], None] | None = None
        self._exchange: Exchange | None = None
        self._errors = self._failed_logins = self._skipped = 0
        self._eof = self._stopping = False
        self._extended = False
        self._utf8 = False
        self._clear()
        self.hello = ""
        self.authenticated = False
        self.closing = False

    def _clear(self) -> None:
        self._body = BodyType.SEVEN_BIT
        self._utf8 = False
        self._accepted = self._refused = 0
        self._content: ContentReader | ChunkReader | None = None
        self._guard = HeaderGuard(self._settings.max_header)
        self._octets = 0
        self._dot_lines = self._bare_breaks = False
        self._fault: Reply | None = None  # why the message under way will be refused

    @property
    def protocol(self) -> str:
        """The keyword for "with" in Received (RFC 3848; RFC 6531 4.3 for UTF8...)."""
        base = "LMTP" if self._lmtp else "ESMTP" if self._extended else "SMTP"
        if self._utf8:
            base = "UTF8LMTP" if self._lmtp else "UTF8SMTP"
        marks = ("S" if self._secure else "") + ("A" if self.authenticated else "")
        return base + marks if base != "SMTP" else base

    @property
    def patience(self) -> float:
        """See Engine."""
        return COMMAND_SECONDS

    def receive_data(self, data: bytes) -> None:
        """See Engine."""
        if not self.closing:
            self._buffer = self._buffer + data if self._buffer else data

    def receive_eof(self) -> None:
        """See Engine."""
        self._eof = True

    def data_to_send(self) -> bytes:
        """See Engine."""
        if not self._out:
            return b""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def time_out(self) -> None:
        """See Engine."""
        self._hang_up("timeout", replies.TIMEOUT)

    def shut_down(self) -> None:
        """See Engine."""
        if self._awaits in (_Awaits.COMMAND, _Awaits.SASL, _Awaits.FINAL) and self._state is not _State.BDAT:
            self._hang_up("shutdown", replies.SHUTDOWN)
        else:
            self._stopping = True

    def next_event(self) -> object | None:
        """See Engine."""
        while not self._events and not self.closing and self._awaits not in (_Awaits.ANSWER, _Awaits.NOTHING):
            if self._stopping and self._awaits is _Awaits.COMMAND and self._state is not _State.BDAT:
                self.shut_down()
            elif self._awaits in (_Awaits.DATA, _Awaits.CHUNK):
                if not self._read_content():
                    break
            elif (line := self._next_line()) is None:
                break
            else:
                self._take(line)
        return self._events.pop(0) if self._events else None

    # Content.

    def _read_content(self) -> bool:
        """Take what is buffered as content; False when bytes are needed."""
        if not self._buffer:
            if self._eof:
                self._hang_up("end of input", None)
            return False
        reader = self._content
        assert reader is not None
        data, self._buffer = self._buffer, b""
        block = reader.feed(data)
        self._octets += len(block)
        if reader.bare_breaks and self._body is not BodyType.BINARY:
            self._drop(replies.BARE_BREAKS)
        elif self._octets > self._settings.max_size:
            self._drop(replies.TOO_LARGE)
        elif not self._guard.feed(block):
            self._drop(replies.HEADER_TOO_LARGE)
        if block and self._fault is None:
            self._events.append(MessageChunk(block))
        if reader.ended:
            self._buffer = reader.rest
            self._dot_lines |= reader.dot_lines
            self._bare_breaks |= reader.bare_breaks
            self._content_ended()
        return True

    def _drop(self, fault: Reply) -> None:
        if self._fault is None:
            self._fault = fault
            self._events.append(MessageDropped(fault.text))

    def _content_ended(self) -> None:
        chunk = self._content
        if isinstance(chunk, ChunkReader) and not chunk.last:
            self._say(self._fault or Reply(250, "2.0.0", f"{chunk.octets} octets received"))
            self._awaits = _Awaits.COMMAND
            self._state = _State.BDAT
        elif self._fault is not None:
            self._finish([self._fault] * (self._accepted if self._lmtp else 1))
        else:
            self._offer(MessageEnded(self._octets, self._dot_lines, self._bare_breaks), self._message_answered)

    def _message_answered(self, refusal: Reply | None) -> None:
        assert refusal is not None
        self._finish([refusal] * (self._accepted if self._lmtp else 1))

    def accept_message(self, reply: Reply) -> None:
        """Answer to MessageEnded: the message is durable."""
        self._settle()(reply)

    def finish_message(self, answers: Sequence[Reply]) -> None:
        """Answer to MessageEnded in LMTP: one reply per accepted recipient (RFC 2033 4.2)."""
        self._settle()
        if len(answers) != self._accepted:
            raise ValueError(f"{self._accepted} recipients wait for {len(answers)} replies")
        self._finish(answers)

    def _finish(self, answers: Sequence[Reply]) -> None:
        for answer in answers:
            self._say(answer)
        self._awaits = _Awaits.COMMAND
        self._reset()

    def _reset(self) -> None:
        self._clear()
        self._state = _State.READY
        self._events.append(EnvelopeCleared())

    # Offers and answers.

    def _offer(self, event: object, answer: Callable[[Reply | None], None]) -> None:
        self._awaits = _Awaits.ANSWER
        self._answer = answer
        self._events.append(event)

    def _settle(self) -> Callable[[Reply | None], None]:
        answer, self._answer = self._answer, None
        if answer is None:
            raise RuntimeError("an answer without an offer")
        self._awaits = _Awaits.COMMAND
        return answer

    def accept_sender(self) -> None:
        """Answer to SenderOffered."""
        self._settle()(None)

    def accept_recipient(self) -> None:
        """Answer to RecipientOffered."""
        self._settle()(None)

    def accept_data(self) -> None:
        """Answer to DataOffered."""
        self._settle()(None)

    def reject(self, reply: Reply) -> None:
        """Refuse whatever was offered."""
        self._settle()(reply)

    def _say(self, reply: Reply) -> None:
        self._out.append(reply.encode())

    def _error(self, reply: Reply) -> None:
        self._errors += 1
        if self._errors > MAX_ERRORS:
            self._hang_up("too many errors", replies.TOO_MANY_ERRORS)
        else:
            self._say(reply)

    def _hang_up(self, reason: str, last: Reply | None) -> None:
        if self.closing:
            return
        if self._content is not None and self._fault is None:
            self._events.append(MessageDropped(reason))
        if last is not None:
            self._say(last)
        self.closing = True
        self._awaits = _Awaits.NOTHING
        self._buffer = b""
        self._events.append(SessionEnded(reason))

    # Lines.

    def _next_line(self) -> bytes | None:
        buffer = self._buffer
        limit = MAX_AUTH_LINE if self._awaits is not _Awaits.COMMAND or buffer[:5].upper() == b"AUTH " else MAX_LINE
        at = buffer.find(b"\r\n", 0, limit)
        if at >= 0 and not self._skipped:
            self._buffer = buffer[at + 2 :]
            return buffer[:at]
        if at < 0 and len(buffer) < limit and not self._skipped:
            if self._eof:
                self._hang_up("end of input", None)
            return None
        return self._skip_line()

    def _skip_line(self) -> bytes | None:
        """Throw an overlong line away without keeping it."""
        at = self._buffer.find(b"\r\n")
        taken = at + 2 if at >= 0 else max(0, len(self._buffer) - 1)
        self._skipped += taken
        self._buffer = self._buffer[taken:]
        if at >= 0:
            self._skipped = 0
            self._awaits = _Awaits.COMMAND
            self._error(replies.LINE_TOO_LONG)
            return self._next_line() if not self.closing else None
        if self._skipped > MAX_ENDLESS:
            self._hang_up("endless line", replies.ENDLESS)
        elif self._eof:
            self._hang_up("end of input", None)
        return None

    def _take(self, line: bytes) -> None:
        if self._awaits is _Awaits.SASL:
            self._sasl_line(line)
        elif self._awaits is _Awaits.FINAL:
            self._final_line(line)
        elif b"\n" in line or b"\r" in line or b"\0" in line:
            self._error(replies.BAD_LINE)
        else:
            self._command(line)

    def _command(self, line: bytes) -> None:
        verb, _, rest = line.partition(b" ")
        command = COMMANDS.get(verb.upper())
        if command is None:
            if verb.upper() in _HTTP:
                self._hang_up("HTTP", replies.HTTP)
            else:
                self._error(replies.UNKNOWN)
            return
        if self._state not in command.states:
            self._error(replies.BAD_SEQUENCE)
            return
        try:
            text = rest.decode("utf-8").strip(" ") if not rest.isascii() else rest.decode("ascii").strip(" ")
        except UnicodeDecodeError:
            self._error(replies.NOT_UTF8)
            return
        command.run(self, text)

    # Greetings.

    def _do_ehlo(self, text: str) -> None:
        if self._lmtp:
            self._error(replies.USE_LHLO)
        else:
            self._greet(text, extended=True)

    def _do_lhlo(self, text: str) -> None:
        if self._lmtp:
            self._greet(text, extended=True)
        else:
            self._error(replies.UNKNOWN)

    def _do_helo(self, text: str) -> None:
        if self._lmtp:
            self._error(replies.USE_LHLO)
        else:
            self._greet(text, extended=False)

    def _greet(self, text: str, *, extended: bool) -> None:
        # RFC 5321 4.1.4: the name need not be true, but something must stand there.
        name = text.split(" ")[0]
        if not name or len(name) > 255 or not name.isprintable():
            self._error(replies.BAD_HELLO)
            return
        self.hello, self._extended = name, extended
        self._reset()
        lines = [f"{self._settings.hostname} greets {name}"]
        if extended:
            lines += self._extensions()
        self._out.append(Reply(250, "", "\n".join(lines)).encode())

    def _extensions(self) -> list[str]:
        lines = ["PIPELINING", f"SIZE {self._settings.max_size}", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"]
        lines += ["CHUNKING", "BINARYMIME", "DSN", f"LIMITS RCPTMAX={self._settings.max_recipients}"]
        if self._settings.starttls and not self._secure:
            lines.append("STARTTLS")
        if self._auth_allowed:
            lines.append("AUTH " + " ".join(mechanisms(bindings=self._bindings, plaintext_ok=True)))
        if not self._lmtp:
            lines.append("HELP")
        return lines

    @property
    def _auth_allowed(self) -> bool:
        return self._settings.auth and (self._secure or self._settings.plaintext_auth)

    # Transactions.

    def _do_mail(self, text: str) -> None:
        if self._settings.variant is Variant.SUBMISSION and not self.authenticated:
            self._error(replies.AUTH_FIRST if self._auth_allowed else replies.TLS_FIRST)
            return
        try:
            sender = parse_mail(text)
        except ParameterError as error:
            self._error(error.reply)
            return
        if sender.size > self._settings.max_size:
            self._say(replies.TOO_LARGE)
            return
        self._body, self._utf8 = sender.body, sender.smtputf8
        self._offer(SenderOffered(sender), self._sender_answered)

    def _sender_answered(self, refusal: Reply | None) -> None:
        self._say(refusal or replies.SENDER_OK)
        if refusal is None:
            self._state = _State.MAIL

    def _do_rcpt(self, text: str) -> None:
        if self._accepted >= self._settings.max_recipients:
            self._refused += 1
            if self._refused > 10 * self._settings.max_recipients:
                self._hang_up("too many recipients", replies.TOO_MANY_ERRORS)
            else:
                self._say(replies.TOO_MANY_RECIPIENTS)
            return
        try:
            recipient = parse_rcpt(text, utf8=self._utf8)
        except ParameterError as error:
            self._error(error.reply)
            return
        self._offer(RecipientOffered(recipient), self._recipient_answered)

    def _recipient_answered(self, refusal: Reply | None) -> None:
        self._say(refusal or replies.RECIPIENT_OK)
        if refusal is None:
            self._accepted += 1
            self._state = _State.RCPT
        else:
            self._refused += 1
            if self._refused > 10 * self._settings.max_recipients:
                self._hang_up("too many recipients", replies.TOO_MANY_ERRORS)

    def _do_data(self, text: str) -> None:
        if text:
            self._error(replies.NO_ARGUMENT)
        elif self._body is BodyType.BINARY:
            self._error(replies.BINARY_NEEDS_BDAT)  # RFC 3030 3
        elif self._state is _State.MAIL:
            self._error(replies.NO_RECIPIENTS)
        else:
            self._offer(DataOffered(), self._data_answered)

    def _data_answered(self, refusal: Reply | None) -> None:
        if refusal is not None:
            self._say(refusal)
            return
        self._say(replies.GO_AHEAD)
        self._content = ContentReader()
        self._awaits = _Awaits.DATA

    def _do_bdat(self, text: str) -> None:
        size, _, last = text.partition(" ")
        if not size.isascii() or not size.isdigit() or len(size) > 20 or last.upper() not in ("", "LAST"):
            self._hang_up("BDAT syntax", replies.BAD_BDAT)  # where the next command starts is unknown
            return
        reader = ChunkReader(int(size), last=bool(last))
        if self._state is _State.BDAT:
            self._begin_chunk(reader)
        elif self._state is _State.MAIL or not self._accepted:
            # RFC 3030 2: the octets come whatever the answer, so they must be taken.
            self._fault = replies.NO_RECIPIENTS
            self._begin_chunk(reader)
        else:
            self._offer(DataOffered(), lambda refusal: self._bdat_answered(reader, refusal))

    def _bdat_answered(self, reader: ChunkReader, refusal: Reply | None) -> None:
        self._fault = refusal
        self._begin_chunk(reader)

    def _begin_chunk(self, reader: ChunkReader) -> None:
        previous = self._content
        if isinstance(previous, ChunkReader):
            reader.follow(previous)
        self._content = reader
        self._awaits = _Awaits.CHUNK
        if reader.ended:
            self._content_ended()

    def _do_rset(self, text: str) -> None:
        if self._content is not None and self._fault is None:
            self._events.append(MessageDropped("RSET"))
        if self._state is _State.FRESH:
            self._say(replies.OK)
            return
        self._reset()
        self._say(replies.OK)

    # Logging in.

    def _do_starttls(self, text: str) -> None:
        if self._secure or not self._settings.starttls:
            self._error(replies.TLS_ACTIVE if self._secure else replies.NOT_IMPLEMENTED)
        elif text:
            self._error(replies.NO_ARGUMENT)
        else:
            self._say(replies.TLS_READY)
            self._buffer = b""  # RFC 3207 4.2
            self._offer(StartTlsOffered(), lambda _: None)

    def tls_started(self, bindings: Mapping[str, bytes]) -> None:
        """Answer to StartTlsOffered, after the handshake."""
        self._settle()
        self._buffer = b""
        self._secure, self._bindings = True, bindings
        self._state, self.hello, self._extended = _State.FRESH, "", False
        self._clear()

    def _do_auth(self, text: str) -> None:
        name, _, initial = text.partition(" ")
        if not self._settings.auth:
            self._error(replies.NOT_IMPLEMENTED)
        elif not self._auth_allowed:
            self._error(replies.TLS_FIRST)
        elif self.authenticated:
            self._error(replies.AUTH_TWICE)
        elif name.upper() not in mechanisms(bindings=self._bindings, plaintext_ok=True):
            self._error(replies.NO_MECHANISM)
        else:
            self._exchange = Exchange(name.upper(), bindings=self._bindings, nonce=self._nonce)
            data = _decode(initial)
            if initial and data is None:
                self._error(replies.BAD_BASE64)
            else:
                self._step(self._exchange.begin(data if initial else None))

    def _sasl_line(self, line: bytes) -> None:
        self._awaits = _Awaits.COMMAND
        assert self._exchange is not None
        data = _decode(line.decode("latin-1")) if line else b""
        if line == b"*":
            self._say(replies.CANCELLED)
        elif data is None:
            self._error(replies.BAD_BASE64)
        else:
            self._step(self._exchange.respond(data))

    def _step(self, step: Step) -> None:
        if isinstance(step, Challenge):
            self._say(Reply(334, "", b64encode(step.data).decode()))
            self._awaits = _Awaits.SASL
        elif isinstance(step, Malformed):
            self._error(Reply(501, "5.5.2", f"Malformed response: {step.reason}"))
        elif isinstance(step, LoginFailed):
            self._events.append(step)
            self._login_answered(replies.BAD_LOGIN)
        else:
            self._offer(step, self._login_answered)

    def provide_keys(self, keys: ScramKeys) -> None:
        """Answer to KeysWanted."""
        self._settle()
        assert self._exchange is not None
        self._step(self._exchange.provide_keys(keys))

    def accept_login(self) -> None:
        """Answer to PasswordOffered and LoginProven."""
        self._settle()(None)

    def refuse_login(self, reply: Reply) -> None:
        """Answer to any login offer."""
        self._settle()(reply)

    def _login_answered(self, refusal: Reply | None) -> None:
        self._awaits = _Awaits.COMMAND
        if refusal is not None:
            self._exchange = None
            self._failed_logins += not refusal.is_transient
            self._say(refusal)
            if self._failed_logins >= MAX_FAILED_LOGINS:
                self._hang_up("too many failed logins", replies.TOO_MANY_ERRORS)
        elif self._exchange is not None and self._exchange.final:
            self._say(Reply(334, "", b64encode(self._exchange.final).decode()))
            self._awaits = _Awaits.FINAL
        else:
            self._logged_in()

    def _final_line(self, line: bytes) -> None:
        self._awaits = _Awaits.COMMAND
        if line:
            self._error(replies.BAD_BASE64)
        else:
            self._logged_in()

    def _logged_in(self) -> None:
        self.authenticated = True
        self._say(replies.LOGGED_IN)

    # The rest.

    def _do_noop(self, text: str) -> None:
        self._say(replies.OK)

    def _do_vrfy(self, text: str) -> None:
        self._say(replies.VRFY if text else replies.NO_ARGUMENT_GIVEN)

    def _do_expn(self, text: str) -> None:
        self._error(replies.NOT_IMPLEMENTED)

    def _do_help(self, text: str) -> None:
        self._say(replies.HELP)

    def _do_quit(self, text: str) -> None:
        self._hang_up("quit", replies.BYE)


def _decode(text: str) -> bytes | None:
    if text == "=":
        return b""
    try:
        return b64decode(text, validate=True)
    except (Base64Error, ValueError):
        return None


@dataclass(frozen=True, slots=True)
class _Command:
    states: frozenset[_State]
    run: Callable[[SmtpServer, str], None]


_ANY = frozenset(_State)
_HTTP = frozenset({b"GET", b"POST", b"HEAD", b"PUT", b"OPTIONS", b"CONNECT"})

COMMANDS = {
    b"EHLO": _Command(_ANY, SmtpServer._do_ehlo),
    b"HELO": _Command(_ANY, SmtpServer._do_helo),
    b"LHLO": _Command(_ANY, SmtpServer._do_lhlo),
    b"MAIL": _Command(frozenset({_State.READY}), SmtpServer._do_mail),
    b"RCPT": _Command(frozenset({_State.MAIL, _State.RCPT}), SmtpServer._do_rcpt),
    b"DATA": _Command(frozenset({_State.MAIL, _State.RCPT}), SmtpServer._do_data),
    b"BDAT": _Command(frozenset({_State.MAIL, _State.RCPT, _State.BDAT}), SmtpServer._do_bdat),
    b"RSET": _Command(_ANY, SmtpServer._do_rset),
    b"NOOP": _Command(_ANY, SmtpServer._do_noop),
    b"VRFY": _Command(_ANY, SmtpServer._do_vrfy),
    b"EXPN": _Command(_ANY, SmtpServer._do_expn),
    b"HELP": _Command(_ANY, SmtpServer._do_help),
    b"QUIT": _Command(_ANY, SmtpServer._do_quit),
    b"STARTTLS": _Command(frozenset({_State.FRESH, _State.READY}), SmtpServer._do_starttls),
    b"AUTH": _Command(frozenset({_State.READY}), SmtpServer._do_auth),
}
