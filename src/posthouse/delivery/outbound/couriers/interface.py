"""What every courier does: hands a message to the next server, or to whatever is next."""

from typing import Protocol

from posthouse.delivery.outbound.couriers.message import OutboundMessage
from posthouse.queue.outcome import Outcome, Permanent, Transient


class UnreachableError(Exception):
    """No connection could be had; `outcome` is that of every recipient."""

    def __init__(self, outcome: Transient | Permanent) -> None:
        super().__init__(outcome.reply.text)
        self.outcome = outcome


class Courier(Protocol):
    """Carries messages to destinations of its kind."""

    async def deliver(self, destination: str, message: OutboundMessage) -> list[Outcome]:
        """One outcome per recipient. Raises UnreachableError."""

    def sweep(self, now: float) -> None:
        """Close what waits too long."""

    def close(self) -> None:
        """Close everything."""
