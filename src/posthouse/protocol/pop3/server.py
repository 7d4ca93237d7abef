"""The POP3 server engine (RFC 1939): bytes in, events out, answers in, bytes out.

How to read it: `COMMANDS` is the whole protocol, a row per keyword with the states it is legal in and the method that
carries it out. While an event waits for its answer nothing more is parsed, so pipelining (RFC 2449 6.6) needs no code.
The transaction state answers everything but RETR, TOP and QUIT by itself, from the Drop given at login.
"""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from posthouse.message.credentials import ScramKeys
from posthouse.protocol.events import (
    LoginFailed,
    PasswordOffered,
    SessionEnded,
    StartTlsOffered,
)
from posthouse.protocol.pop3.events import Drop, MessageWanted, QuitOffered
from posthouse.protocol.pop3.stuffing import Stuffing
from posthouse.protocol.sasl import Challenge, Exchange, Malformed, Step, mechanisms

MAX_LINE = 255  # octets with CRLF, RFC 2449 4
MAX_SASL_LINE = 12_288  # RFC 4954 4 by way of RFC 5034 4
MAX_ENDLESS = 1 << 16  # octets of one line thrown away before we hang up
MAX_ERRORS = 50
MAX_FAILED_LOGINS = 5
IDLE_SECONDS = 600.0  # RFC 1939 3: at least ten minutes


class State(Enum):
    """Where a session stands (RFC 1939 3). UPDATE is the time from QUIT until its answer."""

    AUTHORIZATION = auto()
    TRANSACTION = auto()
    UPDATE = auto()


class _Awaits(Enum):
    """Whose turn it is."""

    COMMAND = auto()
    LOGIN = auto()
    MESSAGE = auto()
    QUIT = auto()
    TLS = auto()
    SASL = auto()  # a line of an exchange
    FINAL = auto()  # the empty line after the server's last SASL words
    NOTHING = auto()


@dataclass(frozen=True, slots=True)
class Pop3Settings:
    """How the server presents itself."""

    hostname: str
    implementation: str = "Posthouse"
    stls: bool = True
    plaintext_auth: bool = False
    login_delay: int = 0
    expire: str = "NEVER"


