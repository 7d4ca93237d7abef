"""The SMTP and LMTP server engine (RFC 5321, RFC 2033).

Its states, transitions and where each command is legal stand in states.py; `COMMANDS`, at the end, names the method
that carries each verb out. A method either answers at once, or emits an offer; while that is unanswered nothing is
parsed, so PIPELINING (RFC 2920) is right by construction.

The engine is put together from parts: EngineCore (octets, events, the end), Responder (refusals), Authentication (AUTH)
and MailTransaction (the envelope and its content).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from posthouse.message.credentials import ScramKeys
from posthouse.message.reply import Reply
from posthouse.protocol import http
from posthouse.protocol.authentication import Authentication, Fault, SaslFault
from posthouse.protocol.engine_core import EngineCore, ServerEngine
from posthouse.protocol.events import LoginProven, PasswordOffered, StartTlsOffered
from posthouse.protocol.lines import LineFault
from posthouse.protocol.sasl import Malformed
from posthouse.protocol.smtp import replies, states
from posthouse.protocol.smtp.capabilities import hello_reply, protocol_name
from posthouse.protocol.smtp.events import DataOffered, RefusalScope
from posthouse.protocol.smtp.mail_transaction import MailTransaction
from posthouse.protocol.smtp.responder import Responder
from posthouse.protocol.smtp.settings import MAX_ERRORS, PATIENCE, SmtpSettings, Variant
from posthouse.protocol.smtp.states import LEGAL, OUT_OF_ORDER, SmtpState

__all__ = ["COMMANDS", "SmtpServer", "SmtpSettings", "Variant"]

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f]")
_BEYOND_ASCII = re.compile("[^\x00-\x7f]")
_SASL_FAULTS = {
    SaslFault.CANCELLED: replies.CANCELLED,
    SaslFault.BAD_BASE64: replies.BAD_BASE64,
    SaslFault.NOT_EMPTY: replies.NOT_EMPTY,
}


class SmtpServer(ServerEngine):
    """One SMTP or LMTP connection. See net.interface.Engine for the contract, events.py for the answers.

    accept_sender(), accept_recipient(), accept_message(reply), finish_message(replies) and reject(reply) are those of
    its MailTransaction.
    """

    __slots__ = (
        "_auth",
        "_error",
        "_extended",
        "_lmtp",
        "_responder",
        "_send",
        "_settings",
        "_transaction",
        "accept_message",
        "accept_recipient",
        "accept_sender",
        "authenticated",
        "finish_message",
        "hello",
        "reject",
    )

    patience = PATIENCE  # see Engine

    def __init__(
        self,
        settings: SmtpSettings,
        *,
        bindings: Mapping[str, bytes] | None = None,
        secure: bool = False,
        nonce: Callable[[], str],
    ) -> None:
        """`secure`: TLS is up already, with these channel `bindings`. `nonce` gives fresh SCRAM nonces."""
        closing = replies.closing_replies(settings.hostname)
        core = EngineCore(self._read_command, closing, max_errors=MAX_ERRORS + 1, before_end=self._before_end)
        super().__init__(core)
        self._settings = settings
        self._lmtp = settings.variant is Variant.LMTP
        self._responder = Responder(core, settings.hostname)
        transaction = self._transaction = MailTransaction(core, self._responder, settings)
        self.accept_sender, self.accept_recipient = transaction.accept_sender, transaction.accept_recipient
        self.accept_message, self.finish_message = transaction.accept_message, transaction.finish_message
        self.reject = transaction.reject
        self._auth = Authentication(
            core,
            plaintext_auth=settings.plaintext_auth,
            scram=settings.scram,
            secure=secure,
            bindings=bindings or {},
            nonce=nonce,
            challenge=b"334 ",
            next_line=core.lines.next_line,
        )
        self.authenticated = False
        self._extended = False  # greeted by EHLO or LHLO
        self.hello = ""  # the name the peer gave
        self._send = core.send
        self._error = self._responder.error
        if settings.in_turn:
            self.receive_data = self._receive_first
        self._send(f"220 {settings.hostname} {'LMTP' if self._lmtp else 'ESMTP'} {settings.greeting}\r\n".encode())

    @property
    def protocol(self) -> str:
        """The protocol as Received names it, for the transaction at hand: ESMTP, ESMTPSA, UTF8SMTPS, LMTP ..."""
        return protocol_name(
            self._settings.variant,
            extended=self._extended,
            utf8=self._transaction.sender.smtputf8,
            secure=self._auth.secure,
            authenticated=self.authenticated,
        )

    def hang_up(self, reply: Reply) -> None:
        """Say this and close, whatever stands open: for a session that will not go on with this peer."""
        self._core.end(reply.text, reply.encode())

    def _receive_first(self, data: bytes) -> None:
        """receive_data() until the peer has spoken."""
        self.receive_data = self._core.receive_data
        self.receive_data(data)
        if self._core.out and self._is_out_of_turn():  # our greeting has not gone yet (RFC 5321 4.3.1)
            self._core.end("spoke out of turn", replies.OUT_OF_TURN)

    def _before_end(self, reason: str, last_words: bytes, unasked: bool) -> None:
        if unasked:
            self._responder.command = None
        self.receive_data = self._core.receive_data  # or the engine of a peer that never spoke would hold itself
        self._auth.forget()
        self._transaction.drop(reason)
        if last_words[:1] >= b"4":
            self._responder.note_refusal(last_words, RefusalScope.CONNECTION)

    # Answers of the session.

    def accept_data(self) -> None:
        """Answer to DataOffered."""
        if not self._core.answered(DataOffered):
            return
        if self._transaction.chunk is None and self._is_out_of_turn():  # content before the 354
            self._core.end("spoke out of turn", replies.OUT_OF_TURN)
        else:
            self._transaction.begin_content()

    def tls_started(self, bindings: Mapping[str, bytes]) -> None:
        """Answer to StartTlsOffered, once the handshake is done."""
        if self._auth.tls_started(bindings):
            self._transaction.state = states.TLS_STARTED[self._transaction.state]
            self.hello, self._extended = "", False

    def provide_keys(self, keys: ScramKeys) -> None:
        """Answer to KeysWanted."""
        self._auth.provide_keys(keys)

    def accept_login(self) -> None:
        """Answer to PasswordOffered and LoginProven."""
        if self._core.answered(PasswordOffered, LoginProven):
            self._auth.accept(self._enter)

    def refuse_login(self, reply: Reply) -> None:
        """Answer to any login offer."""
        if self._auth.refuse():
            self._responder.refuse(reply.encode(), RefusalScope.LOGIN)
            if not reply.is_transient:
                self._auth.count_failure()

    # Command lines.

    def _read_command(self) -> bool:
        """Carry out one command; False when octets are needed."""
        line = self._core.lines.next_line()
        if line is None:
            return False
        responder = self._responder
        responder.verb = b""
        if isinstance(line, LineFault):
            responder.command = b""
            responder.refuse_line(line, replies.LINE_TOO_LONG)
            return True
        responder.command = line
        verb, _, rest = line.partition(b" ")
        command = COMMANDS.get(verb) or COMMANDS.get(verb.upper())
        if command is None and verb.upper() in http.VERBS:
            responder.hang_up("4.7.0", http.REFUSAL)
        # RFC 2920 3.1: some commands end a group, and without EHLO each of them does. Who goes on without our reply
        # plays back a script: spam, or a page that has a browser speak SMTP.
        elif (not self._extended or (command is not None and command.last)) and self._is_out_of_turn():
            self._core.end("spoke out of turn", replies.OUT_OF_TURN)
        elif command is None:
            self._error(replies.UNKNOWN)
        else:
            responder.verb = verb
            self._carry_out(command, rest)
        return True

    def _carry_out(self, command: "SmtpCommand", argument: bytes) -> None:
        try:
            # RFC 5321 4.1.1: trailing spaces are harmless.
            text = argument.decode("latin-1" if command.raw else "utf-8").strip(" ")
        except UnicodeDecodeError:
            self._error(replies.NOT_UTF8)
            return
        state = self._transaction.state
        if not command.raw and not text.isprintable() and _CONTROLS.search(text):
            self._error(replies.CONTROLS)
        elif not command.utf8 and not text.isascii():
            self._error(replies.NOT_ASCII)
        elif state in command.states:
            command.run(self, text)
        elif self._lmtp and state is SmtpState.FRESH:
            self._error(replies.LHLO_FIRST)
        else:
            self._error(OUT_OF_ORDER[state])

    def _is_out_of_turn(self) -> bool:
        """Whether the client goes on where it has to wait for our reply."""
        return self._settings.in_turn and not self.authenticated and not self._core.lines.is_empty

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
        # RFC 5321 2.3.5 wants ASCII; machines that were named by people give other names, in any charset.
        text = _BEYOND_ASCII.sub("?", text)
        if _CONTROLS.search(text):
            self._error(replies.CONTROLS)
            return
        name = text.partition(" ")[0]
        if not name or len(name) > 255:  # RFC 5321 4.1.4: it need not be true, so it is not held against the grammar
            self._error(replies.BAD_HELLO)
            return
        self._transaction.drop("greeted again")
        self._transaction.clear()  # RFC 5321 4.1.4
        self._transaction.state = states.GREETED[self._transaction.state]
        self.hello, self._extended = name, extended
        if extended:
            starttls = self._settings.starttls and not self._auth.secure and not self.authenticated
            offered = () if self.authenticated else self._mechanisms()
            self._send(hello_reply(self._settings, starttls=starttls, mechanisms=offered))
        else:
            self._send(f"250 {self._settings.hostname}\r\n".encode())

    def _do_rset(self, _text: str) -> None:
        self._transaction.drop("RSET")
        self._transaction.clear()
        self._send(replies.OK)

    def _do_noop(self, _text: str) -> None:
        self._send(replies.OK)

    def _do_vrfy(self, text: str) -> None:
        if text:
            self._send(replies.VRFY)
        else:
            self._error(replies.ARGUMENT_MISSING)

    def _do_expn(self, _text: str) -> None:
        self._error(replies.NOT_IMPLEMENTED)

    def _do_help(self, _text: str) -> None:
        if self._lmtp:
            self._send(replies.HELP_LMTP)
        else:
            self._send(replies.HELP_WITH_AUTH if self._settings.auth else replies.HELP)

    def _do_quit(self, text: str) -> None:
        if text:
            self._error(replies.NO_ARGUMENT)
        else:
            self._core.end("QUIT", replies.farewell(self._settings.hostname))

    # The envelope.

    def _do_mail(self, text: str) -> None:
        if self._settings.variant is Variant.SUBMISSION and not self.authenticated:  # RFC 6409 4.3
            self._error(replies.LOGIN_FIRST if self._mechanisms() or self._auth.secure else replies.TLS_FIRST)
        else:
            self._transaction.do_mail(text)

    def _do_rcpt(self, text: str) -> None:
        self._transaction.do_rcpt(text)

    def _do_data(self, text: str) -> None:
        self._transaction.do_data(text)

    def _do_bdat(self, text: str) -> None:
        self._transaction.do_bdat(text)

    # TLS and AUTH.

    def _mechanisms(self) -> tuple[str, ...]:
        """What AUTH may use at this moment."""
        return self._auth.mechanisms() if self._settings.auth else ()

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
            self._auth.begin(name.upper(), initial.encode() if initial else None, self._refuse_response)

    def _refuse_response(self, fault: Fault) -> None:
        if isinstance(fault, LineFault):
            self._responder.refuse_line(fault, replies.RESPONSE_TOO_LONG)
        elif isinstance(fault, Malformed):
            self._error(Reply(501, "5.5.2", f"Bad authentication response: {fault.reason}").encode())
        else:
            self._error(_SASL_FAULTS[fault])

    def _enter(self) -> None:
        self.authenticated = True
        self._send(replies.LOGGED_IN)

    def _do_starttls(self, text: str) -> None:
        if self._auth.secure:
            self._error(replies.TLS_ACTIVE)
        elif not self._settings.starttls:
            self._error(replies.NOT_IMPLEMENTED)
        elif self.authenticated:
            self._error(replies.TLS_BEFORE_LOGIN)
        elif text:
            self._error(replies.NO_ARGUMENT)
        else:
            self._send(replies.TLS_READY)
            self._core.emit(StartTlsOffered())


@dataclass(frozen=True, slots=True)
class SmtpCommand:
    """One verb: the states it is legal in, and what carries it out. Its argument is ASCII, unless it says otherwise."""

    states: frozenset[SmtpState]
    run: Callable[[SmtpServer, str], None]
    utf8: bool = False  # RFC 6531 3.7
    raw: bool = False  # checks its argument by itself, whatever it holds
    last: bool = False  # a client waits for the reply before it goes on


COMMANDS: dict[bytes, SmtpCommand] = {
    b"EHLO": SmtpCommand(LEGAL[b"EHLO"], SmtpServer._do_hello, utf8=True, raw=True, last=True),
    b"HELO": SmtpCommand(LEGAL[b"HELO"], SmtpServer._do_helo, utf8=True, raw=True, last=True),
    b"LHLO": SmtpCommand(LEGAL[b"LHLO"], SmtpServer._do_lhlo, utf8=True, raw=True, last=True),
    b"MAIL": SmtpCommand(LEGAL[b"MAIL"], SmtpServer._do_mail, utf8=True),
    b"RCPT": SmtpCommand(LEGAL[b"RCPT"], SmtpServer._do_rcpt, utf8=True),
    b"DATA": SmtpCommand(LEGAL[b"DATA"], SmtpServer._do_data, last=True),
    b"BDAT": SmtpCommand(LEGAL[b"BDAT"], SmtpServer._do_bdat, utf8=True, raw=True),
    b"RSET": SmtpCommand(LEGAL[b"RSET"], SmtpServer._do_rset),
    b"NOOP": SmtpCommand(LEGAL[b"NOOP"], SmtpServer._do_noop),
    b"VRFY": SmtpCommand(LEGAL[b"VRFY"], SmtpServer._do_vrfy, utf8=True),
    b"EXPN": SmtpCommand(LEGAL[b"EXPN"], SmtpServer._do_expn, utf8=True),
    b"HELP": SmtpCommand(LEGAL[b"HELP"], SmtpServer._do_help),
    b"QUIT": SmtpCommand(LEGAL[b"QUIT"], SmtpServer._do_quit),
    b"STARTTLS": SmtpCommand(LEGAL[b"STARTTLS"], SmtpServer._do_starttls, last=True),
    b"AUTH": SmtpCommand(LEGAL[b"AUTH"], SmtpServer._do_auth),
}
