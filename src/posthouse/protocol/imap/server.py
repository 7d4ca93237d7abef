"""The IMAP server engine (RFC 9051, RFC 3501).

Its states, transitions and where each command is legal stand in states.py. `OWN`, at the end, are the commands the
engine answers by itself; all others are read by grammar.RULES and offered to the session. While an offer is unanswered
nothing more is parsed, so pipelining (RFC 9051 5.5) is right by construction.

The engine is put together from parts: EngineCore (octets, events, the end), Authentication (SASL), CommandReader (lines
and literals) and ImapResponder (tagged answers).
"""

from collections.abc import Callable, Mapping

from posthouse.message.credentials import ScramKeys
from posthouse.protocol import http
from posthouse.protocol.authentication import Authentication, Fault, SaslFault, initial_response
from posthouse.protocol.engine_core import EngineCore, ServerEngine
from posthouse.protocol.events import LoginProven, LoginRefused, PasswordOffered, StartTlsOffered
from posthouse.protocol.imap import commands, states
from posthouse.protocol.imap.answers import listed, string
from posthouse.protocol.imap.capabilities import capabilities_after_login, capabilities_before_login
from posthouse.protocol.imap.command_reader import CommandReader
from posthouse.protocol.imap.commands import Command, SessionMode
from posthouse.protocol.imap.events import CommandOffered, CompressOffered, IdleEnded
from posthouse.protocol.imap.grammar import RULES
from posthouse.protocol.imap.login_grammar import credentials, identification
from posthouse.protocol.imap.responder import CLOSING, ImapResponder
from posthouse.protocol.imap.settings import MAX_ERRORS, PATIENCE, PATIENCE_UNKNOWN, ImapSettings
from posthouse.protocol.imap.states import LEGAL, WRONG_STATE, ImapState
from posthouse.protocol.imap.syntax import Cursor, GrammarError
from posthouse.protocol.lines import LineFault
from posthouse.protocol.sasl import Malformed

_ENABLED = ("CONDSTORE", "QRESYNC", "UTF8=ACCEPT", "IMAP4REV2")


_WORDS = frozenset(keyword.decode() for keyword in LEGAL)  # that may stand behind a tag
_SASL_FAULTS = {SaslFault.CANCELLED: "Cancelled", SaslFault.BAD_BASE64: "Malformed base64"}


