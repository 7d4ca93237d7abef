"""How an SMTP server refuses: every reply of 4xx and 5xx is noted among the events, and errors are counted."""

from posthouse.protocol.engine_core import EngineCore
from posthouse.protocol.lines import LineFault
from posthouse.protocol.smtp import replies
from posthouse.protocol.smtp.events import CommandRefused, RefusalScope


class Responder:
    """Replies to the command at hand."""

    __slots__ = ("_core", "_hostname", "command", "send", "verb")

    def __init__(self, core: EngineCore, hostname: str) -> None:
        self._core = core
        self._hostname = hostname
        self.command: bytes | None = b""  # the line that is answered now; None: we speak unasked
        self.verb = b""  # of the command at hand, for the log
        self.send = core.send

    def error(self, reply: bytes) -> None:
        """Say what the peer did wrong, and count it."""
        self.refuse(reply)
        self._core.count_error()

    def refuse(self, reply: bytes, scope: RefusalScope = RefusalScope.COMMAND) -> None:
        """Say no to the command at hand; every reply of 4xx and 5xx goes this way, or by note_refusal."""
        self.send(reply)
        self.note_refusal(reply, scope)

    def note_refusal(self, reply: bytes, scope: RefusalScope) -> None:
        """Put CommandRefused among the events, for a reply that is sent elsewhere."""
        if self.command is not None:
            line = _without_secrets(self.command)
            self._core.events.append(CommandRefused(scope, self.verb.decode(), line, reply.decode().rstrip()))

    def refuse_line(self, fault: LineFault, too_long: bytes) -> None:
        """A line that cannot be a command or response; `too_long` is the reply to one that is."""
        if fault is LineFault.ENDLESS:
            self._core.end("a line without end", self._core.closing_replies.endless_line)
        else:
            self.error(too_long if fault is LineFault.TOO_LONG else replies.BARE_LF)

    def hang_up(self, status: str, reason: str) -> None:
        """Say 421 and close."""
        self._core.end(reason, replies.hanging_up(self._hostname, status, reason))


def _without_secrets(command: bytes) -> str:
    """A command line for people to read; what stands behind the mechanism of AUTH is half a password."""
    text = command.decode("utf-8", "replace")
    return " ".join(text.split()[:2]) if text.lstrip()[:4].upper() == "AUTH" else text
