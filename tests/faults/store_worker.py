"""Delivers to a store, and expunges, until it is killed. Usage: store_worker FOLDER FIRST STEP [early]."""

import asyncio
import itertools
import os
import sys
from pathlib import Path

from posthouse.mailstore.changes import LocalBus
from posthouse.mailstore.interface import INBOX, Body, DeliveryResult, StoreError, Target
from posthouse.mailstore.sqlite.store import SqliteMailstore
from tests.faults.ledger import body_of
from tests.stores import NOW, PREFIX, Bytes

ACCOUNTS = 5
_TASKS = 20


class EarlyStore(SqliteMailstore):
    """Acknowledges before the commit: the mistake that the ledger must catch."""

    async def deliver(self, delivery: bytes, body: Body, placements, received: int, *, whole: bool, also=None):  # type: ignore[no-untyped-def]
        self._background = asyncio.create_task(super().deliver(delivery, body, placements, received, whole=whole))
        return [DeliveryResult.KEPT]


def note(kind: str, number: int) -> None:
    os.write(1, f"{kind} {number}\n".encode())


async def client(store: SqliteMailstore, numbers: "itertools.count[int]") -> None:
    for number in numbers:
        account = 1 + number % ACCOUNTS
        placements = [Target(account, PREFIX)]
        delivery = NOW.to_bytes(6, "big") + number.to_bytes(10, "big")
        filed = await store.deliver(delivery, Bytes(body_of(number)), placements, 1, whole=True)
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


async def main(folder: Path, first: int, step: int, kind: type[SqliteMailstore]) -> None:
    store = kind.open(folder, bus=LocalBus(), pack_octets=3_000_000)
    numbers = itertools.count(first, step)
    os.write(2, b"ready\n")

    async def reap() -> None:
        while True:
            await asyncio.sleep(0.05)
            await store.reap(2 * NOW, grace=0)

    await asyncio.gather(reap(), *(client(store, numbers) for _ in range(_TASKS)))


if __name__ == "__main__":
    store_kind = EarlyStore if sys.argv[4:] == ["early"] else SqliteMailstore
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), store_kind))
