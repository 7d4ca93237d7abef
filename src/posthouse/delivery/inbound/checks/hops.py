"""Mail that goes round in circles ends here (RFC 5321 6.3)."""

from posthouse.delivery.inbound.router import LOOP
from posthouse.delivery.inbound.stages import Arrival
from posthouse.message.header import count_received
from posthouse.message.reply import Reply

MAX_HOPS = 100  # RFC 5321 6.3: at least 100 Received fields


class HopCheck:
    """`limit`: Received fields from which on a message is refused."""

    def __init__(self, limit: int = MAX_HOPS) -> None:
        self._limit = limit

    def check_content(self, arrival: Arrival) -> Reply | None:
        """See ContentCheck."""
        return LOOP if count_received(arrival.head) >= self._limit else None
