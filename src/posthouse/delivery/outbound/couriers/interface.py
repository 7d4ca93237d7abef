"""What every courier does: hands a message to the next server, or to whatever is next."""

from typing import Protocol

from posthouse.delivery.outbound.couriers.message import Parcel
from posthouse.queue.outcome import Outcome


class Courier(Protocol):
    """Carries messages to destinations of its kind."""

    async def deliver(self, destination: str, parcel: Parcel) -> list[Outcome]:
        """One outcome per recipient. Raises UnreachableError."""

    def sweep(self, now: float) -> None:
        """Close what waits too long."""

    def close(self) -> None:
        """Close everything."""
