"""See mailstore.interface.deliveries."""

from collections.abc import Sequence
from dataclasses import replace

import apsw

from posthouse.database.sqlite_transaction import SqliteTransaction
from posthouse.mailstore.interface import Body, DeliveryReceipt, Target, TransactionHook
from posthouse.mailstore.names import canonical
from posthouse.mailstore.sqlite.access import StoreAccess
from posthouse.mailstore.sqlite.reclaiming import SpaceReclaimer
from posthouse.mailstore.sqlite.units import DeliveryUnit, WriteJob


class SqliteDeliveries:
    """See Deliveries."""

    def __init__(self, access: StoreAccess, reclaimer: SpaceReclaimer) -> None:
        self._access = access
        self._reclaimer = reclaimer

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
        """See Deliveries."""
        if not targets:
            if in_transaction:  # the work of the other room is to be done all the same
                await self._access.submit(WriteJob(lambda connection: _call(connection, in_transaction)))
            return DeliveryReceipt([], [])
        named = list(map(_canonical, targets))
        unit = await self._reclaimer.submit(
            lambda: DeliveryUnit(delivery, body, named, received, all_or_nothing, in_transaction)
        )
        assert unit.result is not None
        return unit.result


def _call(connection: apsw.Connection, hooks: Sequence[TransactionHook]) -> None:
    for hook in hooks:
        hook(SqliteTransaction(connection), [])


def _canonical(target: Target) -> Target:
    name = canonical(target.mailbox)
    return target if name == target.mailbox else replace(target, mailbox=name)