class Pop3Server:
    """One POP3 connection. See net/interface.py for the contract and events.py for the answers."""

    def __init__(
        self,
        settings: Pop3Settings,
        *,
        secure: bool = False,
        bindings: Mapping[str, bytes] | None = None,
        nonce: Callable[[], str],
    ) -> None:
        self._settings = settings
        self._secure = secure
        self._bindings = bindings or {}
        self._nonce = nonce
        self._buffer = bytearray()
        self._out: list[bytes] = [f"+OK {settings.hostname} Posthouse POP3 ready\r\n".encode()]
        self._state = State.AUTHORIZATION
        self._awaits = _Awaits.COMMAND
        self._events: list[object] = []
        self._user = ""
        self._exchange: Exchange | None = None
        self._drop = Drop((), ())
        self._deleted: set[int] = set()
        self._left_octets = 0
        self._errors = 0
        self._failed_logins = 0
        self._skipped = 0  # octets of an overlong line thrown away so far
        self._eof = False
        self._stopping = False
        self.closing = False
        self._stuffing: Stuffing | None = None
        self._top: int | None = None

    @property
    def patience(self) -> float:
        """See Engine."""
        return IDLE_SECONDS

    def receive_data(self, data: bytes) -> None:
        """See Engine."""
        if not self.closing:
            self._buffer += data

    def receive_eof(self) -> None:
        """See Engine."""
        self._eof = True

    def data_to_send(self) -> bytes:
        """See Engine."""
        out = self._out
        if not out:
            return b""
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        return data

    def time_out(self) -> None:
        """See Engine."""
        self._hang_up("timeout", b"-ERR no command for too long, goodbye\r\n")

    def shut_down(self) -> None:
        """See Engine."""
        if self._awaits in (_Awaits.COMMAND, _Awaits.SASL, _Awaits.FINAL):
            self._hang_up("shutdown", b"-ERR [SYS/TEMP] the server is stopping, please come back\r\n")
        else:
            self._stopping = True

    def next_event(self) -> object | None:
        """See Engine."""
        while not self.closing and not self._events and self._awaits in _READS:
            if self._stopping:
                self.shut_down()
                break
            line = self._next_line()
            if line is None:
                break
            self._take(line)
        return self._events.pop(0) if self._events else None

    # Lines.

    def _next_line(self) -> bytes | None:
        buffer = self._buffer
        limit = MAX_LINE if self._awaits is _Awaits.COMMAND and buffer[:5].upper() != b"AUTH " else MAX_SASL_LINE
        at = buffer.find(b"\n", 0, limit)
        if at >= 0 and not self._skipped:
            line = bytes(buffer[: at + 1])
            del buffer[: at + 1]
            return line
        if at < 0 and len(buffer) < limit and not self._skipped:
            if self._eof:
                self._hang_up("end of input", b"")
            return None
        return self._skip_line()

    def _skip_line(self) -> bytes | None:
        """Throw an overlong line away without keeping it."""
        at = self._buffer.find(b"\n")
        self._skipped += len(self._buffer) if at < 0 else at + 1
        del self._buffer[: len(self._buffer) if at < 0 else at + 1]
        if at >= 0:
            self._skipped = 0
            self._awaits = _Awaits.COMMAND
            self._error("line too long")
        elif self._skipped > MAX_ENDLESS:
            self._hang_up("endless line", b"-ERR line too long, goodbye\r\n")
        elif self._eof:
            self._hang_up("end of input", b"")
        return b"" if at >= 0 else None

    def _take(self, line: bytes) -> None:
        if not line:
            return
        if not line.endswith(b"\r\n") or b"\r" in line[:-2] or b"\0" in line:
            self._awaits = _Awaits.COMMAND
            self._error("a line ends with CRLF and holds no CR or NUL")
        elif self._awaits is _Awaits.SASL:
            self._sasl_line(line[:-2])
        elif self._awaits is _Awaits.FINAL:
            self._awaits = _Awaits.LOGIN
            self._final_line(line[:-2])
        else:
            self._command(line[:-2])

    def _command(self, line: bytes) -> None:
        keyword, _, argument = line.partition(b" ")
        command = COMMANDS.get(keyword.upper())
        if command is None:
            self._error("unknown command")
        elif self._state not in command.states:
            self._error(f"{keyword.decode().upper()} is not valid in this state")
        else:
            command.run(self, argument)

    # Replies.

    def _ok(self, text: str) -> None:
        self._out.append(f"+OK {text}\r\n".encode())

    def _err(self, text: str, code: str = "") -> None:
        self._out.append(f"-ERR {f'[{code}] ' if code else ''}{text}\r\n".encode())

    def _error(self, text: str) -> None:
        self._errors += 1
        if self._errors >= MAX_ERRORS:
            self._hang_up("too many errors", b"-ERR too many errors, goodbye\r\n")
        else:
            self._err(text)

    def _hang_up(self, reason: str, last_words: bytes) -> None:
        if not self.closing:
            self._out.append(last_words)
            self.closing = True
            self._awaits = _Awaits.NOTHING
            self._buffer.clear()
            self._events.append(SessionEnded(reason))

    # Logging in.

    @property
    def _login_allowed(self) -> bool:
        return self._secure or self._settings.plaintext_auth

    def _must_secure(self) -> bool:
        if not self._login_allowed:
            self._err("logins need TLS here: use STLS first, or port 995")
        return not self._login_allowed

    def _do_user(self, argument: bytes) -> None:
        if self._must_secure():
            return
        try:
            self._user = argument.decode()
        except UnicodeDecodeError:
            self._user = ""
        if self._user:
            self._ok("now PASS")
        else:
            self._error("USER wants a name")

    def _do_pass(self, argument: bytes) -> None:
        if self._must_secure():
            return
        user, self._user = self._user, ""
        if not user:
            self._error("USER comes first")
            return
        try:
            password = argument.decode()
        except UnicodeDecodeError:
            self._error("the password is not UTF-8")
            return
        self._offer(PasswordOffered(user, password), _Awaits.LOGIN)

    def _do_auth(self, argument: bytes) -> None:
        if not argument:
            self._ok("mechanisms follow")
            self._lines(self._mechanisms())
            return
        if self._must_secure():
            return
        name, _, initial = argument.decode("ascii", "replace").partition(" ")
        if name.upper() not in self._mechanisms():
            self._error("unknown mechanism; CAPA lists those there are")
            return
        self._exchange = Exchange(name.upper(), bindings=self._bindings, nonce=self._nonce)
        try:
            # RFC 4954 4 by way of RFC 5034 4: "=" is an empty initial response.
            data = None if not initial else b"" if initial == "=" else b64decode(initial, validate=True)
        except (Base64Error, ValueError):
            self._error("not base64")
            return
        self._step(self._exchange.begin(data))

    def _sasl_line(self, line: bytes) -> None:
        assert self._exchange is not None
        self._awaits = _Awaits.COMMAND
        if line == b"*":
            self._err("cancelled")
            return
        try:
            data = b64decode(line, validate=True)
        except (Base64Error, ValueError):
            self._error("not base64")
            return
        self._step(self._exchange.respond(data))

    def _step(self, step: Step) -> None:
        if isinstance(step, Challenge):
            self._out.append(b"+ " + b64encode(step.data) + b"\r\n")
            self._awaits = _Awaits.SASL
        elif isinstance(step, Malformed):
            self._awaits = _Awaits.COMMAND
            self._error(f"malformed: {step.reason}")
        elif isinstance(step, LoginFailed):
            self._events.append(step)
            self._login_failed("AUTH", "wrong login or password")
        else:
            self._offer(step, _Awaits.LOGIN)

    def provide_keys(self, keys: ScramKeys) -> None:
        """Answer to KeysWanted."""
        assert self._exchange is not None and self._awaits is _Awaits.LOGIN
        self._step(self._exchange.provide_keys(keys))

    def accept_login(self, drop: Drop) -> None:
        """Answer to PasswordOffered and LoginProven: the maildrop is locked and this is what it holds."""
        assert self._awaits is _Awaits.LOGIN
        self._drop = drop
        final = self._exchange.final if self._exchange is not None else b""
        if final:
            self._out.append(b"+ " + b64encode(final) + b"\r\n")
            self._awaits = _Awaits.FINAL
        else:
            self._enter()

    def _final_line(self, line: bytes) -> None:
        if line:
            self._hang_up("malformed SASL", b"-ERR an empty line was expected, goodbye\r\n")
        else:
            self._enter()

    def _enter(self) -> None:
        self._state = State.TRANSACTION
        self._awaits = _Awaits.COMMAND
        self._left_octets = sum(self._drop.octets)
        self._ok(f"{len(self._drop.octets)} messages ({self._left_octets} octets)")

    def refuse_login(self, code: str, text: str) -> None:
        """Answer to any login offer."""
        assert self._awaits is _Awaits.LOGIN
        self._login_failed(code, text)

    def _login_failed(self, code: str, text: str) -> None:
        self._awaits = _Awaits.COMMAND
        self._exchange = None
        self._failed_logins += code in ("AUTH", "")
        self._err(text, code)
        if self._failed_logins >= MAX_FAILED_LOGINS:
            self._hang_up("too many failed logins", b"")

    def _mechanisms(self) -> tuple[str, ...]:
        return mechanisms(bindings=self._bindings, plaintext_ok=True) if self._login_allowed else ()

    def _do_stls(self, argument: bytes) -> None:
        if self._secure or not self._settings.stls:
            self._error("TLS is active already" if self._secure else "TLS is not offered here")
            return
        self._ok("begin TLS")
        # RFC 2595 4: what was sent before the handshake is forgotten.
        self._buffer.clear()
        self._offer(StartTlsOffered(), _Awaits.TLS)

    def tls_started(self, bindings: Mapping[str, bytes]) -> None:
        """Answer to StartTlsOffered, after the handshake."""
        self._buffer.clear()
        self._secure, self._bindings, self._user = True, bindings, ""
        self._awaits = _Awaits.COMMAND

    def _offer(self, event: object, awaits: _Awaits) -> None:
        self._awaits = awaits
        self._events.append(event)

    # Everywhere.

    def _do_capa(self, argument: bytes) -> None:
        lines = ["TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", f"EXPIRE {self._settings.expire}"]
        lines += [f"LOGIN-DELAY {self._settings.login_delay}", "UTF8 USER"]
        if self._state is State.AUTHORIZATION:
            if self._login_allowed:
                lines += ["USER", "SASL " + " ".join(self._mechanisms())]
            if self._settings.stls and not self._secure:
                lines.append("STLS")
        lines.append(f"IMPLEMENTATION {self._settings.implementation}")
        self._ok("capabilities follow")
        self._lines(lines)

    def _do_utf8(self, argument: bytes) -> None:
        self._ok("UTF-8 it is")  # RFC 6856 2.1; messages are sent as stored anyway (docs/decisions/005)

    def _do_quit(self, argument: bytes) -> None:
        if self._state is State.TRANSACTION:
            self._state = State.UPDATE
            self._offer(QuitOffered(tuple(sorted(self._deleted))), _Awaits.QUIT)
        else:
            self._hang_up("quit", b"+OK goodbye\r\n")

    def accept_quit(self) -> None:
        """Answer to QuitOffered: the deletions are durable."""
        assert self._awaits is _Awaits.QUIT
        self._hang_up("quit", b"+OK goodbye\r\n")

    def reject(self, code: str, text: str) -> None:
        """Refuse a message, or say that the deletions of QUIT were not made."""
        if self._awaits is _Awaits.QUIT:
            self._err(text, code)
            self._hang_up("quit failed", b"")
        else:
            assert self._awaits is _Awaits.MESSAGE
            self._err(text, code)
            self._awaits = _Awaits.COMMAND

    # The transaction.

    def _live(self, argument: bytes) -> int | None:
        """The message a number names: there, and not marked deleted. Otherwise the error is said."""
        # RFC 1939 3: numbers are decimal; ten digits are more than any maildrop holds.
        number = int(argument) if argument.isdigit() and len(argument) <= 10 else 0
        if not 1 <= number <= len(self._drop.octets):
            self._error("no such message")
        elif number in self._deleted:
            self._error("that message is marked deleted")
        else:
            return number
        return None

    def _do_stat(self, argument: bytes) -> None:
        self._out.append(b"+OK %d %d\r\n" % (len(self._drop.octets) - len(self._deleted), self._left_octets))

    def _do_list(self, argument: bytes) -> None:
        self._listing(argument, self._drop.octets, f"{self._left_octets} octets")

    def _do_uidl(self, argument: bytes) -> None:
        self._listing(argument, self._drop.uidls, "unique ids")

    def _listing(self, argument: bytes, values: Sequence[int] | Sequence[str], what: str) -> None:
        if argument:
            if (number := self._live(argument)) is not None:
                self._ok(f"{number} {values[number - 1]}")
            return
        self._ok(f"{len(values) - len(self._deleted)} messages, {what}")
        deleted = self._deleted
        self._lines(f"{n} {value}" for n, value in enumerate(values, 1) if n not in deleted)

    def _lines(self, lines: Iterable[str]) -> None:
        self._out.append("".join(f"{line}\r\n" for line in (*lines, ".")).encode())

    def _do_dele(self, argument: bytes) -> None:
        if (number := self._live(argument)) is not None:
            self._deleted.add(number)
            self._left_octets -= self._drop.octets[number - 1]
            self._ok(f"message {number} will be deleted at QUIT")

    def _do_noop(self, argument: bytes) -> None:
        self._ok("still here")

    def _do_rset(self, argument: bytes) -> None:
        self._deleted.clear()
        self._left_octets = sum(self._drop.octets)
        self._ok(f"{len(self._drop.octets)} messages ({self._left_octets} octets)")

    def _do_retr(self, argument: bytes) -> None:
        if (number := self._live(argument)) is not None:
            self._top = None
            self._offer(MessageWanted(number), _Awaits.MESSAGE)

    def _do_top(self, argument: bytes) -> None:
        first, _, second = argument.partition(b" ")
        if not second.isdigit() or len(second) > 10:
            self._error("TOP wants a message and a number of lines")
        elif (number := self._live(first)) is not None:
            self._top = int(second)
            self._offer(MessageWanted(number, self._top), _Awaits.MESSAGE)

    def begin_message(self, octets: int, dot_lines: bool, open_end: bool) -> None:
        """Answer to MessageWanted; send_chunk and end_message follow."""
        assert self._awaits is _Awaits.MESSAGE
        self._ok(f"{octets} octets")
        self._stuffing = Stuffing(dot_lines, open_end, self._top)

    def send_chunk(self, data: bytes) -> bool:
        """The next octets of the message; False when TOP has enough."""
        assert self._stuffing is not None
        self._out.append(self._stuffing.feed(data))
        return not self._stuffing.done

    def end_message(self) -> None:
        """The message is whole."""
        assert self._stuffing is not None
        self._out.append(self._stuffing.end())
        self._stuffing = None
        self._awaits = _Awaits.COMMAND


