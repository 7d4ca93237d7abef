"""A worker of the store machine: a process of its own, with a disk that fails as it is told, and it really dies.

A template process is started once; it forks the workers, which takes a few milliseconds. Parent and workers talk in
pickled values over a pair of sockets. Usage: python -m tests.stateful.worker FD
"""

import asyncio
import contextlib
import gc
import hashlib
import os
import pickle
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from posthouse.mailstore.changes import LocalBus
from posthouse.mailstore.interface import KEYWORD_SHIFT, SYSTEM_FLAGS, MessageColumns, MessageRef, StoreError
from posthouse.mailstore.sqlite.store import SqliteMailstore
from tests.stateful.faulty_disk import Disk, Fault, FaultyFiles, install
from tests.stateful.operations import MIGRATIONS, ODD, ROOM, UNKNOWN, Order, Outcome, carry_out
from tests.stateful.stopped import Gate, StoppableReaper
from tests.stores import rows_of

PACK_OCTETS = 40_000
RESERVE_OCTETS = 65_536
_NUMBERS = "SELECT next_message, next_mailbox FROM account WHERE account_id = ?"
_LENGTH = struct.Struct("!I")


def send(to: socket.socket, value: object) -> None:
    """One value."""
    data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    to.sendall(_LENGTH.pack(len(data)) + data)


def receive(source: socket.socket) -> Any:
    """One value. Raises EOFError when there will be none."""
    (length,) = _LENGTH.unpack(_exactly(source, _LENGTH.size))
    return pickle.loads(_exactly(source, length))


def _exactly(source: socket.socket, octets: int) -> bytes:
    parts = []
    while octets:
        try:
            part = source.recv(min(octets, 1 << 20))
        except ConnectionResetError:
            part = b""
        if not part:
            raise EOFError
        parts.append(part)
        octets -= len(part)
    return b"".join(parts)


@dataclass(frozen=True, slots=True)
class Crash:
    """An answer that should not be."""

    what: str


class Server:
    """Answers what the machine asks."""

    def __init__(self, store: SqliteMailstore, disk: Disk, gate: Gate) -> None:
        self._store = store
        self._disk = disk
        self._reaper = StoppableReaper(store, gate)
        self.now = 0.0

    async def group(self, faults: Sequence[Fault], orders: Sequence[tuple[Order, bool]]) -> Any:
        """Orders given in one turn of the loop, some of them cancelled in the next; what came of each, what failed."""
        self._disk.arm(faults)
        tasks = [asyncio.ensure_future(self._carry_out(order)) for order, _ in orders]
        await asyncio.sleep(0)
        for task, (_, cancelled) in zip(tasks, orders, strict=True):
            if cancelled:
                task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        self._disk.rest()
        return [_outcome(outcome) for outcome in outcomes], self._disk.fired

    async def _carry_out(self, order: Order) -> Outcome:
        return await carry_out(self._store, order)

    async def heal(self) -> None:
        """The disk is well again."""
        self._disk.heal()

    async def reap(self, faults: Sequence[Fault], now: float, grace: float) -> Any:
        """Give space back; the text of a failure, if it failed."""
        return await self._reaping(faults, self._store.reap(now, grace=grace))

    async def stop(self, now: float, grace: float, moment: str) -> Any:
        """Begin to give space back, as far as that moment; whether it came there, and as reap()."""
        stopping = asyncio.ensure_future(self._reaper.stop(now, grace, moment))
        failure, fired = await self._reaping((), stopping)
        return not failure and stopping.result(), failure, fired

    async def go_on(self, faults: Sequence[Fault]) -> Any:
        """Give back what was looked for when it was stopped; the text of a failure, if it failed."""
        return await self._reaping(faults, self._reaper.go_on())

    async def _reaping(self, faults: Sequence[Fault], round_: Awaitable[object]) -> Any:
        self._disk.arm(faults)
        failure = ""
        try:
            await round_
        except StoreError as error:
            failure = str(error)
        self._disk.rest()
        return failure, self._disk.fired

    async def state(self, accounts: Sequence[int]) -> Any:
        """All that the store says of these accounts, but for octets; and the other room's rows."""
        probes = await self._store.read_rows(
            lambda connection: connection.execute("SELECT number FROM probe").fetchall()
        )
        return {account: await look(self._store, account) for account in accounts}, {number for (number,) in probes}

    async def left(self, account: int) -> Any:
        """What is left of an account that was removed."""
        return await self._store.usage(account), await self._store.entries(account)

    async def digests(self, wanted: Sequence[tuple[int, int, Sequence[int]]]) -> Any:
        """account, mailbox id, message ids -> their entries and digests."""
        found = {}
        for account, box, ids in wanted:
            for item in await self._store.items(account, box, ids):
                entry = item.entry
                found[account, box, entry.message] = entry, await self._digest(entry, 0, entry.octets)
        return found

    async def again(self, entries: Sequence[tuple[MessageRef, int, int]]) -> Any:
        """Digests of ranges of entries that somebody has had for a while."""
        return [await self._digest(entry, start, length) for entry, start, length in entries]

    async def _digest(self, entry: MessageRef, start: int, length: int) -> Any:
        try:
            return digest(await self._store.read(entry, start, length))
        except StoreError as error:
            return str(error)

    async def since(self, account: int, box: int, modseq: int) -> Any:
        """What happened there."""
        delta = await self._store.since(account, box, modseq)
        sets = await self._store.keyword_sets(account)
        return replace(delta, changed=[by_name(row, sets) for row in delta.changed])

    async def close(self) -> None:
        """Close the store in an orderly way. Not on an ill disk: what SQLite passes over then, the VFS would raise."""
        self._disk.heal()
        await self._reaper.end()
        await self._store.close()


