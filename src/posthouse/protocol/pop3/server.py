"""The POP3 server engine (RFC 1939).

Its states, transitions and commands stand in states.py; `COMMANDS`, at the end, names the method that carries each one
out. A method either answers at once, or emits an offer; while that is unanswered nothing is parsed, so pipelining
(RFC 2449 6.6) is right by construction.

The engine is put together from parts: EngineCore (octets, events, the end), Authentication (SASL), Pop3Output (answers
of many lines) and Maildrop (numbers and marks).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from posthouse.message.credentials import ScramKeys
from posthouse.protocol import http
from posthouse.protocol.authentication import Authentication, Fault, SaslFault
from posthouse.protocol.engine_core import EngineCore, ServerEngine
from posthouse.protocol.events import LoginProven, LoginRefused, PasswordOffered, StartTlsOffered
from posthouse.protocol.lines import LineFault
from posthouse.protocol.pop3 import replies, states
from posthouse.protocol.pop3.events import MaildropContents, MessageWanted, QuitOffered
from posthouse.protocol.pop3.maildrop import OpenMaildrop
from posthouse.protocol.pop3.numbers import parse_number
from posthouse.protocol.pop3.output import Pop3Output
from posthouse.protocol.pop3.settings import MAX_COMMAND, MAX_ERRORS, PATIENCE, Pop3Settings
from posthouse.protocol.pop3.states import LEGAL, Pop3State
from posthouse.protocol.sasl import Malformed

__all__ = ["COMMANDS", "Pop3Server", "Pop3Settings"]

_GUESSES = ("", "AUTH", "LOGIN-DELAY")  # codes of refusals that a guesser of passwords gets
_SASL_FAULTS = {SaslFault.CANCELLED: replies.CANCELLED, SaslFault.BAD_BASE64: replies.BAD_BASE64}


class Pop3Server(ServerEngine):
    """One POP3 connection. See net.interface.Engine for the contract, events.py for the answers.

    begin_message(octets, has_leading_dots, no_final_crlf) answers MessageWanted; send_chunk and end_message follow.
    `octets`: what LIST says. `has_leading_dots`: some line starts with a dot. `no_final_crlf`: the message does not end
    with CRLF, which is added and is among `octets`. send_chunk(data) gives the next octets of it, and returns False
    when TOP has enough, or the connection has ended; end_message() says that it is whole.
    """

    __slots__ = (
        "_auth",
        "_maildrop",
        "_output",
        "_send",
        "_settings",
        "_state",
        "_user",
        "begin_message",
        "end_message",
        "send_chunk",
    )

    patience = PATIENCE  # see Engine

    def __init__(
        self,
        settings: Pop3Settings,
        *,
        secure: bool = False,
        bindings: Mapping[str, bytes] | None = None,
        nonce: Callable[[], str],
    ) -> None:
        """`secure`: TLS is up already, with these channel `bindings`. `nonce` gives fresh SCRAM nonces."""
        core = EngineCore(self._read_command, replies.CLOSING, max_errors=MAX_ERRORS)
        super().__init__(core)
        self._settings = settings
        self._state = Pop3State.AUTHORIZATION
        self._user = ""  # of the last USER
        self._maildrop = OpenMaildrop(MaildropContents((), ()))
        self._output = Pop3Output(core)
        self._auth = Authentication(
            core,
            plaintext_auth=settings.plaintext_auth,
            scram=settings.scram,
            secure=secure,
            bindings=bindings or {},
            nonce=nonce,
            challenge=b"+ ",
            next_line=core.next_line,
        )
        self.begin_message = self._output.begin_message
        self.send_chunk = self._output.send_chunk
        self.end_message = self._output.end_message
        self._send = core.send
        # RFC 1939 7: a greeting without a timestamp says that there is no APOP.
        self._send(replies.ok(f"{settings.hostname} Posthouse POP3 ready"))

    # Answers of the session.

    def provide_keys(self, keys: ScramKeys) -> None:
        """Answer to KeysWanted."""
        self._auth.provide_keys(keys)

    def accept_login(self, drop: MaildropContents) -> None:
        """Answer to PasswordOffered and LoginProven: the maildrop is locked, and this is what it holds."""
        if self._core.answered(PasswordOffered, LoginProven):
            self._maildrop = OpenMaildrop(drop)
            self._auth.accept(self._enter)

    def refuse_login(self, code: str, text: str) -> None:
        """Answer to any login offer."""
        if not self._auth.refuse():
            return
        answer = replies.err(text, code)
        if code in _GUESSES:
            self._send(answer)
            self._auth.count_failure()
        else:
            self._output.error(answer)  # a peer may ask for a maildrop that is in use now and then, but not without end

    def tls_started(self, bindings: Mapping[str, bytes]) -> None:
        """Answer to StartTlsOffered, once the handshake is done."""
        if self._auth.tls_started(bindings):
            self._user = ""
            self._state = states.TLS_STARTED[self._state]

    def accept_quit(self) -> None:
        """Answer to QuitOffered: the deletions are durable."""
        if self._core.answered(QuitOffered):
            self._core.end("quit", replies.GOODBYE)

    def reject(self, code: str, text: str) -> None:
        """Refuse a message that has not begun, or say that the deletions of QUIT were not made."""
        if self._core.unfinished:
            raise RuntimeError("a message that has begun cannot be refused")
        quitting = self._core.offer is QuitOffered
        if self._core.answered(MessageWanted, QuitOffered):
            self._send(replies.err(text, code))
            if quitting:
                self._core.end("quit, but some deletions were not made")  # RFC 1939 6

    # Command lines.

    def _read_command(self) -> bool:
        """Carry out one command; False when octets are needed."""
        line = self._core.next_line(MAX_COMMAND)
        if line is None:
            return False
        if isinstance(line, LineFault):
            self._output.refuse_line(line)
            return True
        keyword, _, argument = line.partition(b" ")
        command = COMMANDS.get(keyword) or COMMANDS.get(keyword.upper())
        if command is None:
            self._refuse_keyword(keyword.upper())
        elif self._state in command.states:
            # RFC 1939 3 has one space. Clients write more, which says nothing, but in a password (7).
            command.run(self, argument if command.raw else argument.strip(b" "))
        else:
            self._output.error(replies.err(f"{keyword.decode().upper()} is not valid in this state"))
        return True

    def _refuse_keyword(self, keyword: bytes) -> None:
        if keyword in http.VERBS:
            self._core.end("HTTP instead of POP3", replies.NO_WEB_SERVER)
        else:
            self._output.error(replies.UNKNOWN)

    # At any time.

    def _do_capa(self, argument: bytes) -> None:
        """What holds at this moment (RFC 2449 5)."""
        settings = self._settings
        lines = ["TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", f"EXPIRE {settings.expire}"]
        lines += [f"LOGIN-DELAY {settings.login_delay}", "UTF8 USER"]
        if self._state is Pop3State.AUTHORIZATION:
            if offered := self._auth.mechanisms():
                lines += ["USER", f"SASL {' '.join(offered)}"]
            if settings.stls and not self._auth.secure:
                lines.append("STLS")  # RFC 2595 4: not once TLS is active
        lines.append(f"IMPLEMENTATION {settings.implementation}")
        self._output.list(replies.CAPABILITIES, iter([f"{line}\r\n".encode() for line in lines]))

    def _do_quit(self, argument: bytes) -> None:
        if self._state is Pop3State.TRANSACTION:
            self._state = states.QUIT[self._state]
            self._core.emit(QuitOffered(tuple(sorted(self._maildrop.deleted))))
        else:
            self._core.end("quit", replies.GOODBYE)

    # The authorization state: USER and PASS (RFC 1939 7), AUTH (RFC 5034), STLS (RFC 2595 4), UTF8.

    def _do_utf8(self, argument: bytes) -> None:
        # RFC 6856 2.1. Messages are sent as they are stored anyway, see docs/decisions/005.
        self._send(replies.UTF8)

    def _do_stls(self, argument: bytes) -> None:
        if self._auth.secure or not self._settings.stls:
            self._output.error(replies.TLS_ACTIVE if self._auth.secure else replies.NO_TLS)
            return
        self._send(replies.BEGIN_TLS)
        self._core.lines.clear()
        self._core.emit(StartTlsOffered())

    def _do_user(self, argument: bytes) -> None:
        self._user = ""
        if not self._auth.is_allowed:
            self._refuse_plain()
        elif not (user := _text(argument)):
            self._output.error(replies.NO_NAME)
        else:
            self._user = user
            self._send(replies.NAME_TAKEN)  # RFC 1939 13: whether or not there is such a mailbox

    def _do_pass(self, argument: bytes) -> None:
        # RFC 1939 7: spaces belong to the password, so everything behind the first one is it.
        user, password = self._user, _text(argument)
        self._user = ""
        if not self._auth.is_allowed:
            self._refuse_plain()
        elif not user:
            self._output.error(replies.USER_FIRST)
        elif password is None:
            self._output.error(replies.PASSWORD_NOT_UTF8)
        else:
            self._core.emit(PasswordOffered(user, password))

    def _do_auth(self, argument: bytes) -> None:
        name, _, initial = argument.decode("ascii", "replace").partition(" ")
        initial = initial.lstrip(" ")
        offered = self._auth.mechanisms()
        if not name:
            self._output.list(replies.MECHANISMS, iter([f"{each}\r\n".encode() for each in offered]))
        elif not offered:
            self._refuse_plain()
        elif name.upper() not in offered:
            self._core.events.append(LoginRefused(f"no such mechanism: {name[:20]}"))
            self._output.error(replies.NO_MECHANISM)
        else:
            self._auth.begin(name.upper(), initial.encode() if initial else None, self._refuse_response)

    def _refuse_plain(self) -> None:
        self._core.events.append(LoginRefused("without TLS"))
        self._output.error(replies.TLS_FIRST)

    def _refuse_response(self, fault: Fault) -> None:
        if self._auth.is_granted:
            # The maildrop is this session's already, and there is no way back: so the session ends.
            self._core.end("an empty SASL response was expected", replies.NOT_EMPTY)
        elif isinstance(fault, LineFault):
            self._output.refuse_line(fault)
        elif isinstance(fault, Malformed):
            self._output.error(replies.err(f"malformed: {fault.reason}"))
        else:
            self._output.error(_SASL_FAULTS[fault])

    def _enter(self) -> None:
        self._state = states.LOGGED_IN[self._state]
        self._send_contents()

    # The transaction state (RFC 1939 5). RETR, TOP and QUIT are offered, all else is answered here.

    def _send_contents(self) -> None:
        self._send(b"+OK %d messages (%d octets)\r\n" % (self._maildrop.count, self._maildrop.octets))

    def _do_stat(self, argument: bytes) -> None:
        self._send(b"+OK %d %d\r\n" % (self._maildrop.count, self._maildrop.octets))

    def _do_list(self, argument: bytes) -> None:
        drop = self._maildrop
        if not argument:
            self._output.list(b"+OK %d messages, %d octets\r\n" % (drop.count, drop.octets), drop.sizes())
        elif (number := self._message(argument)) is not None:
            self._send(b"+OK %d %d\r\n" % (number, drop.octets_of(number)))

    def _do_uidl(self, argument: bytes) -> None:
        drop = self._maildrop
        if not argument:
            self._output.list(b"+OK %d messages, unique ids\r\n" % drop.count, drop.uidls())
        elif (number := self._message(argument)) is not None:
            self._send(replies.ok(f"{number} {drop.uidl_of(number)}"))

    def _do_dele(self, argument: bytes) -> None:
        if (number := self._message(argument)) is not None:
            self._maildrop.delete(number)
            self._send(b"+OK message %d will be deleted at QUIT\r\n" % number)

    def _do_noop(self, argument: bytes) -> None:
        self._send(replies.STILL_HERE)

    def _do_rset(self, argument: bytes) -> None:
        self._maildrop.restore()
        self._send_contents()

    def _do_retr(self, argument: bytes) -> None:
        if (number := self._message(argument)) is not None:
            self._output.top = None
            self._core.emit(MessageWanted(number))

    def _do_top(self, argument: bytes) -> None:
        first, _, second = argument.partition(b" ")
        lines = parse_number(second.lstrip(b" "))
        if lines is None:
            self._output.error(replies.BAD_TOP)
        elif (number := self._message(first)) is not None:
            self._output.top = lines
            self._core.emit(MessageWanted(number, lines))

    def _message(self, argument: bytes) -> int | None:
        """The number of a message that is there and not marked deleted. Otherwise None, and the error is sent."""
        number = parse_number(argument)
        if number is None or not self._maildrop.holds(number):
            self._output.error(replies.NO_MESSAGE)
        elif number in self._maildrop.deleted:
            self._output.error(replies.MARKED_DELETED)
        else:
            return number
        return None


def _text(octets: bytes) -> str | None:
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return None


@dataclass(frozen=True, slots=True)
class Pop3Command:
    """One keyword: the states it is legal in, and what carries it out."""

    states: frozenset[Pop3State]
    run: Callable[[Pop3Server, bytes], None]
    raw: bool = False  # spaces around its argument belong to it


# What a client writes behind a keyword that takes no argument is ignored.
COMMANDS: dict[bytes, Pop3Command] = {
    b"USER": Pop3Command(LEGAL[b"USER"], Pop3Server._do_user),
    b"PASS": Pop3Command(LEGAL[b"PASS"], Pop3Server._do_pass, raw=True),
    b"AUTH": Pop3Command(LEGAL[b"AUTH"], Pop3Server._do_auth),
    b"STLS": Pop3Command(LEGAL[b"STLS"], Pop3Server._do_stls),
    b"UTF8": Pop3Command(LEGAL[b"UTF8"], Pop3Server._do_utf8),
    b"CAPA": Pop3Command(LEGAL[b"CAPA"], Pop3Server._do_capa),
    b"QUIT": Pop3Command(LEGAL[b"QUIT"], Pop3Server._do_quit),
    b"STAT": Pop3Command(LEGAL[b"STAT"], Pop3Server._do_stat),
    b"LIST": Pop3Command(LEGAL[b"LIST"], Pop3Server._do_list),
    b"UIDL": Pop3Command(LEGAL[b"UIDL"], Pop3Server._do_uidl),
    b"RETR": Pop3Command(LEGAL[b"RETR"], Pop3Server._do_retr),
    b"TOP": Pop3Command(LEGAL[b"TOP"], Pop3Server._do_top),
    b"DELE": Pop3Command(LEGAL[b"DELE"], Pop3Server._do_dele),
    b"NOOP": Pop3Command(LEGAL[b"NOOP"], Pop3Server._do_noop),
    b"RSET": Pop3Command(LEGAL[b"RSET"], Pop3Server._do_rset),
}
