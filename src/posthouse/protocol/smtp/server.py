"""The SMTP and LMTP server engine (RFC 5321, RFC 2033).

`COMMANDS`, at the end, holds every verb with the states it is legal in and the method that carries it out. A method
either answers at once, or puts an offer among the events; while that is unanswered nothing is parsed, so PIPELINING
(RFC 2920) is right by construction.

The engine is built in layers, each a part of the work: Link (octets, events, the end), Login (AUTH), Reception (the
transaction and its content), and here the commands.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from posthouse.message.reply import Reply
from posthouse.protocol import http
from posthouse.protocol.events import StartTlsOffered
from posthouse.protocol.lines import LineFault
from posthouse.protocol.smtp import replies
from posthouse.protocol.smtp.capabilities import hello_reply, protocol_name
from posthouse.protocol.smtp.events import DataOffered, MessageEnded, RecipientOffered, RefusalScope, SenderOffered
from posthouse.protocol.smtp.grammar import ArgumentError, parse_mail, parse_rcpt
from posthouse.protocol.smtp.reception import NO_SENDER, Reception
from posthouse.protocol.smtp.settings import SmtpSettings, Variant
from posthouse.protocol.smtp.states import OUT_OF_ORDER, State

__all__ = ["COMMANDS", "SmtpServer", "SmtpSettings", "Variant"]

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f]")
_BEYOND_ASCII = re.compile("[^\x00-\x7f]")


class SmtpServer(Reception):
    """One SMTP or LMTP connection. See net.interface.Engine for the contract, events.py for the answers."""

    __slots__ = ("_extended", "_heard", "hello")

    def __init__(
        self,
        settings: SmtpSettings,
        *,
        bindings: Mapping[str, bytes] | None = None,
        secure: bool = False,
        nonce: Callable[[], str],
    ) -> None:
        """`secure`: TLS is up already, with these channel `bindings`. `nonce` gives fresh SCRAM nonces."""
        super().__init__(settings, bindings=bindings or {}, secure=secure, nonce=nonce)
        self._extended = False  # greeted by EHLO or LHLO
        self._heard = False  # the peer has spoken
        self.hello = ""  # the name the peer gave
        self._say(f"220 {settings.hostname} {'LMTP' if self._lmtp else 'ESMTP'} {settings.greeting}\r\n".encode())

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

    def receive_data(self, data: bytes) -> None:
        """See Engine."""
        super().receive_data(data)
        if not self._heard:
            self._heard = True
            if self._out and self._is_out_of_turn():  # our greeting has not gone yet (RFC 5321 4.3.1)
                self._end("spoke out of turn", replies.OUT_OF_TURN)

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
            self._recipient_octets += self._offered_octets
            self._state = State.RCPT
            self._say(replies.RECIPIENT_OK)

    def reject(self, reply: Reply, *, guessed: bool = False) -> None:
        """Refuse the sender, the recipient, DATA, or the whole message.

        `guessed`: there is no such recipient, and who asks may be trying out names. We hang up on those.
        """
        offer = self._offer
        if not self._answered(SenderOffered, RecipientOffered, DataOffered, MessageEnded):
            return
        said = reply.encode()
        if offer is MessageEnded:
            self._conclude(said * (self._accepted if self._lmtp else 1), said)
        elif offer is DataOffered and self._chunk is not None:
            self._begin_chunk(*self._chunk, fault=said)
        elif offer is DataOffered:
            self._conclude(said, said)
        elif offer is RecipientOffered:
            self._refuse_recipient(said, RefusalScope.RECIPIENT, guessed=guessed)
        else:
            self._sender = NO_SENDER
            self._refuse(said, RefusalScope.SENDER)

    def tls_started(self, bindings: Mapping[str, bytes]) -> None:
        """Answer to StartTlsOffered, once the handshake is done."""
        if self._answered(StartTlsOffered):
            # RFC 3207 4.2: nothing that was said in plain text counts, above all not what stands in the buffer.
            self._lines.clear()
            self._secure, self._bindings = True, bindings
            self._state, self.hello, self._extended = State.FRESH, "", False

    # Command lines.

    def _read_command(self) -> bool:
        """Carry out one command; False when octets are needed."""
        if self._stopping:
            self.shut_down()
            return True
        line = self._lines.next_line()
        if line is None:
            return False
        self._verb = b""
        if isinstance(line, LineFault):
            self._command = b""
            self._refuse_line(line, replies.LINE_TOO_LONG)
            return True
        self._command = line
        verb, _, rest = line.partition(b" ")
        command = COMMANDS.get(verb) or COMMANDS.get(verb.upper())
        if command is None and verb.upper() in http.VERBS:
            self._hang_up("4.7.0", http.REFUSAL)
            return True
        # RFC 2920 3.1: some commands end a group, and without EHLO each of them does. Who goes on without our reply
        # plays back a script: spam, or a page that has a browser speak SMTP.
        if (not self._extended or (command is not None and command.last)) and self._is_out_of_turn():
            self._end("spoke out of turn", replies.OUT_OF_TURN)
            return True
        if command is None:
            self._error(replies.UNKNOWN)
            return True
        self._verb = verb
        try:
            # RFC 5321 4.1.1: trailing spaces are harmless.
            text = rest.decode("latin-1" if command.raw else "utf-8").strip(" ")
        except UnicodeDecodeError:
            self._error(replies.NOT_UTF8)
            return True
        if not command.raw and not text.isprintable() and _CONTROLS.search(text):
            self._error(replies.CONTROLS)
        elif not command.utf8 and not text.isascii():
            self._error(replies.NOT_ASCII)
        elif self._state in command.states:
            command.run(self, text)
        elif self._lmtp and self._state is State.FRESH:
            self._error(replies.LHLO_FIRST)
        else:
            self._error(OUT_OF_ORDER[self._state])
        return True

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
        self._drop("greeted again")
        self._clear()  # RFC 5321 4.1.4
        self.hello, self._extended, self._state = name, extended, State.READY
        if extended:
            starttls = self._settings.starttls and not self._secure and not self.authenticated
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
        if self._lmtp:
            self._say(replies.HELP_LMTP)
        else:
            self._say(replies.HELP_WITH_AUTH if self._settings.auth else replies.HELP)

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
            sender = parse_mail(text, future=self._settings.hold_until is not None)
        except ArgumentError as error:
            self._error(error.reply.encode())
            return
        if sender.size > self._settings.max_size:  # RFC 1870 6.1
            self._refuse(replies.TOO_LARGE)
            return
        self._drop("MAIL")
        self._clear()  # after a failed BDAT a new transaction may follow without RSET
        self._sender = sender
        self._offer_up(SenderOffered(sender))

    def _do_rcpt(self, text: str) -> None:
        octets = self._recipient_octets + len(text)
        too_many = self._accepted >= self._settings.max_recipients or octets > self._settings.max_recipient_octets
        if too_many:  # RFC 5321 4.5.3.1.10
            self._refuse_recipient(replies.TOO_MANY_RECIPIENTS, RefusalScope.COMMAND)
            return
        try:
            recipient = parse_rcpt(text, smtputf8=self._sender.smtputf8)
        except ArgumentError as error:
            self._error(error.reply.encode())
            return
        self._offered_octets = len(text)
        self._offer_up(RecipientOffered(recipient))

    def _refuse_recipient(self, said: bytes, scope: RefusalScope, *, guessed: bool = False) -> None:
        self._refuse(said, scope)
        self._attempts += 1
        self._unknown += guessed
        # A list whose addresses are old has a few dead ones among many good ones. Only the good ones of this
        # transaction count: a name that is known can be given again in each.
        if guessed and self._unknown > max(self._settings.max_unknown, self._accepted // 4):
            self._hang_up("4.7.0", "too many unknown recipients")
        elif self._attempts > self._settings.max_attempts:
            self._hang_up("4.7.0", "too many recipients")

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


@dataclass(frozen=True, slots=True)
class Command:
    """One verb: the states it is legal in, and what carries it out. Its argument is ASCII, unless it says otherwise."""

    states: frozenset[State]
    run: Callable[[SmtpServer, str], None]
    utf8: bool = False  # RFC 6531 3.7
    raw: bool = False  # judges its argument by itself, whatever it holds
    last: bool = False  # a client waits for the reply before it goes on


_ANY = frozenset(State)
_IDLE = frozenset({State.READY})

# RFC 5321 4.1.4: the order of commands.
COMMANDS: dict[bytes, Command] = {
    b"EHLO": Command(_ANY, SmtpServer._do_hello, utf8=True, raw=True, last=True),
    b"HELO": Command(_ANY, SmtpServer._do_helo, utf8=True, raw=True, last=True),
    b"LHLO": Command(_ANY, SmtpServer._do_lhlo, utf8=True, raw=True, last=True),
    b"MAIL": Command(frozenset({State.READY, State.FAILED}), SmtpServer._do_mail, utf8=True),
    b"RCPT": Command(frozenset({State.MAIL, State.RCPT}), SmtpServer._do_rcpt, utf8=True),
    b"DATA": Command(frozenset({State.MAIL, State.RCPT}), SmtpServer._do_data, last=True),
    b"BDAT": Command(_ANY, SmtpServer._do_bdat, utf8=True, raw=True),
    b"RSET": Command(_ANY, SmtpServer._do_rset),
    b"NOOP": Command(_ANY, SmtpServer._do_noop),
    b"VRFY": Command(_ANY, SmtpServer._do_vrfy, utf8=True),
    b"EXPN": Command(_ANY, SmtpServer._do_expn, utf8=True),
    b"HELP": Command(_ANY, SmtpServer._do_help),
    b"QUIT": Command(_ANY, SmtpServer._do_quit),
    b"STARTTLS": Command(_IDLE, SmtpServer._do_starttls, last=True),
    b"AUTH": Command(_IDLE, SmtpServer._do_auth),
}
