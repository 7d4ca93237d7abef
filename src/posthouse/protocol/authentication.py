"""Logging in on a connection: the framing of SASL in SMTP (RFC 4954), POP3 (RFC 5034) and IMAP (RFC 9051 6.2.2).

Theory of operation. A command names a mechanism, perhaps with an initial response; then challenges and responses go to
and fro, in base64, a line each, until the client has cancelled with "*", has broken the grammar, or an offer has gone
to the session (PasswordOffered, KeysWanted, LoginProven, LoginFailed). What the mechanisms say to each other stands in
sasl.py; here is what carries it:

    idle ── begin() ──> exchange ── respond() ──> exchange
                        exchange ── "*", a fault, refuse() ──> idle
                        exchange ── accept(), nothing left to say ──> idle, logged in
                        exchange ── accept(), SCRAM ──> last challenge ── an empty response ──> idle, logged in
                        last challenge ── anything else ──> idle

No success reply has room for what SCRAM's server has to say last, so it goes in a challenge that wants an empty
response. A password that came without SASL (USER and PASS, LOGIN) is answered here, too. The protocol passes in how a
challenge is framed, what it says to a fault, and what a login leads to.
"""

from base64 import b64encode
from collections.abc import Callable, Mapping
from enum import Enum, auto

from posthouse.message.credentials import ScramKeys
from posthouse.protocol.engine_core import EngineCore
from posthouse.protocol.events import KeysWanted, LoginFailed, LoginProven, PasswordOffered, StartTlsOffered
from posthouse.protocol.lines import LineFault
from posthouse.protocol.sasl import MAX_LINE, Challenge, Exchange, Malformed, Step, decoded, mechanisms

MAX_FAILED_LOGINS = 5  # of one connection; with that many we hang up


class SaslFault(Enum):
    """Why an exchange came to nothing, beside Malformed and LineFault."""

    CANCELLED = auto()
    BAD_BASE64 = auto()
    NOT_EMPTY = auto()  # the response to the last challenge


Fault = SaslFault | Malformed | LineFault


