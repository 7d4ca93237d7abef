"""The tagged and untagged answers of an IMAP engine: OK, NO, BAD and BYE (RFC 9051 7.1)."""

from posthouse.protocol.engine_core import ClosingReplies, EngineCore
from posthouse.protocol.imap import mutf7
from posthouse.protocol.imap.commands import SessionMode
from posthouse.protocol.imap.events import ResultDropped
from posthouse.protocol.imap.search_grammar import CharsetError
from posthouse.protocol.imap.syntax import GrammarError, MailboxNameError

CLOSING = ClosingReplies(
    timed_out=b"* BYE Nothing came for too long\r\n",
    stopping=b"* BYE [UNAVAILABLE] The server is stopping\r\n",
    revoked=b"* BYE The password has changed, or the account is gone\r\n",
    internal_error=b"* BYE [SERVERBUG] Internal error\r\n",  # RFC 5530 3
    too_many_errors=b"* BYE Too many errors, goodbye\r\n",
    too_many_failed_logins=b"* BYE Too many failed logins\r\n",
    endless_line=b"* BYE Line too long, goodbye\r\n",
)


class ImapResponder:
    """Answers to the command at hand."""

    __slots__ = ("_core", "mode", "name", "send", "tag")

    def __init__(self, core: EngineCore) -> None:
        self._core = core
        self.mode = SessionMode()
        self.tag = b"*"  # of the command at hand
        self.name = ""  # of the command at hand, for its last answer
        self.send = core.send

    def conclude(self, status: bytes, text: str, code: str = "") -> None:
        """The tagged answer of the command at hand."""
        self.send(self.line(self.tag, status, text, code))

    def bad(self, text: str, tag: bytes, code: str = "") -> None:
        """Say what the peer did wrong, and count it."""
        self.send(self.line(tag, b"BAD", text, code))
        self._core.count_error()

    def refuse(self, fault: GrammarError) -> None:
        """The command at hand cannot be read."""
        if isinstance(fault, CharsetError):
            if fault.saving:
                self._core.events.append(ResultDropped())  # RFC 5182 2.1: a NO leaves nothing saved
            self.conclude(b"NO", str(fault), "BADCHARSET (US-ASCII UTF-8)")
        elif isinstance(fault, MailboxNameError):
            self.conclude(b"NO", str(fault), "CANNOT")  # RFC 5530 3
        else:
            self.bad(str(fault), self.tag)

    def line(self, tag: bytes, status: bytes, text: str, code: str) -> bytes:
        """One answer, as this client can take it."""
        coded = f"[{code}] ".encode() if code else b""
        return b"%b %b %b%b\r\n" % (tag, status, coded, text.encode() if text.isascii() else self._encode(text))

    def _encode(self, text: str) -> bytes:
        # RFC 9051 9, resp-text: raw UTF-8 is for those that have enabled it. The names in it are written as they are
        # elsewhere to this client.
        return text.encode("utf-8", "replace") if self.mode.utf8 else mutf7.encode(text)
