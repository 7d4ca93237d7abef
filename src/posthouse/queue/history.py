"""What was delivered to mailboxes here: remembered for a while, for people who ask where a message has gone."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from posthouse.message.address import Address


class Delivery(NamedTuple):
    """One copy of a message and the mailbox it was for. A tuple, since one is made for each."""

    id: bytes  # of the envelope, 16 bytes
    at: int  # seconds since 1970; the message in the mailbox has the same
    sender: Address | None  # None: <>
    recipient: Address  # as the peer gave it: perhaps an alias
    account: Address
    message_id: str  # of the header, without the angle brackets; "" when it has none
    octets: int
    client: str  # the peer's address; "" for this server itself
    kept: bool  # False: the mailbox was full


class History(Protocol):
    """Takes what happened. May forget, and must cost next to nothing: it is called for every message."""

    def add(self, deliveries: Sequence[Delivery]) -> None:
        """Remember these, soon."""


class NoHistory:
    """Remembers nothing."""

    def add(self, deliveries: Sequence[Delivery]) -> None:
        """See History."""
