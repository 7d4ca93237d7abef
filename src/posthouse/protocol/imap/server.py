"""The IMAP server engine.

`_OWN`, at the end, are the commands the engine answers by itself; all others stand in grammar.FORMS, with the states
they are legal in, and are offered to the session. While an offer is unanswered nothing more is parsed, so pipelining
(RFC 9051 5.5) is right by construction.

The engine is built in layers, each a part of the work: Link (octets, literals, events, the end), Login (who is there),
and here the greeting, the capabilities and the commands.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from posthouse.protocol import http
from posthouse.protocol.imap import commands, mutf7
from posthouse.protocol.imap.answers import listed, string
from posthouse.protocol.imap.commands import Command, Dialect
from posthouse.protocol.imap.events import CommandOffered, CompressOffered, IdleEnded, MessageOffered, ResultDropped
from posthouse.protocol.imap.grammar import FORMS, identification, mailbox_name
from posthouse.protocol.imap.login import Login
from posthouse.protocol.imap.search_grammar import CharsetError
from posthouse.protocol.imap.settings import ImapSettings
from posthouse.protocol.imap.states import State
from posthouse.protocol.imap.syntax import Cursor, GrammarError, Literal, MailboxNameError
from posthouse.protocol.lines import LineFault

_FIRST = ("IMAP4rev1", "IMAP4rev2", "SASL-IR", "LITERAL+", "ID", "ENABLE")
_THEN = tuple(
    "IDLE NAMESPACE CHILDREN UIDPLUS MOVE UNSELECT SPECIAL-USE CREATE-SPECIAL-USE LIST-EXTENDED LIST-STATUS"  # noqa: SIM905
    " STATUS=SIZE ESEARCH SEARCHRES WITHIN CONDSTORE QRESYNC SORT SORT=DISPLAY ESORT THREAD=REFERENCES"
    " THREAD=ORDEREDSUBJECT MULTIAPPEND BINARY UTF8=ACCEPT QUOTA QUOTA=RES-STORAGE OBJECTID REPLACE SAVEDATE PREVIEW"
    " PARTIAL".split()
)
_ENABLED = ("CONDSTORE", "QRESYNC", "UTF8=ACCEPT", "IMAP4REV2")


class ImapServer(Login):
    """One connection. `bindings`: SASL channel bindings of its TLS, if any."""

    __slots__ = ("_compressed", "dialect", "peer")

    def __init__(
        self,
        settings: ImapSettings,
        *,
        secure: bool,
        bindings: Mapping[str, bytes] | None = None,
        nonce: Callable[[], str],
        compressed: bool = False,
    ) -> None:
        super().__init__(settings, secure=secure, bindings=bindings or {}, nonce=nonce)
        self.dialect = Dialect()
        self.peer: dict[str, str] = {}  # what ID told of it
        self._compressed = compressed
        self._say(
            self._line(b"*", b"OK", f"{settings.hostname} Posthouse", f"CAPABILITY {' '.join(self._capabilities())}")
        )

    @property
    def tag(self) -> bytes:
        """Of the command at hand."""
        return self._tag

    @property
    def append_limit(self) -> int:
        """Octets that a message may have."""
        return self._settings.append_limit

    # Answers of the session.

    def finish(self, status: str, text: str, code: str = "") -> None:
        """Answer to CommandOffered and IdleEnded: OK, NO or BAD."""
        if not self._answered(CommandOffered, IdleEnded):
            return
        self._messages = 0
        if status == "BAD":
            self._bad(text, self._tag, code)
        else:
            self._errors = 0
            self._skipped = 0
            self._conclude(status.encode(), text, code)

    def done(self, code: str = "") -> None:
        """The usual end of a command."""
        self.finish("OK", f"{self._name} completed", code)

    def select(self, selected: bool) -> None:
        """Whether a mailbox is open now."""
        if not self.closing:
            self.state = State.SELECTED if selected else State.AUTHENTICATED

    def begin_idle(self) -> None:
        """Answer to CommandOffered of Idle: from now on send() is heard at once."""
        if self._answered(CommandOffered):
            self._say(b"+ idling\r\n")
            self._read = self._read_done

    def compress_started(self) -> None:
        """Answer to CompressOffered."""
        self._answered(CompressOffered)
        self._compressed = True

    # Commands.

    def _encoded(self, text: str) -> bytes:
        # RFC 9051 9, resp-text: raw UTF-8 is for those that have enabled it. The names in it are written as they are
        # elsewhere to this client.
        return text.encode("utf-8", "replace") if self.dialect.utf8 else mutf7.encode(text)

    def _read_command(self) -> bool:
        line = self._next_line()
        if line is None:
            return False
        if isinstance(line, LineFault):
            self._refuse_line(line)
            return True
        self._tag, self._name = b"*", ""
        cursor = self._cursor = Cursor(line)
        try:
            self._start(cursor)
        except GrammarError as fault:
            self._break_off(fault)
        return True

    def _start(self, cursor: Cursor) -> None:
        self._tag = cursor.tag()
        cursor.space()
        if self._tag.upper() in http.VERBS and cursor.next_word() not in _WORDS:
            self._end("HTTP instead of IMAP", f"* BYE {http.REFUSAL.capitalize()}\r\n".encode())
            return
        keyword = cursor.keyword()
        self._name = keyword.decode()
        if (own := _OWN.get(keyword)) is not None:
            states, run = own.states, own.run
        elif (form := FORMS.get(keyword)) is not None:
            states, run = form.states, None
        else:
            raise GrammarError("unknown command")
        if self.state not in states:
            raise GrammarError(_WRONG_STATE[self.state].format(self._name))
        if run is not None:
            run(self, cursor)
        else:
            assert form is not None
            if keyword == b"UID":
                self._name = f"UID {cursor.next_word()}"
            self._begin(cursor, form.rule(cursor, self.dialect), self._offer_command)

    def _offer_command(self, command: Command) -> None:
        self._offer_up(CommandOffered(self._name, command))

    def _offer_message(self, literal: Literal) -> None:
        about = literal.message
        assert about is not None
        try:
            name = mailbox_name(about.mailbox, self.dialect)
        except GrammarError as fault:
            self._break_off(fault)
            return
        self._offer_up(MessageOffered(name, about.flags, about.date, literal.octets, about.replacing, literal.binary))

    def _say_fault(self, fault: GrammarError) -> None:
        if isinstance(fault, CharsetError):
            if fault.saving:
                self._events.append(ResultDropped())  # RFC 5182 2.1: a NO leaves nothing saved
            self._conclude(b"NO", str(fault), "BADCHARSET (US-ASCII UTF-8)")
        elif isinstance(fault, MailboxNameError):
            self._conclude(b"NO", str(fault), "CANNOT")  # RFC 5530 3
        else:
            super()._say_fault(fault)

    def _read_done(self) -> bool:
        """DONE ends IDLE (RFC 9051 6.3.13)."""
        line = self._next_line()
        if line is None:
            return False
        self._expect_command()
        if isinstance(line, bytes) and line.rstrip(b" ").upper() == b"DONE":
            self._offer_up(IdleEnded())
            return True
        # Whatever it was, it is no part of IDLE: RFC 9051 wants DONE and nothing else.
        faulty, self._faulty = self._faulty, b""
        self._throw_away_behind(line if isinstance(line, bytes) else faulty)
        if not self.closing:
            self._offer_up(IdleEnded(wrong=True))
        return True

    def _capabilities(self) -> list[str]:
        found = list(_FIRST)
        if self.state is not State.UNKNOWN:
            found += _THEN
            found.append(f"APPENDLIMIT={self._settings.append_limit}")
            if not self._compressed:
                found.append("COMPRESS=DEFLATE")
            return found
        if self._settings.starttls and not self._secure:
            found.append("STARTTLS")
        offered = self._mechanisms()
        found += [f"AUTH={name}" for name in offered] if offered else ["LOGINDISABLED"]
        return found

    def _do_capability(self, cursor: Cursor) -> None:
        cursor.end()
        self._say(f"* CAPABILITY {' '.join(self._capabilities())}\r\n".encode())
        self._conclude(b"OK", "CAPABILITY completed")

    def _do_logout(self, cursor: Cursor) -> None:
        cursor.end()
        self._say(b"* BYE Goodbye\r\n")
        self._conclude(b"OK", "LOGOUT completed")
        self._end("LOGOUT")

    def _do_noop(self, cursor: Cursor) -> None:
        cursor.end()
        if self.state is State.UNKNOWN:
            self._conclude(b"OK", "NOOP completed")
        else:
            self._offer_command(commands.Noop())

    def _do_id(self, cursor: Cursor) -> None:
        self._begin(cursor, identification(cursor), self._introduce)

    def _introduce(self, peer: dict[str, str]) -> None:
        self.peer = peer
        own = {"name": "Posthouse", "version": self._settings.version}
        words = [string(word.encode()) for pair in own.items() if pair[1] for word in pair]
        self._say(b"* ID %b\r\n" % listed(words))
        self._conclude(b"OK", "ID completed")

    def _do_enable(self, cursor: Cursor) -> None:
        """RFC 5161 3.1: what is not known is passed over."""
        names: list[str] = []
        while not names or not cursor.ended:
            cursor.space()
            names.append(cursor.keyword().decode())
        fresh = [name for name in dict.fromkeys(names) if name in _ENABLED and name not in self.dialect.enabled]
        enabled = self.dialect.enabled
        enabled.update(fresh)
        if "QRESYNC" in enabled:
            enabled.add("CONDSTORE")  # RFC 7162 3.2.3
        self.dialect.rev2 = "IMAP4REV2" in enabled
        self.dialect.utf8 = self.dialect.rev2 or "UTF8=ACCEPT" in enabled
        shown = [name.replace("REV", "rev") for name in fresh]
        self._say(" ".join(["* ENABLED", *shown]).encode() + b"\r\n")
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
        self._offer_up(CompressOffered(self._lines.take_all()))


@dataclass(frozen=True, slots=True)
class _Own:
    states: State
    run: Callable[[ImapServer, Cursor], None]


_WRONG_STATE = {
    State.UNKNOWN: "{} needs a login first",
    State.AUTHENTICATED: "{} is not valid now: no mailbox is selected, or you are logged in already",
    State.SELECTED: "{} is not valid now: you are logged in already",
}
_OWN: dict[bytes, _Own] = {
    b"CAPABILITY": _Own(State.ANY, ImapServer._do_capability),
    b"NOOP": _Own(State.ANY, ImapServer._do_noop),
    b"LOGOUT": _Own(State.ANY, ImapServer._do_logout),
    b"ID": _Own(State.ANY, ImapServer._do_id),
    b"STARTTLS": _Own(State.UNKNOWN, ImapServer._do_starttls),
    b"LOGIN": _Own(State.UNKNOWN, ImapServer._do_login),
    b"AUTHENTICATE": _Own(State.UNKNOWN, ImapServer._do_authenticate),
    b"ENABLE": _Own(State.LOGGED_IN, ImapServer._do_enable),
    b"COMPRESS": _Own(State.LOGGED_IN, ImapServer._do_compress),
}
_WORDS = frozenset(word.decode() for word in (*_OWN, *FORMS))  # that may stand behind a tag
