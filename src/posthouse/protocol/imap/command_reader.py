"""Reading an IMAP command: lines, the literals between them, and the messages of APPEND (RFC 9051 4.3, RFC 7888).

Theory of operation. A command is read by a rule of the grammar, a generator over the cursor of a line. Where the line
ends with a literal, the rule yields it; the reader says whether it may come, collects its octets, reads the line behind
it, and hands both to the rule, until that returns the command. A literal that is a message is not collected: the
session is asked whether it takes it (MessageOffered), and its octets become MessageChunks.

A command may be refused half way. What the client sends without waiting for us (LITERAL+) comes all the same, so it is
thrown away, with the lines behind it and their literals, up to a bound.
"""

from collections.abc import Callable
from typing import Any

from posthouse.protocol.engine_core import EngineCore
from posthouse.protocol.events import MessageChunk
from posthouse.protocol.imap.events import (
    MessageOffered,
    MessagesDropped,
)
from posthouse.protocol.imap.mailbox_grammar import mailbox_name
from posthouse.protocol.imap.responder import ImapResponder
from posthouse.protocol.imap.settings import MAX_ARGUMENTS, MAX_LINE, MAX_LITERAL, MAX_LITERAL_UNKNOWN, MAX_SKIPPED
from posthouse.protocol.imap.syntax import Cursor, GrammarError, Literal, Rule, announced
from posthouse.protocol.lines import LineFault


