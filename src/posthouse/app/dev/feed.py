"""The live feed of `posthouse dev`: a line for each message that arrives, and for each command that is refused.

12:00:01 app@myapp.test → customer@example.com  "Your receipt"  2.1 KB  text+html  6 ms
12:00:02 refused  RCPT TO:<new@x..test>  →  501 5.1.3 Bad recipient address
"""

import json
import time
from collections.abc import Callable, Sequence

from posthouse.app.dev.summary import Summary, summarized
from posthouse.app.process.logs import escaped, stamped
from posthouse.delivery.content.spool import Spool
from posthouse.message.envelope import Envelope
from posthouse.message.ids import format_id
from posthouse.message.reply import Reply
from posthouse.message.sizes import format_size

_NAMED = 3  # recipients in a line for people
_LISTED = 100  # recipients in a line for programs
_SUBJECT = 60  # characters
_COMMAND = 200  # characters


class Feed:
    """Makes lines and has them written. `clock` gives seconds since 1970."""

    def __init__(
        self,
        write: Callable[[str], None],
        *,
        as_json: bool,
        colour: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._write = write
        self._as_json = as_json
        self._colour = colour
        self._clock = clock

    def arrived(self, envelope: Envelope, spool: Spool, answers: Sequence[Reply], milliseconds: float) -> None:
        """See OnReceived. What was not kept shows as a refusal of its command."""
        kept = [
            str(recipient.address)
            for recipient, answer in zip(envelope.recipients, answers, strict=True)
            if answer.is_positive
        ]
        if not kept:
            return
        summary = summarized(bytes(spool.head))
        if self._as_json:
            self._write(_arrival_document(envelope, kept, summary, spool.octets, milliseconds, self._clock()))
        else:
            self._write(self._arrival(envelope, kept, summary, spool.octets, milliseconds))

    def refused(self, service: str, command: str, reply: str) -> None:
        """See OnRefusal."""
        lines = reply.splitlines()
        # Lines of one reply repeat its codes, and LMTP repeats a reply for each recipient.
        code, _, first = lines[0].partition(lines[0][3])
        if self._as_json:
            moment = stamped(self._clock(), brief=False)
            document = {
                "type": "refused",
                "time": moment,
                "service": service,
                "command": command,
                "reply": f"{code} {first}",
            }
            self._write(json.dumps(document))
        else:
            what = escaped(command[:_COMMAND]) or "a line"
            self._write(f"{self._stamp()} {self._styled('refused', '33')}  {what}  →  {escaped(f'{code} {first}')}")

    def _arrival(
        self, envelope: Envelope, kept: Sequence[str], summary: Summary, octets: int, milliseconds: float
    ) -> str:
        sender = escaped(str(envelope.sender.address or "<>"))
        recipients = escaped(", ".join(kept[:_NAMED]))
        if len(kept) > _NAMED:
            recipients += f" and {len(kept) - _NAMED} more"
        subject = escaped(summary.subject)
        subject = subject if len(subject) <= _SUBJECT else subject[: _SUBJECT - 1] + "…"
        files = {0: "", 1: "+1 file"}.get(summary.attachments, f"+{summary.attachments} files")
        what = f"{format_size(octets)}  {'+'.join(summary.texts)}{files}".replace("  +", "  ")
        rest = self._styled(f"{what}  {milliseconds:.0f} ms", "2")
        return f'{self._stamp()} {sender} → {self._styled(recipients, "36")}  "{subject}"  {rest}'

    def _stamp(self) -> str:
        return self._styled(stamped(self._clock(), brief=True), "2")

    def _styled(self, text: str, style: str) -> str:
        return f"\x1b[{style}m{text}\x1b[0m" if self._colour else text


def left_out(as_json: bool) -> Callable[[int], str]:
    """Makes the line that stands where lines are missing."""

    def line(count: int) -> str:
        if as_json:
            return json.dumps({"type": "left_out", "lines": count})
        return f"({count} lines are left out here: they came faster than they were read)"

    return line


def _arrival_document(
    envelope: Envelope, kept: Sequence[str], summary: Summary, octets: int, milliseconds: float, now: float
) -> str:
    message = {
        "id": format_id(envelope.id),
        "received": stamped(now, brief=False),
        "mail_from": str(envelope.sender.address or ""),
        "recipients": kept[:_LISTED],
        "recipient_count": len(kept),
        "subject": summary.subject,
        "size": octets,
        "texts": summary.texts,
        "attachments": summary.attachments,
        "login": envelope.client.login,
    }
    return json.dumps({"type": "arrived", "message": message, "ms": round(milliseconds, 1)})
