"""Header fields that only this server may have written are cut from what comes in."""

from posthouse.delivery.inbound.stages import Arrival
from posthouse.message.reply import Reply
from posthouse.policy.authres import forged_fields


class ForgedFieldsCheck:
    """Refuses nothing. `authserv_id` is the name that our own Authentication-Results bear."""

    def __init__(self, authserv_id: str) -> None:
        self._authserv_id = authserv_id

    def check_content(self, arrival: Arrival) -> Reply | None:
        """See ContentCheck. RFC 8601 5: what a server of our own network has written stays."""
        if arrival.origin.account is not None or not arrival.origin.trusted:
            forged = forged_fields(arrival.head, self._authserv_id)
            if forged:
                arrival.cuts += tuple(forged)
        return None
