"""Which courier takes which destination."""

from collections.abc import Mapping

from posthouse.delivery.outbound.couriers.interface import Courier
from posthouse.delivery.outbound.couriers.message import OutboundMessage
from posthouse.queue.outcome import Outcome


class CourierChoice:
    """`special` couriers by destination; everything else goes to `usual`."""

    def __init__(self, usual: Courier, special: Mapping[str, Courier]) -> None:
        self._usual = usual
        self._special = special

    async def deliver(self, destination: str, message: OutboundMessage) -> list[Outcome]:
        """See Courier."""
        return await self._special.get(destination, self._usual).deliver(destination, message)

    def sweep(self, now: float) -> None:
        """See Courier."""
        for courier in (self._usual, *self._special.values()):
            courier.sweep(now)

    def close(self) -> None:
        """See Courier."""
        for courier in (self._usual, *self._special.values()):
            courier.close()
