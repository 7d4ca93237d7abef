"""Delivers to a store, and expunges, until it is killed. Usage: store_worker FOLDER FIRST STEP [early]."""

import asyncio
import itertools
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from posthouse.mailstore.changes import LocalBus
from posthouse.mailstore.interface import INBOX, Body, DeliveryReceipt, DeliveryResult, StoreError, Target
from posthouse.mailstore.sqlite.store import SqliteMailstore
from tests.faults.ledger import body_of
from tests.stores import NOW, PREFIX, Bytes

ACCOUNTS = 5
_TASKS = 20


def acknowledge_early(store: SqliteMailstore) -> None:
    """Have a store acknowledge before the commit: the mistake that the ledger must catch."""
    real = store.deliver
    background: set[asyncio.Task[DeliveryReceipt]] = set()

    async def deliver(
        delivery: bytes, body: Body, targets: Sequence[Target], received: int, *, all_or_nothing: bool
    ) -> DeliveryReceipt:
        background.add(asyncio.create_task(real(delivery, body, targets, received, all_or_nothing=all_or_nothing)))
        return DeliveryReceipt([DeliveryResult.KEPT], [None])

    store.deliver = deliver  # type: ignore[assignment]


def note(kind: str, number: int) -> None:
    os.write(1, f"{kind} {number}\n".encode())


async def client(store: SqliteMailstore, numbers: "itertools.count[int]") -> None:
    for number in numbers:
        account = 1 + number % ACCOUNTS
        placements = [Target(account, PREFIX)]
        delivery = NOW.to_bytes(6, "big") + number.to_bytes(10, "big")
        filed = (await store.deliver(delivery, Bytes(body_of(number)), placements, 1, all_or_nothing=True)).results
        if filed == [DeliveryResult.KEPT]:
            note("D", number)
        if number % 3 == 0:
            await expunge_some(store, account)
        await asyncio.sleep(0)


async def expunge_some(store: SqliteMailstore, account: int) -> None:
    """Expunge messages whose number is a multiple of 4."""
    for entry in (await store.entries(account))[-30:]:
        try:
            start = await store.read(entry, len(PREFIX), 30)
        except StoreError:
            continue  # another task has expunged it, and there is no grace here
        number = int(start.split(b"\r\n")[0])
        if number % 4 == 0:
            note("?", number)
            if await store.expunge(account, INBOX, [entry.message]):
                note("X", number)


async def main(folder: Path, first: int, step: int, *, early: bool) -> None:
    store = SqliteMailstore.open(folder, bus=LocalBus(), pack_octets=3_000_000)
    if early:
        acknowledge_early(store)
    numbers = itertools.count(first, step)
    os.write(2, b"ready\n")

    async def reap() -> None:
        while True:
            await asyncio.sleep(0.05)
            await store.reap(2 * NOW, grace=0)

    await asyncio.gather(reap(), *(client(store, numbers) for _ in range(_TASKS)))


if __name__ == "__main__":
    is_early = sys.argv[4:] == ["early"]
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), early=is_early))
