"""Before a peer is known: LOGIN, AUTHENTICATE (RFC 9051 6.2), STARTTLS."""

from base64 import b64encode
from collections.abc import Callable, Mapping

from posthouse.message.credentials import ScramKeys
from posthouse.protocol.events import (
    KeysWanted,
    LoginFailed,
    LoginProven,
    LoginRefused,
    PasswordOffered,
    StartTlsOffered,
)
from posthouse.protocol.imap.grammar import credentials
from posthouse.protocol.imap.link import Link
from posthouse.protocol.imap.settings import MAX_FAILED_LOGINS, ImapSettings
from posthouse.protocol.imap.states import State
from posthouse.protocol.imap.syntax import Cursor, GrammarError
from posthouse.protocol.lines import LineFault
from posthouse.protocol.sasl import MAX_LINE, Challenge, Exchange, Malformed, Step, decoded, mechanisms


class Login(Link):
    """The part of the engine that lets a peer log in."""

    __slots__ = ("_bindings", "_exchange", "_failed_logins", "_nonce", "_secure")

    def __init__(
        self, settings: ImapSettings, *, secure: bool, bindings: Mapping[str, bytes], nonce: Callable[[], str]
    ) -> None:
        super().__init__(settings)
        self._secure = secure
        self._bindings = bindings
        self._nonce = nonce
        self._exchange: Exchange | None = None
        self._failed_logins = 0

    # Answers of the session.

    def provide_keys(self, keys: ScramKeys) -> None:
        """Answer to KeysWanted."""
        if self._answered(KeysWanted) and self._exchange is not None:
            self._step(self._exchange.provide_keys(keys))

    def accept_login(self) -> None:
        """Answer to PasswordOffered and LoginProven."""
        if not self._answered(PasswordOffered, LoginProven):
            return
        if self._exchange is not None and self._exchange.final:
            # RFC 9051 6.2.2: OK has no room for data, so it goes in a challenge that wants an empty response.
            self._challenge(self._exchange.final)
            self._read = self._read_empty
        else:
            self._enter()

    def refuse_login(self, code: str, text: str, *, guess: bool) -> None:
        """Answer to any login offer. `guess`: it counts as one wrong try."""
        if self._answered(PasswordOffered, LoginProven, LoginFailed, KeysWanted):
            self._fail_login(text, code, guess=guess)

    def tls_started(self, bindings: Mapping[str, bytes]) -> None:
        """Answer to StartTlsOffered, once the handshake is done."""
        if self._answered(StartTlsOffered):
            # RFC 9051 6.2.1: nothing that was said in plain text counts, above all not what stands in the buffer.
            self._lines.clear()
            self._secure, self._bindings = True, bindings

    # Commands.

    @property
    def _may_log_in(self) -> bool:
        return self._secure or self._settings.plaintext_auth

    def _mechanisms(self) -> tuple[str, ...]:
        """What AUTHENTICATE may use at this moment."""
        if not self._may_log_in:
            return ()
        return mechanisms(bindings=self._bindings, plaintext_ok=True, scram=self._settings.scram)

    def _do_starttls(self, cursor: Cursor) -> None:
        cursor.end()
        if self._secure or not self._settings.starttls:
            self._bad("TLS is active already" if self._secure else "there is no TLS here", self._tag)
            return
        self._conclude(b"OK", "Begin TLS")
        self._lines.clear()
        self._offer_up(StartTlsOffered())

    def _do_login(self, cursor: Cursor) -> None:
        if not self._may_log_in:
            self._refuse_plain()
            self._throw_away_behind(cursor.line)  # a password, most likely
            return
        self._begin(cursor, credentials(cursor), self._log_in)

    def _log_in(self, found: tuple[bytes, bytes]) -> None:
        login, password = found
        try:
            self._offer_up(PasswordOffered(login.decode(), password.decode()))
        except UnicodeDecodeError:
            self._fail_login("Login or password is not UTF-8", "AUTHENTICATIONFAILED", guess=True)

    def _do_authenticate(self, cursor: Cursor) -> None:
        cursor.space()
        name = cursor.atom().decode().upper()
        initial = None
        if not cursor.ended:  # RFC 4959
            cursor.space()
            initial = cursor.rest()
        offered = self._mechanisms()
        if not offered:
            self._refuse_plain()
        elif name not in offered:
            self._events.append(LoginRefused(f"no such mechanism: {name[:20]}"))
            self._conclude(b"NO", "No such mechanism", "CANNOT")
        else:
            self._begin_exchange(Exchange(name, bindings=self._bindings, nonce=self._nonce), initial)

    def _refuse_plain(self) -> None:
        self._events.append(LoginRefused("without TLS"))
        self._conclude(b"NO", "Logins need TLS here: use STARTTLS first, or port 993", "PRIVACYREQUIRED")

    # The exchange.

    def _begin_exchange(self, exchange: Exchange, initial: bytes | None) -> None:
        data = None
        if initial is not None:
            data = b"" if initial == b"=" else decoded(initial)
            if data is None:
                raise GrammarError("malformed base64")
        self._exchange = exchange
        self._step(exchange.begin(data))

    def _read_response(self) -> bool:
        """Take one SASL response; False when octets are needed."""
        line, exchange = self._next_line(MAX_LINE), self._exchange
        if line is None or exchange is None:
            return False
        if isinstance(line, LineFault):
            self._leave_exchange()
            self._refuse_line(line, self._tag)
        elif line == b"*":
            self._abandon("Cancelled")
        elif (data := decoded(line)) is None:
            self._abandon("Malformed base64")
        else:
            self._step(exchange.respond(data))
        return True

    def _read_empty(self) -> bool:
        """Take the empty response to the last words of a login that was granted; False when octets are needed."""
        line = self._next_line(MAX_LINE)
        if line is None:
            return False
        if line == b"":
            self._enter()
        else:
            # The login is granted already, and there is no way back: so the session ends.
            self._end("an empty SASL response was expected", b"* BYE An empty response was expected\r\n")
        return True

    def _step(self, step: Step) -> None:
        """What the exchange made of a response."""
        if isinstance(step, Challenge):
            self._challenge(step.data)
            self._read = self._read_response
        elif isinstance(step, Malformed):
            self._abandon(f"Malformed: {step.reason}")
        else:
            self._offer_up(step)

    def _challenge(self, data: bytes) -> None:
        self._say(b"+ %b\r\n" % b64encode(data))

    def _leave_exchange(self) -> None:
        self._expect_command()
        self._exchange = None

    def _abandon(self, text: str) -> None:
        self._leave_exchange()
        self._bad(text, self._tag)

    def _fail_login(self, text: str, code: str, *, guess: bool) -> None:
        self._leave_exchange()
        self._conclude(b"NO", text, code)
        self._failed_logins += guess
        if self._failed_logins >= MAX_FAILED_LOGINS:
            self._end("too many failed logins", b"* BYE Too many failed logins\r\n")

    def _enter(self) -> None:
        self._leave_exchange()
        self.state = State.AUTHENTICATED
        self._conclude(b"OK", "Logged in", f"CAPABILITY {' '.join(self._capabilities())}")

    def _capabilities(self) -> list[str]:
        """What holds at this moment."""
        raise NotImplementedError
