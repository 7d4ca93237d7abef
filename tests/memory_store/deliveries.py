"""Deliveries to the store in memory: decided by code of its own, against which that of the real one is compared."""

from collections.abc import Sequence
from copy import deepcopy

from posthouse.database.transaction import SharedTransaction
from posthouse.mailstore.interface import (
    Body,
    DeliveryReceipt,
    DeliveryResult,
    MessageRef,
    StoreError,
    Target,
    TransactionHook,
)
from posthouse.mailstore.names import canonical
from tests.memory_store.account import MemoryAccount
from tests.memory_store.state import MemoryState, collect


class MemoryDeliveries:
    """See Deliveries."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

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
        state = self._state
        state.check_open()
        data = collect(body) if targets else b""
        results = self._decide(delivery, body, targets)
        if all_or_nothing and DeliveryResult.OVER_QUOTA in results:
            results = [DeliveryResult.WITHHELD if result is DeliveryResult.KEPT else result for result in results]
        touched = {target.account for target in targets} if in_transaction else set()
        before = {account: deepcopy(state.accounts.get(account)) for account in touched}
        known = state.delivered.copy() if in_transaction else set()
        copies = [
            self._place(delivery, target, data, body, received) if result is DeliveryResult.KEPT else None
            for target, result in zip(targets, results, strict=True)
        ]
        try:
            for hook in in_transaction:
                hook(SharedTransaction(), copies)
        except Exception as error:
            self._restore(before, known)
            raise StoreError(f"not stored: {error}") from error
        for account in {target.account for target, copy in zip(targets, copies, strict=True) if copy}:
            state.bus.publish(account, state.accounts[account].modseq)
        return DeliveryReceipt(results, copies)

    def _decide(self, delivery: bytes, body: Body, targets: Sequence[Target]) -> list[DeliveryResult]:
        results = []
        coming: dict[int, int] = {}
        seen: set[tuple[int, str]] = set()
        for target in targets:
            name = canonical(target.mailbox)
            owner = self._state.look(target.account)
            before = coming.get(target.account, 0)
            octets = len(target.trace_header) + body.octets
            box = owner.boxes.get(name)
            known = delivery and box and (delivery, target.account, box.id) in self._state.delivered
            if known or (target.account, name) in seen:
                results.append(DeliveryResult.ALREADY)
            elif target.quota is not None and owner.octets + before + octets > target.quota:
                results.append(DeliveryResult.OVER_QUOTA)
            else:
                coming[target.account] = before + octets
                seen.add((target.account, name))
                results.append(DeliveryResult.KEPT)
        return results

    def _place(self, delivery: bytes, target: Target, data: bytes, body: Body, received: int) -> MessageRef:
        owner = self._state.accounts.setdefault(target.account, MemoryAccount())
        owner.bump()
        name = canonical(target.mailbox)
        box = owner.boxes.get(name) or owner.make(name, self._state.now)
        octets = len(target.trace_header) + len(data)
        owner.put(
            box, MessageRef(0, 0, octets, int(body.traits), received, (target.trace_header, data)), 0, self._state.now
        )
        if delivery:
            self._state.delivered.add((delivery, target.account, box.id))
        return box.items[owner.next_message - 1].entry

    def _restore(self, before: dict[int, MemoryAccount | None], delivered: set[tuple[bytes, int, int]]) -> None:
        self._state.delivered = delivered
        for key, account in before.items():
            if account is None:
                del self._state.accounts[key]
            else:
                self._state.accounts[key] = account
