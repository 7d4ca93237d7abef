"""AUTH: the framing of SASL in SMTP (RFC 4954). The mechanisms themselves stand in protocol/sasl.py."""

from base64 import b64encode
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Callable, Mapping

from posthouse.message.credentials import ScramKeys
from posthouse.message.reply import Reply
from posthouse.protocol.events import KeysWanted, LoginFailed, LoginProven, PasswordOffered
from posthouse.protocol.lines import MAX_AUTH_LINE, LineFault
from posthouse.protocol.sasl import Challenge, Exchange, Malformed, Step, mechanisms
from posthouse.protocol.smtp import replies
from posthouse.protocol.smtp.events import RefusalScope
from posthouse.protocol.smtp.link import Link
from posthouse.protocol.smtp.settings import MAX_FAILED_LOGINS, SmtpSettings


class Login(Link):
    """The part of the engine that lets a peer log in, and knows whether it may."""

    __slots__ = ("_bindings", "_exchange", "_failed_logins", "_nonce", "_proven", "_secure", "authenticated")

    def __init__(
        self, settings: SmtpSettings, *, bindings: Mapping[str, bytes], secure: bool, nonce: Callable[[], str]
    ) -> None:
        super().__init__(settings)
        self._bindings = bindings
        self._secure = secure
        self._nonce = nonce
        self._exchange: Exchange | None = None
        self._proven = False  # the exchange has only its last words left
        self._failed_logins = 0
        self.authenticated = False

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
        if self._answered(PasswordOffered, LoginProven, LoginFailed, KeysWanted):
            self._fail_login(reply.encode(), counts=not reply.is_transient)

    def _mechanisms(self) -> tuple[str, ...]:
        """What AUTH may use at this moment."""
        if not self._settings.auth or not (self._secure or self._settings.plaintext_auth):
            return ()
        return mechanisms(bindings=self._bindings, plaintext_ok=True, scram=self._settings.scram)

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
            self._leave_exchange()
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
        else:
            self._offer_up(step)

    def _challenge(self, data: bytes) -> None:
        self._say(b"334 %b\r\n" % b64encode(data))
        self._read = Login._read_response

    def _leave_exchange(self) -> None:
        self._expect_command()
        self._exchange, self._proven = None, False

    def _abandon(self, reply: bytes) -> None:
        self._leave_exchange()
        self._error(reply)

    def _fail_login(self, reply: bytes, *, counts: bool) -> None:
        self._leave_exchange()
        self._refuse(reply, RefusalScope.LOGIN)
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
