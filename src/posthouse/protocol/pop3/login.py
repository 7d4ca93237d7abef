"""The authorization state: USER and PASS (RFC 1939 7), AUTH (RFC 5034), STLS (RFC 2595 4)."""

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
from posthouse.protocol.lines import LineFault
from posthouse.protocol.pop3 import replies
from posthouse.protocol.pop3.events import Drop
from posthouse.protocol.pop3.link import Link
from posthouse.protocol.pop3.maildrop import Maildrop
from posthouse.protocol.pop3.settings import MAX_FAILED_LOGINS, Pop3Settings
from posthouse.protocol.pop3.states import State
from posthouse.protocol.sasl import MAX_LINE, Challenge, Exchange, Malformed, Step, decoded, mechanisms

_GUESSES = ("", "AUTH", "LOGIN-DELAY")  # codes of refusals that a guesser of passwords gets


class Login(Link):
    """The part of the engine that lets a peer log in."""

    __slots__ = ("_bindings", "_exchange", "_failed_logins", "_maildrop", "_nonce", "_secure", "_state", "_user")

    def __init__(
        self, settings: Pop3Settings, *, secure: bool, bindings: Mapping[str, bytes], nonce: Callable[[], str]
    ) -> None:
        super().__init__(settings)
        self._secure = secure
        self._bindings = bindings
        self._nonce = nonce
        self._state = State.AUTHORIZATION
        self._user = ""  # of the last USER
        self._exchange: Exchange | None = None
        self._failed_logins = 0
        self._maildrop = Maildrop(Drop((), ()))

    # Answers of the session.

    def provide_keys(self, keys: ScramKeys) -> None:
        """Answer to KeysWanted."""
        if self._answered(KeysWanted) and self._exchange is not None:
            self._step(self._exchange.provide_keys(keys))

    def accept_login(self, drop: Drop) -> None:
        """Answer to PasswordOffered and LoginProven: the maildrop is locked, and this is what it holds."""
        if not self._answered(PasswordOffered, LoginProven):
            return
        self._maildrop = Maildrop(drop)
        if self._exchange is not None and self._exchange.final:
            # RFC 5034 4: +OK has no room for data, so it goes in a challenge that wants an empty response.
            self._challenge(self._exchange.final)
            self._read = Login._read_empty
        else:
            self._enter()

    def refuse_login(self, code: str, text: str) -> None:
        """Answer to any login offer."""
        if self._answered(PasswordOffered, LoginProven, LoginFailed, KeysWanted):
            self._fail_login(replies.err(text, code), guess=code in _GUESSES)

    def tls_started(self, bindings: Mapping[str, bytes]) -> None:
        """Answer to StartTlsOffered, once the handshake is done."""
        if self._answered(StartTlsOffered):
            # RFC 2595 4: nothing that was said in plain text counts, above all not what stands in the buffer.
            self._lines.clear()
            self._secure, self._bindings, self._user = True, bindings, ""

    # Commands.

    @property
    def _may_log_in(self) -> bool:
        return self._secure or self._settings.plaintext_auth

    def _mechanisms(self) -> tuple[str, ...]:
        """What AUTH may use at this moment."""
        if not self._may_log_in:
            return ()
        return mechanisms(bindings=self._bindings, plaintext_ok=True, scram=self._settings.scram)

    def _do_stls(self, argument: bytes) -> None:
        if self._secure or not self._settings.stls:
            self._error(replies.TLS_ACTIVE if self._secure else replies.NO_TLS)
            return
        self._say(replies.BEGIN_TLS)
        self._lines.clear()
        self._offer_up(StartTlsOffered())

    def _do_user(self, argument: bytes) -> None:
        self._user = ""
        if not self._may_log_in:
            self._refuse_plain()
        elif not (user := _text(argument)):
            self._error(replies.NO_NAME)
        else:
            self._user = user
            self._say(replies.NAME_TAKEN)  # RFC 1939 13: whether or not there is such a mailbox

    def _do_pass(self, argument: bytes) -> None:
        # RFC 1939 7: spaces belong to the password, so everything behind the first one is it.
        user, password = self._user, _text(argument)
        self._user = ""
        if not self._may_log_in:
            self._refuse_plain()
        elif not user:
            self._error(replies.USER_FIRST)
        elif password is None:
            self._error(replies.PASSWORD_NOT_UTF8)
        else:
            self._offer_up(PasswordOffered(user, password))

    def _do_auth(self, argument: bytes) -> None:
        name, _, initial = argument.decode("ascii", "replace").partition(" ")
        initial = initial.lstrip(" ")
        offered = self._mechanisms()
        if not name:
            self._list(replies.MECHANISMS, iter([f"{each}\r\n".encode() for each in offered]))
        elif not offered:
            self._refuse_plain()
        elif name.upper() not in offered:
            self._events.append(LoginRefused(f"no such mechanism: {name[:20]}"))
            self._error(replies.NO_MECHANISM)
        else:
            self._begin(Exchange(name.upper(), bindings=self._bindings, nonce=self._nonce), initial)

    def _refuse_plain(self) -> None:
        self._events.append(LoginRefused("without TLS"))
        self._error(replies.TLS_FIRST)

    # The exchange.

    def _begin(self, exchange: Exchange, initial: str) -> None:
        self._exchange = exchange
        if not initial:
            self._step(exchange.begin(None))
        elif initial == "=":  # RFC 5034 4: an initial response that is empty
            self._step(exchange.begin(b""))
        elif (data := decoded(initial.encode())) is None:
            self._abandon(replies.BAD_BASE64)
        else:
            self._step(exchange.begin(data))

    def _read_response(self) -> bool:
        """Take one SASL response; False when octets are needed."""
        line, exchange = self._next_line(MAX_LINE), self._exchange
        if line is None or exchange is None:
            return False
        if isinstance(line, LineFault):
            self._leave_exchange()
            self._refuse_line(line)
        elif line == b"*":
            self._abandon(replies.CANCELLED)  # RFC 5034 4
        elif (data := decoded(line)) is None:
            self._abandon(replies.BAD_BASE64)
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
            # The maildrop is this session's already, and there is no way back: so the session ends.
            self._end("an empty SASL response was expected", replies.NOT_EMPTY)
        return True

    def _step(self, step: Step) -> None:
        """What the exchange made of a response."""
        if isinstance(step, Challenge):
            self._challenge(step.data)
            self._read = Login._read_response
        elif isinstance(step, Malformed):
            self._abandon(replies.err(f"malformed: {step.reason}"))
        else:
            self._offer_up(step)

    def _challenge(self, data: bytes) -> None:
        self._say(b"+ %b\r\n" % b64encode(data))

    def _leave_exchange(self) -> None:
        self._expect_command()
        self._exchange = None

    def _abandon(self, answer: bytes) -> None:
        self._leave_exchange()
        self._error(answer)

    def _fail_login(self, answer: bytes, *, guess: bool) -> None:
        self._leave_exchange()
        if not guess:
            self._error(answer)  # a peer may ask for a maildrop that is in use now and then, but not without end
            return
        self._say(answer)
        self._failed_logins += 1
        if self._failed_logins >= MAX_FAILED_LOGINS:
            self._end("too many failed logins")

    def _enter(self) -> None:
        self._leave_exchange()
        self._state = State.TRANSACTION
        self._say_contents()

    def _say_contents(self) -> None:
        self._say(b"+OK %d messages (%d octets)\r\n" % (self._maildrop.count, self._maildrop.octets))


def _text(octets: bytes) -> str | None:
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return None
