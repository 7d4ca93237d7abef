"""What the store costs: python -m benchmarks.micro_store [--folder DIR]. One process; rates are durable deliveries."""

import argparse
import asyncio
import itertools
import os
import resource
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import uvloop

from posthouse.database.sqlite_leases import SqliteLeases
from posthouse.mailstore.changes import LocalBus
from posthouse.mailstore.digests import new_digest
from posthouse.mailstore.interface import INBOX, Target, Traits
from posthouse.mailstore.sqlite.store import SqliteMailstore

ACCOUNTS = 200
LARGE_MAILBOX = 200_000
PREFIX = b"Return-Path: <sender@example.net>\r\nDelivered-To: someone@example.test\r\n" + b"Received: x\r\n" * 15


class Bytes:
    """A body in memory."""

    traits = Traits.NONE

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.octets = len(data)
        self.digest = new_digest(data).digest()

    def chunks(self) -> Iterator[bytes]:
        yield self._data


class Stopwatch:
    """Wall and CPU time of this process, in seconds."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def row(self, name: str, count: int) -> None:
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        rate, each, busy = count / wall, wall / count * 1e6, cpu / count * 1e6
        print(f"{name:<46} {rate:>10,.0f}/s {each:>10.1f} us {busy:>9.1f} us CPU")


def ids() -> Callable[[], bytes]:
    numbers = itertools.count()
    return lambda: int(time.time() * 1000).to_bytes(6, "big") + next(numbers).to_bytes(10, "big")


async def deliveries(store: SqliteMailstore, octets: int, tasks: int, count: int) -> None:
    new_id, body = ids(), Bytes(os.urandom(octets))
    numbers = iter(range(count))

    async def client() -> None:
        for number in numbers:
            await store.deliver(new_id(), body, [Target(1 + number % ACCOUNTS, PREFIX)], 1, all_or_nothing=True)

    watch = Stopwatch()
    await asyncio.gather(*(client() for _ in range(tasks)))
    watch.row(f"deliver {octets // 1024} KiB, {tasks} at a time", count)


async def recipients(store: SqliteMailstore, count: int) -> None:
    placements = [Target(account, PREFIX) for account in range(1, count + 1)]
    watch = Stopwatch()
    for new_id in [ids()] * 10:
        await store.deliver(new_id(), Bytes(b"x" * 4096), placements, 1, all_or_nothing=True)
    watch.row(f"deliver 4 KiB to {count} recipients, each", 10 * count)


async def reading(store: SqliteMailstore) -> None:
    entries = await store.entries(1)
    for entry in entries:
        await store.read(entry, 0, 8192)
    watch = Stopwatch()
    for entry in entries:
        await store.read(entry, 0, 8192)
    watch.row("read a message of 4 KiB, cached", len(entries))


async def repeated(name: str, count: int, call: Callable[[], Awaitable[object]]) -> None:
    watch = Stopwatch()
    for _ in range(count):
        await call()
    watch.row(name, count)


async def large_mailbox(store: SqliteMailstore) -> None:
    account = ACCOUNTS + 1
    new_id, body = ids(), Bytes(b"x" * 10)
    numbers = iter(range(LARGE_MAILBOX))

    async def client() -> None:
        for _ in numbers:
            await store.deliver(new_id(), body, [Target(account, b"")], 1, all_or_nothing=True)

    await asyncio.gather(*(client() for _ in range(500)))
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0)
            longest = max(longest, time.perf_counter() - before)

    ticking = asyncio.create_task(tick())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    watch = Stopwatch()
    entries = await store.entries(account)
    watch.row(f"entries of {LARGE_MAILBOX:,}, each", len(entries))
    ticking.cancel()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"{'':<4}the event loop waited {longest * 1000:.1f} ms at most; memory grew by {grown:.0f} MiB")
    some = [entry.message for entry in entries[:20_000]]
    watch = Stopwatch()
    for start in range(0, len(some), 25):
        await store.expunge(account, INBOX, some[start : start + 25])
    watch.row("expunge 25 at a time, each", len(some))
    watch = Stopwatch()
    await store.expunge(account, INBOX, [entry.message for entry in entries[20_000:40_000]])
    watch.row("expunge 20,000 at once, each", 20_000)
    watch = Stopwatch()
    reaped = await store.reap(time.time() + 1, grace=0)
    watch.row("reap, each", reaped.blobs)


async def leases(folder: Path) -> None:
    held = SqliteLeases(folder / "leases.db")

    async def cycle() -> None:
        lease = await held.take("maildrop 1", 60)
        assert lease
        await held.release(lease)

    await repeated("lease: take and release", 5000, cycle)
    held.close()


async def main(folder: Path) -> None:
    store = SqliteMailstore.open(folder, bus=LocalBus())
    await deliveries(store, 4096, 20, 2000)  # a warm file
    for octets, tasks, count in (
        (4096, 1, 1000),
        (4096, 5, 5000),
        (4096, 20, 20_000),
        (4096, 100, 20_000),
        (102_400, 1, 300),
        (102_400, 5, 1500),
        (102_400, 20, 3000),
        (102_400, 100, 3000),
    ):
        await deliveries(store, octets, tasks, count)
    await recipients(store, 1000)
    await reading(store)
    await repeated("usage", 5000, lambda: store.usage(1))
    account = ACCOUNTS * 2
    for _ in range(25):
        await store.deliver(ids()(), Bytes(b"x"), [Target(account, PREFIX)], 1, all_or_nothing=True)
    await repeated("entries of 25", 2000, lambda: store.entries(account))
    await large_mailbox(store)
    await leases(folder)
    await store.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="a disk to measure on (default: the temporary folder's)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        uvloop.run(main(Path(folder)))