class CommandReader:
    """The command that is being read."""

    __slots__ = (
        "_after",
        "_arguments",
        "_core",
        "_cursor",
        "_held",
        "_literal",
        "_max_literal",
        "_max_skipped",
        "_messages",
        "_missing",
        "_responder",
        "_rule",
        "_skipped",
    )

    def __init__(self, core: EngineCore, responder: ImapResponder) -> None:
        self._core = core
        self._responder = responder
        self._rule: Rule[Any] | None = None
        self._after: Callable[[Any], None] | None = None  # what is done with what the rule has read
        self._cursor = Cursor(b"")
        self._arguments = 0  # octets of the command at hand
        self._literal: Literal | None = None  # that the rule has asked for
        self._held: list[bytes] = []  # of the literal at hand
        self._missing = 0  # octets of the literal at hand that have not come
        self._messages = 0  # of the command at hand that were accepted
        self._skipped = 0  # octets of literals that were thrown away in a row
        self._max_literal, self._max_skipped = MAX_LITERAL_UNKNOWN, MAX_SKIPPED

    def log_in(self, append_limit: int) -> None:
        """The peer is known now: its literals may be larger."""
        self._max_literal, self._max_skipped = MAX_LITERAL, append_limit + MAX_SKIPPED

    def next_line(self) -> bytes | LineFault | None:
        """A line without its CRLF, or what is wrong with it; None: needs octets."""
        return self._core.next_line(MAX_LINE)

    def refuse_line(self, fault: LineFault, tag: bytes = b"*") -> None:
        """A line that cannot be read."""
        if fault is LineFault.ENDLESS:
            self._core.end("a line without end", self._core.closing_replies.endless_line)
        elif fault is LineFault.TOO_LONG:
            self._responder.bad("line too long", tag, "TOOBIG")
        else:
            self._responder.bad("a line ends with CRLF and holds no CR or NUL", tag)
            self.throw_away_behind(self.take_faulty())

    def take_faulty(self) -> bytes:
        """The line that was at fault for a CR or NUL in it, once; b"" when there is none."""
        faulty, self._core.faulty_line = self._core.faulty_line, b""
        return faulty

    def settle(self) -> None:
        """The command is carried out: its messages are the session's."""
        self._messages = 0

    def forgive(self) -> None:
        """The command was in order: what is thrown away is counted from 0 again."""
        self._skipped = 0

    # Reading a command by its rule.

    def begin(self, cursor: Cursor, rule: Rule[Any], after: Callable[[Any], None]) -> None:
        """Read a command; `after` gets what the rule has made of it."""
        self._cursor, self._rule, self._after = cursor, rule, after
        self._arguments = len(cursor.line)
        self._go_on(None)

    def _reset(self) -> None:
        self._rule = self._after = self._literal = None
        self._messages = 0
        self._core.expect_command()

    def _go_on(self, octets: bytes | None) -> None:
        """Hand the rule what it wanted, until it is done or wants more."""
        rule, after = self._rule, self._after
        assert rule is not None and after is not None
        try:
            literal = rule.send(octets) if octets is not None else next(rule)
        except StopIteration as done:
            if not self._cursor.ended:
                self.break_off(GrammarError("too many arguments"))
                return
            messages = self._messages
            self._reset()
            self._messages = messages
            after(done.value)
        except GrammarError as fault:
            self.break_off(fault)
        else:
            self._want(literal)

    def _want(self, literal: Literal) -> None:
        self._literal = literal
        if literal.message is not None:
            self._offer_message(literal)
            return
        self._arguments += literal.octets
        if literal.octets > self._max_literal or self._arguments > MAX_ARGUMENTS:
            self.drop_messages()
            self._responder.bad(f"a literal may have {self._max_literal} octets here", self._responder.tag, "TOOBIG")
            self._throw_away(literal)
            return
        if literal.synchronous:
            self._core.send(b"+ OK\r\n")
        self._held = []
        self._missing = literal.octets
        self._core.expect(self._read_literal)

    def _take_missing(self) -> bytes:
        """What is there of the literal at hand; b"" when there is nothing."""
        lines = self._core.lines
        data = lines.take_all()
        if len(data) > self._missing:
            lines.put_back(data[self._missing :])
            data = data[: self._missing]
        self._missing -= len(data)
        return data

    def _read_literal(self) -> bool:
        if self._missing:
            data = self._take_missing()
            if data:
                self._held.append(data)
            if self._missing:
                return False
        self._core.expect(self._read_rest)
        return True

    def _read_rest(self) -> bool:
        """The line behind a literal."""
        line = self.next_line()
        if line is None:
            return False
        octets, self._held = b"".join(self._held), []
        if isinstance(line, LineFault):
            self.drop_messages()
            self._reset()
            self.refuse_line(line, self._responder.tag)
            return True
        self._arguments += len(line)
        self._cursor.go_on(line)
        if self._arguments > MAX_ARGUMENTS:
            self.break_off(GrammarError("command too long"))
        elif b"\0" in octets:
            self.break_off(GrammarError("NUL in a string"))
        else:
            self._go_on(octets)
        return True

    # Messages.

    def _offer_message(self, literal: Literal) -> None:
        about = literal.message
        assert about is not None
        try:
            name = mailbox_name(about.mailbox, self._responder.mode)
        except GrammarError as fault:
            self.break_off(fault)
            return
        self._core.emit(MessageOffered(name, about.flags, about.date, literal.octets, about.replacing, literal.binary))

    def accept_message(self) -> None:
        """Answer to MessageOffered."""
        if not self._core.answered(MessageOffered) or self._literal is None:
            return
        self._messages += 1
        if self._literal.synchronous:
            self._core.send(b"+ OK\r\n")
        self._missing = self._literal.octets
        self._core.expect(self._read_message)

    def refuse_message(self, code: str, text: str) -> None:
        """Answer to MessageOffered: the command has failed, whatever comes of it is thrown away."""
        if self._core.answered(MessageOffered) and self._literal is not None:
            self.drop_messages()
            self._responder.conclude(b"NO", text, code)
            self._throw_away(self._literal)

    def _read_message(self) -> bool:
        if self._missing:
            data = self._take_missing()
            if not data:
                return False
            self._core.events.append(MessageChunk(data))
            return True
        self._held = []
        self._core.expect(self._read_rest)
        return True

    def drop_messages(self) -> None:
        """Those that were accepted go nowhere."""
        if self._messages:
            self._core.events.append(MessagesDropped())
            self._messages = 0

    # What is refused.

    def break_off(self, fault: GrammarError) -> None:
        """The command is refused; a literal that the client sends without asking is thrown away."""
        self.drop_messages()
        self._responder.refuse(fault)
        self._reset()
        self.throw_away_behind(self._cursor.line)

    def start(self, cursor: Cursor) -> None:
        """A new line is looked at; break_off() is about this one."""
        self._cursor = cursor

    def throw_away_behind(self, line: bytes) -> None:
        """The octets of the literal, if any, that a refused line announces."""
        literal = announced(line)
        if literal is not None:
            self._throw_away(literal)

    def _throw_away(self, literal: Literal) -> None:
        """The octets of a literal of a refused command, and the line behind it (RFC 7888 5)."""
        self._reset()
        if literal.synchronous or self._core.closing:
            return
        self._skipped += literal.octets
        if self._skipped > self._max_skipped:
            self._core.end("a literal without end", b"* BYE [TOOBIG] That is too much, goodbye\r\n")
            return
        self._missing = literal.octets
        self._core.expect(self._read_refused)

    def _read_refused(self) -> bool:
        if self._missing:
            return bool(self._take_missing()) and self._missing == 0
        line = self.next_line()
        if line is None:
            return False
        self._reset()
        if isinstance(line, LineFault):
            if line is LineFault.ENDLESS:
                self.refuse_line(line)
                return True
            line = self.take_faulty()
        self.throw_away_behind(line)
        return True