class Authentication:
    """Who may log in how on this connection, and the exchange that is under way."""

    __slots__ = (
        "_bindings",
        "_challenge",
        "_core",
        "_exchange",
        "_failed_logins",
        "_next_line",
        "_nonce",
        "_on_fault",
        "_on_login",
        "_plaintext_auth",
        "_scram",
        "secure",
    )

    def __init__(
        self,
        core: EngineCore,
        *,
        plaintext_auth: bool,
        scram: bool,
        secure: bool,
        bindings: Mapping[str, bytes],
        nonce: Callable[[], str],
        challenge: bytes,
        next_line: Callable[[int], bytes | LineFault | None],
    ) -> None:
        """`plaintext_auth`: logins without TLS are taken, too. `scram`: the directory has keys for it.

        `challenge`: what a challenge begins with. `next_line` gives the next line of at most so many octets.
        """
        self._core = core
        self._plaintext_auth = plaintext_auth
        self._scram = scram
        self._bindings = bindings
        self._nonce = nonce
        self._challenge = challenge
        self._next_line = next_line
        self._on_fault: Callable[[Fault], None] | None = None  # of the exchange, so that nothing holds an idle engine
        self._on_login: Callable[[], None] | None = None  # once granted, until the last challenge is acknowledged
        self._exchange: Exchange | None = None
        self._failed_logins = 0
        self.secure = secure

    @property
    def is_granted(self) -> bool:
        """Whether the session has granted the login, and the client has not acknowledged the last challenge yet."""
        return self._on_login is not None

    @property
    def is_allowed(self) -> bool:
        """Whether logins are taken at this moment."""
        return self.secure or self._plaintext_auth

    def mechanisms(self) -> tuple[str, ...]:
        """What may be used at this moment, best first; () while no login is allowed."""
        if not self.is_allowed:
            return ()
        return mechanisms(bindings=self._bindings, plaintext_ok=True, scram=self._scram)

    def begin(self, mechanism: str, initial: bytes | None, on_fault: Callable[[Fault], None]) -> None:
        """Start an exchange by one of mechanisms(), with the initial response as it came, if one did.

        `on_fault` says what was wrong when it comes to nothing.
        """
        self._on_fault = on_fault
        self._exchange = Exchange(mechanism, bindings=self._bindings, nonce=self._nonce)
        if initial is None:
            self._take(self._exchange.begin(None))
        elif (data := initial_response(initial)) is None:
            self._give_up(SaslFault.BAD_BASE64)
        else:
            self._take(self._exchange.begin(data))

    # Answers of the session.

    def tls_started(self, bindings: Mapping[str, bytes]) -> bool:
        """Answer to StartTlsOffered. False when the connection has ended meanwhile."""
        if not self._core.answered(StartTlsOffered):
            return False
        # RFC 3207 4.2, RFC 2595 4, RFC 9051 6.2.1: nothing that was said in plain text counts, above all not what
        # stands in the buffer.
        self._core.lines.clear()
        self.secure, self._bindings = True, bindings
        return True

    def provide_keys(self, keys: ScramKeys) -> None:
        """Answer to KeysWanted."""
        if self._core.answered(KeysWanted) and self._exchange is not None:
            self._take(self._exchange.provide_keys(keys))

    def accept(self, on_login: Callable[[], None]) -> None:
        """Answer to PasswordOffered and LoginProven; take it by core.answered() first.

        `on_login` says that the login is done, and goes into the next state.
        """
        if self._exchange is not None and self._exchange.final:
            self._send_challenge(self._exchange.final)
            self._on_login = on_login
            self._core.expect(self._read_acknowledgement)
        else:
            self._leave()
            on_login()

    def refuse(self) -> bool:
        """Answer to any login offer, before a refusal is said. False when the connection has ended meanwhile."""
        if not self._core.answered(PasswordOffered, LoginProven, LoginFailed, KeysWanted):
            return False
        self._leave()
        return True

    def count_failure(self) -> None:
        """A login was refused, which may have been a guess; too many are the end."""
        self._failed_logins += 1
        if self._failed_logins >= MAX_FAILED_LOGINS:
            self._core.end("too many failed logins", self._core.closing_replies.too_many_failed_logins)

    # The exchange.

    def _read_response(self) -> bool:
        """Take one response; False when octets are needed."""
        line, exchange = self._next_line(MAX_LINE), self._exchange
        if line is None or exchange is None:
            return False
        if isinstance(line, LineFault):
            self._give_up(line)
        elif line == b"*":
            self._give_up(SaslFault.CANCELLED)
        elif (data := decoded(line)) is None:
            self._give_up(SaslFault.BAD_BASE64)
        else:
            self._take(exchange.respond(data))
        return True

    def _read_acknowledgement(self) -> bool:
        """Take the empty response to the last challenge; False when octets are needed."""
        line, on_login = self._next_line(MAX_LINE), self._on_login
        if line is None or on_login is None:
            return False
        if line == b"":
            self._leave()
            on_login()
        elif isinstance(line, LineFault):
            self._give_up(line)
        else:
            self._give_up(SaslFault.CANCELLED if line == b"*" else SaslFault.NOT_EMPTY)
        return True

    def _take(self, step: Step) -> None:
        """What the exchange made of a response."""
        if isinstance(step, Challenge):
            self._send_challenge(step.data)
            self._core.expect(self._read_response)
        elif isinstance(step, Malformed):
            self._give_up(step)
        else:
            self._core.emit(step)

    def _send_challenge(self, data: bytes) -> None:
        self._core.send(b"%b%b\r\n" % (self._challenge, b64encode(data)))

    def _give_up(self, fault: Fault) -> None:
        self._core.expect_command()
        if self._on_fault is not None:
            self._on_fault(fault)  # it may say what is read next: octets that are to be thrown away
        self.forget()

    def _leave(self) -> None:
        self._core.expect_command()
        self.forget()

    def forget(self) -> None:
        """Let go of the exchange at hand, and of the engine with it."""
        self._exchange = self._on_fault = self._on_login = None


def initial_response(text: bytes) -> bytes | None:
    """An initial response decoded; "=" is an empty one (RFC 4954 4, RFC 5034 4, RFC 4959 3). None: not base64."""
    return b"" if text == b"=" else decoded(text)