class ImapServer(ServerEngine):
    """One connection. See net.interface.Engine for the contract, events.py for the answers.

    accept_message() and refuse_message(code, text) are those of its CommandReader.
    """

    __slots__ = (
        "_auth",
        "_compressed",
        "_conclude",
        "_reader",
        "_responder",
        "_send",
        "_settings",
        "accept_message",
        "peer",
        "refuse_message",
        "state",
    )

    def __init__(
        self,
        settings: ImapSettings,
        *,
        secure: bool,
        bindings: Mapping[str, bytes] | None = None,
        nonce: Callable[[], str],
        compressed: bool = False,
    ) -> None:
        """`secure`: TLS is up already, with these channel `bindings`. `nonce` gives fresh SCRAM nonces."""
        core = EngineCore(self._read_command, CLOSING, max_errors=MAX_ERRORS, before_end=self._before_end)
        super().__init__(core)
        self._settings = settings
        self.state = ImapState.NOT_AUTHENTICATED
        responder = self._responder = ImapResponder(core)
        reader = self._reader = CommandReader(core, responder)
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
        self.accept_message, self.refuse_message = reader.accept_message, reader.refuse_message
        self._send, self._conclude = core.send, responder.conclude
        self.peer: dict[str, str] = {}  # what ID told of it
        self._compressed = compressed
        code = f"CAPABILITY {' '.join(self._capabilities())}"
        self._send(responder.line(b"*", b"OK", f"{settings.hostname} Posthouse", code))

    @property
    def patience(self) -> float:
        """See Engine."""
        return PATIENCE_UNKNOWN if self.state is ImapState.NOT_AUTHENTICATED else PATIENCE

    @property
    def mode(self) -> SessionMode:
        """What the client has enabled."""
        return self._responder.mode

    @property
    def tag(self) -> bytes:
        """Of the command at hand."""
        return self._responder.tag

    @property
    def append_limit(self) -> int:
        """Octets that a message may have."""
        return self._settings.append_limit

    @property
    def unfinished(self) -> bool:
        """Whether the last answer of send() has no end yet: nothing else can be said."""
        return self._core.unfinished

    def _before_end(self, reason: str, last_words: bytes, unasked: bool) -> None:
        self._reader.drop_messages()

    # Answers of the session.

    def send(self, data: bytes, *, unfinished: bool = False) -> None:
        """Untagged answers, whole lines. `unfinished`: the next call goes on in the middle of an answer."""
        core = self._core
        if not core.closing:
            core.unfinished = unfinished
            core.send(data)

    def finish(self, status: str, text: str, code: str = "") -> None:
        """Answer to CommandOffered and IdleEnded: OK, NO or BAD."""
        if not self._core.answered(CommandOffered, IdleEnded):
            return
        self._reader.settle()
        if status == "BAD":
            self._responder.bad(text, self._responder.tag, code)
        else:
            self._core.forgive_errors()
            self._reader.forgive()
            self._conclude(status.encode(), text, code)

    def done(self, code: str = "") -> None:
        """The usual end of a command."""
        self.finish("OK", f"{self._responder.name} completed", code)

    def select(self, selected: bool) -> None:
        """Whether a mailbox is open now."""
        if not self._core.closing:
            self.state = (states.MAILBOX_OPENED if selected else states.MAILBOX_CLOSED)[self.state]

    def begin_idle(self) -> None:
        """Answer to CommandOffered of Idle: from now on send() is heard at once."""
        if self._core.answered(CommandOffered):
            self._send(b"+ idling\r\n")
            self._core.expect(self._read_done)

    def compress_started(self) -> None:
        """Answer to CompressOffered."""
        self._core.answered(CompressOffered)
        self._compressed = True

    def bye(self, text: str, code: str = "") -> None:
        """End the session, whatever it is doing."""
        self._core.offer = None
        self._core.end(text, self._responder.line(b"*", b"BYE", text, code))

    def provide_keys(self, keys: ScramKeys) -> None:
        """Answer to KeysWanted."""
        self._auth.provide_keys(keys)

    def accept_login(self) -> None:
        """Answer to PasswordOffered and LoginProven."""
        if self._core.answered(PasswordOffered, LoginProven):
            self._auth.accept(self._enter)

    def refuse_login(self, code: str, text: str, *, guess: bool) -> None:
        """Answer to any login offer. `guess`: it counts as one wrong try."""
        if self._auth.refuse():
            self._fail_login(text, code, guess=guess)

    def tls_started(self, bindings: Mapping[str, bytes]) -> None:
        """Answer to StartTlsOffered, once the handshake is done."""
        if self._auth.tls_started(bindings):
            self.state = states.TLS_STARTED[self.state]

    # Command lines.

    def _read_command(self) -> bool:
        """Begin a command; False when octets are needed."""
        line = self._reader.next_line()
        if line is None:
            return False
        if isinstance(line, LineFault):
            self._reader.refuse_line(line)
            return True
        self._responder.tag, self._responder.name = b"*", ""
        cursor = Cursor(line)
        self._reader.start(cursor)
        try:
            self._start(cursor)
        except GrammarError as fault:
            self._reader.break_off(fault)
        return True

    def _start(self, cursor: Cursor) -> None:
        responder = self._responder
        responder.tag = cursor.tag()
        cursor.space()
        if responder.tag.upper() in http.VERBS and cursor.next_word() not in _WORDS:
            self._core.end("HTTP instead of IMAP", f"* BYE {http.REFUSAL.capitalize()}\r\n".encode())
            return
        keyword = cursor.keyword()
        responder.name = keyword.decode()
        legal = LEGAL.get(keyword)
        if legal is None:
            raise GrammarError("unknown command")
        if self.state not in legal:
            raise GrammarError(WRONG_STATE[self.state].format(responder.name))
        run = OWN.get(keyword)
        if run is not None:
            run(self, cursor)
            return
        if keyword == b"UID":
            responder.name = f"UID {cursor.next_word()}"
        self._reader.begin(cursor, RULES[keyword](cursor, responder.mode), self._offer_command)

    def _offer_command(self, command: Command) -> None:
        self._core.emit(CommandOffered(self._responder.name, command))

    def _read_done(self) -> bool:
        """DONE ends IDLE (RFC 9051 6.3.13)."""
        line = self._reader.next_line()
        if line is None:
            return False
        self._core.expect_command()
        if isinstance(line, bytes) and line.rstrip(b" ").upper() == b"DONE":
            self._core.emit(IdleEnded())
            return True
        # Whatever it was, it is no part of IDLE: RFC 9051 wants DONE and nothing else.
        faulty = self._reader.take_faulty()
        self._reader.throw_away_behind(line if isinstance(line, bytes) else faulty)
        if not self._core.closing:
            self._core.emit(IdleEnded(wrong=True))
        return True

    # Before a peer is known: LOGIN, AUTHENTICATE (RFC 9051 6.2), STARTTLS.

    def _do_starttls(self, cursor: Cursor) -> None:
        cursor.end()
        if self._auth.secure or not self._settings.starttls:
            text = "TLS is active already" if self._auth.secure else "there is no TLS here"
            self._responder.bad(text, self._responder.tag)
            return
        self._conclude(b"OK", "Begin TLS")
        self._core.lines.clear()
        self._core.emit(StartTlsOffered())

    def _do_login(self, cursor: Cursor) -> None:
        if not self._auth.is_allowed:
            self._refuse_plain()
            self._reader.throw_away_behind(cursor.line)  # a password, most likely
            return
        self._reader.begin(cursor, credentials(cursor), self._offer_password)

    def _offer_password(self, found: tuple[bytes, bytes]) -> None:
        login, password = found
        try:
            self._core.emit(PasswordOffered(login.decode(), password.decode()))
        except UnicodeDecodeError:
            self._fail_login("Login or password is not UTF-8", "AUTHENTICATIONFAILED", guess=True)

    def _do_authenticate(self, cursor: Cursor) -> None:
        cursor.space()
        name = cursor.atom().decode().upper()
        initial = None
        if not cursor.ended:  # RFC 4959
            cursor.space()
            initial = cursor.rest()
        offered = self._auth.mechanisms()
        if not offered:
            self._refuse_plain()
        elif name not in offered:
            self._core.events.append(LoginRefused(f"no such mechanism: {name[:20]}"))
            self._conclude(b"NO", "No such mechanism", "CANNOT")
        elif initial is not None and initial_response(initial) is None:
            raise GrammarError("malformed base64")
        else:
            self._auth.begin(name, initial, self._refuse_response)

    def _refuse_plain(self) -> None:
        self._core.events.append(LoginRefused("without TLS"))
        self._conclude(b"NO", "Logins need TLS here: use STARTTLS first, or port 993", "PRIVACYREQUIRED")

    def _refuse_response(self, fault: Fault) -> None:
        if self._auth.is_granted:
            # The login is granted already, and there is no way back: so the session ends.
            self._core.end("an empty SASL response was expected", b"* BYE An empty response was expected\r\n")
        elif isinstance(fault, LineFault):
            self._reader.refuse_line(fault, self._responder.tag)
        elif isinstance(fault, Malformed):
            self._responder.bad(f"Malformed: {fault.reason}", self._responder.tag)
        else:
            self._responder.bad(_SASL_FAULTS[fault], self._responder.tag)

    def _fail_login(self, text: str, code: str, *, guess: bool) -> None:
        self._conclude(b"NO", text, code)
        if guess:
            self._auth.count_failure()

    def _enter(self) -> None:
        self.state = states.LOGGED_IN[self.state]
        self._reader.log_in(self._settings.append_limit)
        self._conclude(b"OK", "Logged in", f"CAPABILITY {' '.join(self._capabilities())}")

    # What the engine answers alone.

    def _capabilities(self) -> list[str]:
        """What holds at this moment."""
        if self.state is not ImapState.NOT_AUTHENTICATED:
            return capabilities_after_login(self._settings, compressed=self._compressed)
        starttls = self._settings.starttls and not self._auth.secure
        return capabilities_before_login(starttls=starttls, mechanisms=self._auth.mechanisms())

    def _do_capability(self, cursor: Cursor) -> None:
        cursor.end()
        self._send(f"* CAPABILITY {' '.join(self._capabilities())}\r\n".encode())
        self._conclude(b"OK", "CAPABILITY completed")

    def _do_logout(self, cursor: Cursor) -> None:
        cursor.end()
        self._send(b"* BYE Goodbye\r\n")
        self._conclude(b"OK", "LOGOUT completed")
        self._core.end("LOGOUT")

    def _do_noop(self, cursor: Cursor) -> None:
        cursor.end()
        if self.state is ImapState.NOT_AUTHENTICATED:
            self._conclude(b"OK", "NOOP completed")
        else:
            self._offer_command(commands.Noop())

    def _do_id(self, cursor: Cursor) -> None:
        self._reader.begin(cursor, identification(cursor), self._introduce)

    def _introduce(self, peer: dict[str, str]) -> None:
        self.peer = peer
        own = {"name": "Posthouse", "version": self._settings.version}
        words = [string(word.encode()) for pair in own.items() if pair[1] for word in pair]
        self._send(b"* ID %b\r\n" % listed(words))
        self._conclude(b"OK", "ID completed")

    def _do_enable(self, cursor: Cursor) -> None:
        """RFC 5161 3.1: what is not known is passed over."""
        names: list[str] = []
        while not names or not cursor.ended:
            cursor.space()
            names.append(cursor.keyword().decode())
        fresh = [name for name in dict.fromkeys(names) if name in _ENABLED and name not in self.mode.enabled]
        enabled = self.mode.enabled
        enabled.update(fresh)
        if "QRESYNC" in enabled:
            enabled.add("CONDSTORE")  # RFC 7162 3.2.3
        self.mode.rev2 = "IMAP4REV2" in enabled
        self.mode.utf8 = self.mode.rev2 or "UTF8=ACCEPT" in enabled
        words = [name.replace("REV", "rev") for name in fresh]
        self._send(" ".join(["* ENABLED", *words]).encode() + b"\r\n")
        self._offer_command(commands.Enable(tuple(fresh)))

    def _do_compress(self, cursor: Cursor) -> None:
        cursor.space()
        if cursor.keyword() != b"DEFLATE":
            raise GrammarError("unknown compression")
        cursor.end()
        if self._compressed:
            self._conclude(b"NO", "Compression is active already", "COMPRESSIONACTIVE")
            return
        self._conclude(b"OK", "Compression begins")
        self._core.emit(CompressOffered(self._core.lines.take_all()))


OWN: Mapping[bytes, Callable[[ImapServer, Cursor], None]] = {
    b"CAPABILITY": ImapServer._do_capability,
    b"NOOP": ImapServer._do_noop,
    b"LOGOUT": ImapServer._do_logout,
    b"ID": ImapServer._do_id,
    b"STARTTLS": ImapServer._do_starttls,
    b"LOGIN": ImapServer._do_login,
    b"AUTHENTICATE": ImapServer._do_authenticate,
    b"ENABLE": ImapServer._do_enable,
    b"COMPRESS": ImapServer._do_compress,
}
