"""How long a message may be held (RFC 4865)."""

from collections.abc import Callable

from posthouse.delivery.inbound.stages import Origin
from posthouse.message.envelope import ReversePath
from posthouse.message.reply import Reply

MAX_HOLD = 30 * 86400 + 60  # seconds, RFC 4865 3; clocks differ

TOO_LATE = Reply(501, "5.5.4", "Bad argument: HOLDUNTIL is further away than messages are held here")


class HoldTimeCheck:
    """`clock` gives seconds since 1970."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock

    def check_mail(self, sender: ReversePath, origin: Origin) -> Reply | None:
        """See MailCheck."""
        return TOO_LATE if sender.hold_until > self._clock() + MAX_HOLD else None
