"""What every part of the IMAP engine stands on: octets in, answers out, events and their answers, and the end."""

from collections import deque
from collections.abc import Callable
from typing import Any

from posthouse.protocol.events import SessionEnded
from posthouse.protocol.imap.events import MessageChunk, MessageOffered, MessagesDropped
from posthouse.protocol.imap.settings import (
    MAX_ARGUMENTS,
    MAX_ERRORS,
    MAX_LINE,
    MAX_LITERAL,
    MAX_LITERAL_UNKNOWN,
    MAX_SKIPPED,
    MAX_UNSENT,
    PATIENCE,
    PATIENCE_UNKNOWN,
    ImapSettings,
)
from posthouse.protocol.imap.states import State
from posthouse.protocol.imap.syntax import Cursor, GrammarError, Literal, Rule, announced
from posthouse.protocol.lines import MAX_IN_A_ROW, LineBuffer, LineFault


class Link:
    """The engine without its commands. See net.interface.Engine for the contract it fulfils.

    `_read` takes what comes next and returns True, or False when it needs more octets. A command is read by a rule of
    the grammar (a generator): when it wants a literal, that is asked for, collected, and handed in.
    """

    __slots__ = (
        "_after",
        "_arguments",
        "_cursor",
        "_eof",
        "_errors",
        "_events",
        "_faulty",
        "_held",
        "_lines",
        "_messages",
        "_missing",
        "_name",
        "_offer",
        "_out",
        "_read",
        "_rule",
        "_settings",
        "_skipped",
        "_stop_reason",
        "_stopping",
        "_tag",
        "_unfinished",
        "_unsent",
        "_wanted",
        "closing",
        "has_more",
        "state",
    )

    def __init__(self, settings: ImapSettings) -> None:
        self._settings = settings
        self._lines = LineBuffer()
        self._events: deque[object] = deque()
        self._out: list[bytes] = []
        self._unsent = 0  # octets in _out
        self._unfinished = False  # an answer has begun, and the rest of it is to come
        self._offer: type | None = None  # the event that waits for its answer
        self._tag = b"*"  # of the command at hand
        self._name = ""  # of the command at hand, for its last answer
        self._rule: Rule[Any] | None = None
        self._after: Callable[[Any], None] = self._ignore  # what is done with what the rule read
        self._cursor = Cursor(b"")
        self._arguments = 0  # octets of the command at hand
        self._wanted: Literal | None = None
        self._faulty = b""  # a line that cannot be a command, until it is refused
        self._held: list[bytes] = []  # of the literal at hand
        self._missing = 0  # octets of the literal at hand that have not come
        self._messages = 0  # of the command at hand that were accepted
        self._skipped = 0  # octets of literals that were thrown away in a row
        self._errors = 0
        self._eof = self._stopping = False
        self._stop_reason = ("the server is stopping", b"* BYE [UNAVAILABLE] The server is stopping\r\n")
        self.closing = False
        self.has_more = False  # see Engine
        self.state = State.UNKNOWN
        self._read: Callable[[], bool] = self._read_command

    @property
    def patience(self) -> float:
        """See Engine."""
        return PATIENCE_UNKNOWN if self.state is State.UNKNOWN else PATIENCE

    def receive_data(self, data: bytes) -> None:
        """See Engine."""
        if data and not self.closing:
            self._lines.add(data)

    def receive_eof(self) -> None:
        """See Engine."""
        self._eof = True

    def next_event(self) -> object | None:
        """See Engine."""
        events = self._events
        if events:
            return events.popleft()
        self.has_more = False
        for _ in range(MAX_IN_A_ROW):
            if self._offer is not None or self.closing or self._unsent >= MAX_UNSENT:
                return None
            if self._stopping:
                self.shut_down()
            elif not self._read():
                if not self._eof:
                    return None
                self._end("the client hung up")
            if events:
                return events.popleft()
        self.has_more = True
        return None

    def data_to_send(self) -> bytes:
        """See Engine."""
        out = self._out
        if not out:
            return b""
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        self._unsent = 0
        return data

    def time_out(self) -> None:
        """See Engine."""
        self._end("nothing came for too long", b"* BYE Nothing came for too long\r\n")

    def shut_down(self) -> None:
        """See Engine."""
        if not self._stopping and self._offer is not None:
            self._stopping = True
        else:
            self._end(*self._stop_reason)

    def revoke(self) -> None:
        """The login no longer holds: say so and close, at once if idle, else after the command at hand."""
        self._stop_reason = ("the login was revoked", b"* BYE The password has changed, or the account is gone\r\n")
        self.shut_down()

    def fail(self) -> None:
        """See Engine."""
        self._end("internal error", b"* BYE [SERVERBUG] Internal error\r\n")  # RFC 5530 3

    # Answers of the session.

    @property
    def unfinished(self) -> bool:
        """Whether the last answer of send() has no end yet: nothing else can be said."""
        return self._unfinished

    def send(self, data: bytes, *, unfinished: bool = False) -> None:
        """Untagged answers, whole lines. `unfinished`: the next call goes on in the middle of an answer."""
        if not self.closing:
            self._unfinished = unfinished
            self._say(data)

    def accept_message(self) -> None:
        """Answer to MessageOffered."""
        if not self._answered(MessageOffered) or self._wanted is None:
            return
        self._messages += 1
        if self._wanted.synchronous:
            self._say(b"+ OK\r\n")
        self._missing = self._wanted.octets
        self._read = self._read_message

    def refuse_message(self, code: str, text: str) -> None:
        """Answer to MessageOffered: the command has failed, whatever comes of it is thrown away."""
        if self._answered(MessageOffered) and self._wanted is not None:
            self._drop_messages()
            self._conclude(b"NO", text, code)
            self._throw_away(self._wanted)

    def bye(self, text: str, code: str = "") -> None:
        """End the session, whatever it is doing."""
        self._offer = None
        self._end(text, self._line(b"*", b"BYE", text, code))

    # What the parts use.

    def _read_command(self) -> bool:
        """Begin a command; False when octets are needed."""
        raise NotImplementedError

    def _expect_command(self) -> None:
        self._rule = None
        self._wanted = None
        self._messages = 0
        self._read = self._read_command

    def _ignore(self, _value: object) -> None:
        return None

    def _next_line(self, limit: int = MAX_LINE) -> bytes | LineFault | None:
        """A line without its CRLF, or what is wrong with it; None: needs octets."""
        line = self._lines.next_line(limit)
        if isinstance(line, bytes) and (b"\r" in line or b"\0" in line):
            self._faulty = line
            return LineFault.BARE_LF
        return line

    def _refuse_line(self, fault: LineFault, tag: bytes = b"*") -> None:
        if fault is LineFault.ENDLESS:
            self._end("a line without end", b"* BYE Line too long, goodbye\r\n")
        elif fault is LineFault.TOO_LONG:
            self._bad("line too long", tag, "TOOBIG")
        else:
            self._bad("a line ends with CRLF and holds no CR or NUL", tag)
            faulty, self._faulty = self._faulty, b""
            self._throw_away_behind(faulty)

    # Reading a command by its rule.

    def _begin(self, cursor: Cursor, rule: Rule[Any], after: Callable[[Any], None]) -> None:
        self._cursor, self._rule, self._after = cursor, rule, after
        self._arguments = len(cursor.line)
        self._go_on(None)

    def _go_on(self, octets: bytes | None) -> None:
        """Hand the rule what it wanted, until it is done or wants more."""
        rule = self._rule
        assert rule is not None
        try:
            wanted = rule.send(octets) if octets is not None else next(rule)
        except StopIteration as done:
            if not self._cursor.ended:
                self._break_off(GrammarError("too many arguments"))
                return
            after, messages = self._after, self._messages
            self._expect_command()
            self._messages = messages
            after(done.value)
        except GrammarError as fault:
            self._break_off(fault)
        else:
            self._want(wanted)

    def _want(self, literal: Literal) -> None:
        self._wanted = literal
        if literal.message is not None:
            self._offer_message(literal)
            return
        limit = MAX_LITERAL_UNKNOWN if self.state is State.UNKNOWN else MAX_LITERAL
        self._arguments += literal.octets
        if literal.octets > limit or self._arguments > MAX_ARGUMENTS:
            self._drop_messages()
            self._bad(f"a literal may have {limit} octets here", self._tag, "TOOBIG")
            self._throw_away(literal)
            return
        if literal.synchronous:
            self._say(b"+ OK\r\n")
        self._held = []
        self._missing = literal.octets
        self._read = self._read_literal

    def _offer_message(self, literal: Literal) -> None:
        """The session is to say whether it takes the message."""
        raise NotImplementedError

    def _read_literal(self) -> bool:
        if self._missing:
            data = self._lines.take_all()
            if not data:
                return False
            if len(data) > self._missing:
                self._lines.put_back(data[self._missing :])
                data = data[: self._missing]
            self._held.append(data)
            self._missing -= len(data)
            if self._missing:
                return False
        self._read = self._read_rest
        return True

    def _read_message(self) -> bool:
        if self._missing:
            data = self._lines.take_all()
            if not data:
                return False
            if len(data) > self._missing:
                self._lines.put_back(data[self._missing :])
                data = data[: self._missing]
            self._missing -= len(data)
            self._events.append(MessageChunk(data))
            return True
        self._held = []
        self._read = self._read_rest
        return True

    def _read_rest(self) -> bool:
        """The line behind a literal."""
        line = self._next_line()
        if line is None:
            return False
        octets, self._held = b"".join(self._held), []
        if isinstance(line, LineFault):
            self._drop_messages()
            tag = self._tag
            self._expect_command()
            self._refuse_line(line, tag)
            return True
        self._arguments += len(line)
        self._cursor.go_on(line)
        if self._arguments > MAX_ARGUMENTS:
            self._break_off(GrammarError("command too long"))
        elif b"\0" in octets:
            self._break_off(GrammarError("NUL in a string"))
        else:
            self._go_on(octets)
        return True

    def _break_off(self, fault: GrammarError) -> None:
        """The command is refused; a literal that the client sends without asking is thrown away."""
        self._drop_messages()
        self._say_fault(fault)
        self._expect_command()
        self._throw_away_behind(self._cursor.line)

    def _say_fault(self, fault: GrammarError) -> None:
        self._bad(str(fault), self._tag)

    def _throw_away_behind(self, line: bytes) -> None:
        """The octets of the literal, if any, that a refused line announces."""
        literal = announced(line)
        if literal is not None:
            self._throw_away(literal)

    def _throw_away(self, literal: Literal) -> None:
        """The octets of a literal of a refused command, and the line behind it (RFC 7888 5)."""
        self._expect_command()
        if literal.synchronous or self.closing:
            return
        self._skipped += literal.octets
        allowed = MAX_SKIPPED if self.state is State.UNKNOWN else self._settings.append_limit + MAX_SKIPPED
        if self._skipped > allowed:
            self._end("a literal without end", b"* BYE [TOOBIG] That is too much, goodbye\r\n")
            return
        self._missing = literal.octets
        self._read = self._read_refused

    def _read_refused(self) -> bool:
        if self._missing:
            data = self._lines.take_all()
            if not data:
                return False
            if len(data) > self._missing:
                self._lines.put_back(data[self._missing :])
            self._missing = max(0, self._missing - len(data))
            return self._missing == 0
        line = self._next_line()
        if line is None:
            return False
        self._expect_command()
        if isinstance(line, LineFault):
            if line is LineFault.ENDLESS:
                self._refuse_line(line)
                return True
            line, self._faulty = self._faulty, b""
        self._throw_away_behind(line)
        return True

    def _drop_messages(self) -> None:
        if self._messages:
            self._events.append(MessagesDropped())
            self._messages = 0

    # Offers and answers.

    def _offered(self, *expected: type) -> bool:
        """Whether this is the time for such an answer. False when the connection has ended, which is nobody's fault."""
        if self._offer in expected:
            return True
        if self.closing:
            return False
        raise RuntimeError(f"an answer to {[kind.__name__ for kind in expected]}, but {self._offer} is offered")

    def _answered(self, *expected: type) -> bool:
        """Take the answer to an offer, see _offered."""
        offered = self._offered(*expected)
        self._offer = None
        return offered

    def _offer_up(self, event: object) -> None:
        self._offer = type(event)
        self._events.append(event)

    def _say(self, answer: bytes) -> None:
        self._out.append(answer)
        self._unsent += len(answer)

    def _conclude(self, status: bytes, text: str, code: str = "") -> None:
        """The tagged answer of the command at hand."""
        self._say(self._line(self._tag, status, text, code))

    def _bad(self, text: str, tag: bytes, code: str = "") -> None:
        """Say what the peer did wrong, and count it."""
        self._errors += 1
        self._say(self._line(tag, b"BAD", text, code))
        if self._errors >= MAX_ERRORS:
            self._end("too many errors", b"* BYE Too many errors, goodbye\r\n")

    def _end(self, reason: str, last_words: bytes = b"") -> None:
        if self.closing:
            return
        self._drop_messages()
        if not self._unfinished:  # last words inside a literal would be taken for a part of it
            self._say(last_words)
        self.closing = True
        self._offer = None
        self._lines.clear()
        self._events.append(SessionEnded(reason))

    def _line(self, tag: bytes, status: bytes, text: str, code: str) -> bytes:
        coded = f"[{code}] ".encode() if code else b""
        return b"%b %b %b%b\r\n" % (tag, status, coded, text.encode() if text.isascii() else self._encoded(text))

    def _encoded(self, text: str) -> bytes:
        """A text that is not ASCII, as this client can take it."""
        raise NotImplementedError
