"""How mail comes in."""

from collections.abc import Callable, Sequence
from typing import Protocol

from posthouse.database.transaction import SharedTransaction
from posthouse.mailstore.interface.values import Body, DeliveryReceipt, MessageRef, Target

# Another room's part in the transaction of a delivery. It gets the copies, None for each that was not kept. What it
# raises undoes the delivery.
TransactionHook = Callable[[SharedTransaction, Sequence[MessageRef | None]], None]


class Deliveries(Protocol):
    """A delivery is one transaction: the copies of it that are kept, and what others write with them, or nothing."""

    async def deliver(
        self,
        delivery: bytes,
        body: Body,
        targets: Sequence[Target],
        received: int,
        *,
        all_or_nothing: bool,
        in_transaction: Sequence[TransactionHook] = (),
    ) -> DeliveryReceipt:
        """Keep one body for many accounts in one transaction; one result per target, in order.

        `delivery` is 16 bytes that name this delivery, the first six of them the milliseconds since 1970 (as in a
        UUIDv7): the same again within a month stores nothing twice. b"" names none: for what cannot come again, which
        is then kept with less work. With `all_or_nothing`, one target over quota keeps all from being stored: it says
        OVER_QUOTA, those there was room for say WITHHELD. Without it each stands for itself. Uids are given inside the
        transaction, so they ascend for every reader. Mailboxes are made when missing.
        `in_transaction` are called in order when the copies are in place, also when there are none; what one raises
        undoes everything and comes out as a StoreError.
        A task cancelled meanwhile ends when the outcome is certain: the body is in use until then.
        """
