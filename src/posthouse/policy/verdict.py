"""A verdict: what policy makes of a message. Pure; delivery acts on it."""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol

from posthouse.message.envelope import Envelope
from posthouse.message.reply import Reply


@dataclass(frozen=True, slots=True)
class Verdict:
    """`refusal` ends the message with that reply; `headers` are trace lines, each ended by CRLF, for every copy."""

    refusal: Reply | None = None
    headers: bytes = b""


ACCEPT = Verdict()


class Judge(Protocol):
    """One opinion: SPF, DKIM, DMARC, junk come here later. `head` is the header section as received."""

    def judge(self, envelope: Envelope, head: bytes) -> Awaitable[Verdict]:
        """Look at the message; must not change anything anywhere."""
