"""The header of a binary message has lines all the same (RFC 3030 3)."""

from posthouse.delivery.inbound.stages import Arrival
from posthouse.message.coding import has_true_breaks
from posthouse.message.reply import Reply

BROKEN_HEADER = Reply(550, "5.6.11", "The header section holds a bare CR or LF; its lines must end with CRLF")


class HeaderLinesCheck:
    """With BODY=BINARYMIME a bare CR or LF may stand in the body, and nowhere else."""

    def check_content(self, arrival: Arrival) -> Reply | None:
        """See ContentCheck."""
        broken = arrival.spool.bare_cr_or_lf and not has_true_breaks(arrival.head)
        return BROKEN_HEADER if broken else None