@dataclass(frozen=True, slots=True)
class _Command:
    states: frozenset[State]
    run: Callable[[Pop3Server, bytes], None]


_FIRST, _THEN = frozenset({State.AUTHORIZATION}), frozenset({State.TRANSACTION})
_READS = frozenset({_Awaits.COMMAND, _Awaits.SASL, _Awaits.FINAL})

COMMANDS = {
    b"USER": _Command(_FIRST, Pop3Server._do_user),
    b"PASS": _Command(_FIRST, Pop3Server._do_pass),
    b"AUTH": _Command(_FIRST, Pop3Server._do_auth),
    b"STLS": _Command(_FIRST, Pop3Server._do_stls),
    b"UTF8": _Command(_FIRST, Pop3Server._do_utf8),
    b"CAPA": _Command(_FIRST | _THEN, Pop3Server._do_capa),
    b"QUIT": _Command(_FIRST | _THEN, Pop3Server._do_quit),
    b"STAT": _Command(_THEN, Pop3Server._do_stat),
    b"LIST": _Command(_THEN, Pop3Server._do_list),
    b"UIDL": _Command(_THEN, Pop3Server._do_uidl),
    b"RETR": _Command(_THEN, Pop3Server._do_retr),
    b"TOP": _Command(_THEN, Pop3Server._do_top),
    b"DELE": _Command(_THEN, Pop3Server._do_dele),
    b"NOOP": _Command(_THEN, Pop3Server._do_noop),
    b"RSET": _Command(_THEN, Pop3Server._do_rset),
}
