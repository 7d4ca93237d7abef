"""What a POP3 server says: answers of one line, listings that are made as the peer takes them, and messages."""

from collections.abc import Iterator

from posthouse.protocol.engine_core import EngineCore
from posthouse.protocol.lines import LineFault
from posthouse.protocol.pop3 import replies
from posthouse.protocol.pop3.events import MessageWanted
from posthouse.protocol.stuffing import Stuffing


class Pop3Output:
    """The answers of one connection. While one of many lines has no end yet, `core.unfinished` holds."""

    __slots__ = ("_core", "_listing", "_stuffing", "send", "top")

    def __init__(self, core: EngineCore) -> None:
        self._core = core
        self._listing: Iterator[bytes] = iter(())
        self._stuffing: Stuffing | None = None  # of the message under way
        self.top: int | None = None  # how many lines of its body TOP wants
        self.send = core.send

    def error(self, answer: bytes) -> None:
        """Say what the peer did wrong, and count it."""
        self._core.count_error()
        if not self._core.closing:
            self.send(answer)

    def refuse_line(self, fault: LineFault) -> None:
        """A line that cannot be a command."""
        if fault is LineFault.ENDLESS:
            self._core.end("a line without end", self._core.closing_replies.endless_line)
        else:
            self.error(replies.LINE_TOO_LONG if fault is LineFault.TOO_LONG else replies.BAD_LINE)

    def list(self, first: bytes, blocks: Iterator[bytes]) -> None:
        """Answer with many lines. `blocks` are whole lines that need no stuffing."""
        self.send(first)
        self._listing, self._core.unfinished = blocks, True
        self._core.expect(self._list_on)

    def _list_on(self) -> bool:
        """Say one block of the listing. Never needs octets."""
        block = next(self._listing, None)
        if block is None:
            self._core.unfinished = False
            self._core.expect_command()
        self.send(replies.END if block is None else block)
        return True

    def begin_message(self, octets: int, has_leading_dots: bool, no_final_crlf: bool) -> None:
        """Answer to MessageWanted, see Pop3Server."""
        core = self._core
        if core.offer is MessageWanted or core.offered(MessageWanted):
            self.send(b"+OK %d octets\r\n" % octets)
            self._stuffing = Stuffing(has_leading_dots, no_final_crlf, self.top)
            core.unfinished = True

    def send_chunk(self, data: bytes) -> bool:
        """The next octets of the message; False when TOP has enough, or the connection has ended."""
        stuffing = self._stuffing
        if stuffing is None or self._core.closing:
            return self._out_of_turn("send_chunk")
        self.send(stuffing.feed(data))
        return not stuffing.done

    def end_message(self) -> None:
        """The message is whole."""
        core, stuffing = self._core, self._stuffing
        if stuffing is None or core.closing:
            self._out_of_turn("end_message")
            return
        self.send(stuffing.end())
        self._stuffing = core.offer = None
        core.unfinished = False

    def _out_of_turn(self, answer: str) -> bool:
        if not self._core.closing:
            raise RuntimeError(f"{answer} without begin_message")
        return False