def digest(octets: bytes) -> tuple[int, bytes, bytes]:
    """Length, hash and start of some octets."""
    return len(octets), hashlib.blake2b(octets, digest_size=12).digest(), octets[:80]


async def look(store: Any, account: int) -> tuple[Any, ...]:
    """Mailboxes, their rows, keywords, subscriptions, changes, usage; and the next ids of a message and of a mailbox.

    Those tell of a mailbox that was made and removed unseen.
    """
    boxes = await store.mailboxes(account)
    sets = await store.keyword_sets(account)
    rows = {box.id: [by_name(row, sets) for row in await rows_of(store, account, box.name)] for box in boxes}
    changes = await store.changes(account, 0)
    names = await store.subscriptions(account)
    # A mailbox that is being removed may have others still, where the disk failed.
    used = sorted({name for box in rows.values() for row in box for name in row.flags[1]})
    assert set(used) <= {name.lower() for name in await store.keywords(account)}
    numbers = await store.read_rows(lambda connection: connection.execute(_NUMBERS, (account,)).fetchall())
    return boxes, rows, used, names, changes, await store.usage(account), numbers[0]


def by_name(row: MessageColumns, sets: Mapping[int, Sequence[str]]) -> Any:
    """A row whose flags are the system flags and the keywords, in small letters."""
    keywords = () if row.flags <= SYSTEM_FLAGS else sets[row.flags >> KEYWORD_SHIFT]
    return row._replace(flags=(row.flags & SYSTEM_FLAGS, tuple(sorted(map(str.lower, keywords)))))  # type: ignore[arg-type]


def _outcome(result: Outcome | BaseException) -> Outcome:
    if isinstance(result, Outcome):
        return result
    if isinstance(result, asyncio.CancelledError):
        return Outcome(UNKNOWN)
    return Outcome(ODD, "".join(traceback.format_exception(result)))


async def serve(link: socket.socket, folder: Path, now: float, faults: Sequence[Fault]) -> None:
    """Open the store, with faults on the way, and answer until it is closed or the parent is gone."""
    disk, gate = Disk(), Gate()
    _kept = install(disk)
    disk.arm(faults)
    clock = [now]
    try:
        store = SqliteMailstore.open(
            folder,
            bus=LocalBus(),
            clock=lambda: clock[0],
            files=FaultyFiles(disk, gate),
            pack_octets=PACK_OCTETS,
            reserve_octets=RESERVE_OCTETS,
            rooms={ROOM: MIGRATIONS},
        )
    except StoreError as error:
        send(link, (str(error), disk.fired))
        return
    disk.rest()
    send(link, ("", disk.fired))
    server = Server(store, disk, gate)
    with contextlib.suppress(EOFError):
        while True:
            clock[0], name, values = receive(link)
            try:
                answer = await getattr(server, name)(*values)
            except Exception:
                answer = Crash(traceback.format_exc())
            send(link, answer)
            if name == "close":
                return


def _work(link: socket.socket, folder: Path, now: float, faults: Sequence[Fault]) -> None:
    code = 1
    try:
        asyncio.run(serve(link, folder, now, faults))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _template(control: socket.socket) -> None:
    """Fork a worker for each socket that is sent along with a folder."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.freeze()
    while True:
        data, fds, _, _ = socket.recv_fds(control, 65536, 1)
        if not data:
            return
        link = socket.socket(fileno=fds[0])
        pid = os.fork()
        if not pid:
            control.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _work(link, *pickle.loads(data))
        link.close()
        send(control, pid)


if __name__ == "__main__":
    _template(socket.socket(fileno=int(sys.argv[1])))
