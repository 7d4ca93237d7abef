"""A queue over a real mailstore, and ways to that which fail."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

from posthouse.mailstore.interface import MessageRef, Target
from posthouse.mailstore.sqlite.store import SqliteMailstore
from posthouse.message.address import Address
from posthouse.message.envelope import Recipient, ReversePath
from posthouse.queue.interface import (
    ACCOUNT,
    LEASE_SECONDS,
    MAILBOX,
    AttemptRecord,
    Fresh,
    Put,
    RecipientState,
    Try,
    Waiting,
)
from posthouse.queue.sqlite.outgoing import SqliteOutgoing, end_claims
from tests.stores import Bytes, delivery_id

START = 1_790_000_000
SENDER = ReversePath(Address.parse("a@here.test"))
SENT = Try(START, 250, "2.0.0 ok", "mx.y.test", "192.0.2.1", "")
LATER = Try(START, 451, "4.7.1 later", "mx.y.test", "192.0.2.1", "")


@dataclass
class Fixture:
    """`now` is the clock, which may step; `running` is a clock that does not."""

    store: SqliteMailstore
    path: Path
    now: float = START
    running: float = 0.0
    queues: list[SqliteOutgoing] = field(default_factory=list)

    async def queue(self) -> SqliteOutgoing:
        """Another process's."""
        made = SqliteOutgoing(self.store, lambda: self.now, monotonic=lambda: self.running)
        await made.renew()
        return made

    def start(self, boot: str) -> None:
        """What a server does to the queue as it starts."""
        end_claims(self.path, boot, clock=lambda: self.now, monotonic=lambda: self.running)

    async def lose(self, *observers: SqliteOutgoing, seconds: int = LEASE_SECONDS + 1) -> None:
        """Time goes by, in which these look at the others every second and renew their own claims."""
        for second in range(seconds):
            self.now += 1
            self.running += 1
            for each in observers:
                if second % 20 == 0:
                    await each.renew()
                await each.watch()

    async def put(
        self, queue: SqliteOutgoing, *recipients: str, mine: bool = False, due: int = 0, sender: ReversePath = SENDER
    ) -> Put:
        to = tuple((Recipient(Address.parse(each)), each.partition("@")[2]) for each in recipients)
        now = int(self.now)
        fresh = Fresh(delivery_id(), 5, sender, 7, "id@here.test", now, now + 1000, to, due or now)
        put = queue.put(fresh, mine=mine)
        placements = [Target(ACCOUNT, b"X: y\r\n", MAILBOX)]
        await self.store.deliver(fresh.id, Bytes(b"hello"), placements, now, all_or_nothing=True, in_transaction=[put])
        return put

    async def bodies(self) -> list[MessageRef]:
        return await self.store.entries(ACCOUNT, MAILBOX)


class SlowReads:
    """A way to the mailstore whose next read takes that many seconds, in which another claimer renews its claims."""

    def __init__(self, house: Fixture) -> None:
        self._house = house
        self.transact = house.store.transact
        self.meanwhile: tuple[float, SqliteOutgoing] | None = None

    async def read_rows(self, look: Callable[[apsw.Connection], Any]) -> Any:
        if self.meanwhile is not None:
            (seconds, other), self.meanwhile = self.meanwhile, None
            self._house.running += seconds
            await other.renew()
        return await self._house.store.read_rows(look)


class FullDisk:
    """A way to the mailstore on a disk that has no more space than the reserve keeps."""

    def __init__(self, store: SqliteMailstore, reserve: Path) -> None:
        self._store = store
        self._reserve = reserve
        self.read_rows = store.read_rows

    async def transact(self, work: Callable[[apsw.Connection], Any], *, frees_space: bool = False) -> Any:
        def write(connection: apsw.Connection) -> Any:
            if self._reserve.stat().st_size:
                raise apsw.FullError("database or disk is full")
            return work(connection)

        return await self._store.transact(write, frees_space=frees_space)


def names(waiting: list[Waiting]) -> list[str]:
    return [str(one.recipient.address) for one in waiting]


def settled(one: Waiting, state: RecipientState = RecipientState.DELIVERED) -> AttemptRecord:
    return AttemptRecord(one, state, SENT)
