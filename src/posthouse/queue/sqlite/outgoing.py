"""The sender's side of the queue over posthouse.db, whose transactions the mailstore runs."""

import contextlib
import secrets
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import apsw

from posthouse.database.connection import open_connection
from posthouse.database.migrations import migrate
from posthouse.queue.interface import Fresh, Kept, Message, Put, Record, Recorder, Waiting
from posthouse.queue.sqlite import statements
from posthouse.queue.sqlite.schema import MIGRATIONS, ROOM

T = TypeVar("T")


class Database(Protocol):
    """Who owns the database file: runs our work in its transactions."""

    async def transact(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run `work` in a transaction; durable when it returns."""

    async def ask(self, look: Callable[[apsw.Connection], T]) -> T:
        """Read, off the event loop."""


def end_claims(path: Path) -> None:
    """End all claims in a database: for a server that starts and holds its lock, so that no claimer is alive."""
    if not path.exists():
        return
    with contextlib.closing(open_connection(path)) as connection:
        migrate(connection, MIGRATIONS, room=ROOM)
        statements.leave_all(connection)


class SqliteOutgoing:
    """See queue.interface.Outgoing. One per process; `clock` gives seconds since 1970."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock
        self._token = secrets.randbits(62) or 1

    def put(self, fresh: Fresh, *, mine: bool) -> Put:
        """See Outgoing."""
        return _SqlitePut(fresh, self._token if mine else 0)

    async def claim(self, busy: Collection[str], limit: int) -> list[Waiting]:
        """See Outgoing."""
        now = int(self._clock())
        wanted = await self._database.ask(lambda connection: statements.due(connection, now, busy, limit))
        if not wanted:
            return []
        return await self._database.transact(lambda connection: statements.claim(connection, wanted, self._token, now))

    async def record(self, records: Sequence[Record]) -> list[int]:
        """See Outgoing."""
        now = int(self._clock())
        return await self._database.transact(
            lambda connection: statements.record(connection, records, self._token, now)
        )

    def recorder(self, records: Sequence[Record]) -> Recorder:
        """See Outgoing."""
        return _SqliteRecorder(records, self._token, int(self._clock()))

    async def renew(self) -> None:
        """See Outgoing."""
        now = int(self._clock())
        await self._database.transact(lambda connection: statements.renew(connection, self._token, now))

    async def leave(self) -> None:
        """See Outgoing."""
        await self._database.transact(lambda connection: statements.leave(connection, self._token))

    async def tidy(self) -> None:
        """See Outgoing."""
        now = int(self._clock())
        await self._database.transact(lambda connection: statements.mend_clock(connection, now))
        while await self._database.transact(lambda connection: statements.purge(connection, now)):
            continue

    async def needed_bodies(self) -> set[int]:
        """See Outgoing."""
        return await self._database.ask(statements.needed_bodies)

    async def waiting_count(self) -> int:
        """See Outgoing."""
        return await self._database.ask(statements.waiting_count)


class _SqliteRecorder:
    """See Recorder."""

    def __init__(self, records: Sequence[Record], token: int, now: int) -> None:
        self._records = records
        self._token = token
        self._now = now
        self.done = False
        self.over: list[int] = []

    def __call__(self, database: Any, entries: Sequence[Kept | None]) -> None:
        self.over = statements.record(database, self._records, self._token, self._now)
        self.done = True


class _SqlitePut:
    """See Put."""

    def __init__(self, fresh: Fresh, claim: int) -> None:
        self._fresh = fresh
        self._claim = claim
        self._number = 0
        self._body = 0

    def __call__(self, database: Any, entries: Sequence[Kept | None]) -> None:
        self._number = 0
        kept = entries[-1]
        if kept is not None:
            self._body = kept.message
            self._number = statements.put(database, self._fresh, kept.message, self._claim)

    @property
    def waiting(self) -> list[Waiting]:
        """See Put."""
        if not self._number or not self._claim:
            return []
        fresh = self._fresh
        message = Message(
            self._number,
            fresh.id,
            self._body,
            fresh.octets,
            fresh.sender,
            fresh.account,
            fresh.message_id,
            fresh.created,
            fresh.expires,
        )
        return [
            Waiting(message, n, recipient, destination, 0, False)
            for n, (recipient, destination) in enumerate(fresh.recipients)
        ]
