"""The sender's side of the queue over posthouse.db, whose transactions the mailstore runs."""

import contextlib
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import apsw

from posthouse.database.opening import open_database, translate_errors
from posthouse.database.sqlite_transaction import connection_of
from posthouse.database.transaction import SharedTransaction
from posthouse.message.address import Address
from posthouse.queue.interface import (
    LEASE_SECONDS,
    AttemptRecord,
    Delay,
    Fresh,
    Kept,
    Key,
    Put,
    QueuedMessage,
    Recorder,
    Try,
    Waiting,
)
from posthouse.queue.sqlite import claimers, claiming, putting, recording, upkeep
from posthouse.queue.sqlite import clock as clocks
from posthouse.queue.sqlite.schema import MIGRATIONS, ROOM

T = TypeVar("T")

_DESTINATIONS_AT_ONCE = 500
_TICK_AT_MOST = 5.0  # seconds that count between two looks at the claimers: a process that was stopped saw nothing


class Database(Protocol):
    """Who owns the database file: runs our work in its transactions."""

    async def transact(self, work: Callable[[apsw.Connection], T], *, frees_space: bool = False) -> T:
        """Run `work` in a transaction; durable when it returns. `frees_space`: when the disk is full, too."""

    async def read_rows(self, job: Callable[[apsw.Connection], T]) -> T:
        """Read, off the event loop."""


def boot_id() -> str:
    """Which start of the system this is: time.monotonic() counts from it. "" where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def end_claims(
    path: Path,
    boot: str = "",
    *,
    clock: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.monotonic,
) -> None:
    """End all claims in a database: for a server that starts and holds its lock, so that no claimer is alive.

    `boot`: see boot_id; by it ages survive a clock that stepped while the server was off.
    """
    if not path.exists():
        return
    with translate_errors(path), contextlib.closing(open_database(path, {ROOM: MIGRATIONS})) as connection, connection:
        claimers.leave_all(connection)
        clocks.begin_clock(connection, boot, int(clock()), round(clock() - monotonic()))


def reroute(
    path: Path,
    choose: Callable[[Address, Address | None, str], str],
    *,
    clock: Callable[[], float] = time.time,
) -> int:
    """Have all that waits take the way that `choose` gives by now: for a server that starts; how many take another.

    `choose` gets the recipient, the reverse-path (None: <>) and the destination of before.
    """
    changed, after = 0, (0, -1)
    with translate_errors(path), contextlib.closing(open_database(path, {ROOM: MIGRATIONS})) as connection:
        while True:
            with connection:  # a transaction for some at a time: a long one would double the file
                count, last = putting.reroute(connection, choose, int(clock()), after)
            changed += count
            if last is None:
                return changed
            after = last


class SqliteOutgoing:
    """See queue.interface.Outgoing. One per process; `clock` gives seconds since 1970, `monotonic` never steps.

    `on_unreadable` is called with each recipient that cannot be read, and is held for that.
    """

    def __init__(
        self,
        database: Database,
        clock: Callable[[], float],
        *,
        monotonic: Callable[[], float] = time.monotonic,
        on_unreadable: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._monotonic = monotonic
        self._on_unreadable = on_unreadable
        self._token = secrets.randbits(62) or 1
        self._renewed = -float("inf")
        self._seen: dict[int, tuple[int, float]] = {}  # claimers: their beats, and for how long they stood still
        self._looked = self._monotonic()  # when the last look at the claimers ended
        self._orders = 0

    def put(self, fresh: Fresh, *, mine: bool) -> Put:
        """See Outgoing."""
        return _SqlitePut(fresh, self._token if mine else 0, self._offset)

    @property
    def _offset(self) -> int:
        return round(self._clock() - self._monotonic())

    def now_for(self, message: QueuedMessage) -> int:
        """See Outgoing."""
        return int(self._monotonic() + message.clock_offset)

    async def claim(
        self,
        busy: Collection[str],
        limit: int,
        *,
        only: Collection[str] | None = None,
        share: Callable[[str], int] | None = None,
        holding: Collection[Key] = (),
    ) -> list[Waiting]:
        """See Outgoing."""
        now = int(self._clock())
        found = await self._database.read_rows(
            lambda connection: (
                claiming.due(connection, now, busy, _DESTINATIONS_AT_ONCE)
                if only is None
                else claiming.due_of(connection, now, only, _DESTINATIONS_AT_ONCE)
            )
        )
        shares = {name: messages for name in found if (messages := limit if share is None else share(name)) > 0}
        if not shares:
            return []
        return await self._claim(now, holding, lambda claim: claim.take_due(shares, limit))

    async def postpone(
        self,
        destination: str,
        tried: Try,
        later: Callable[[Delay], int | None],
        limit: int,
        *,
        holding: Collection[Key] = (),
    ) -> list[Waiting]:
        """See Outgoing."""
        now, offset = int(self._clock()), self._offset
        return await self._claim(now, holding, lambda claim: claim.postpone(destination, tried, later, limit, offset))

    async def _claim(
        self, now: int, holding: Collection[Key], take: Callable[[claiming.Claim], list[Waiting]]
    ) -> list[Waiting]:
        """Claim in a transaction, and report what could not be read once that is durable."""

        def claim(connection: apsw.Connection) -> tuple[list[Waiting], list[str]]:
            round_ = claiming.Claim(connection, self._token, now, holding)  # a new one each time it is called
            return take(round_), round_.unreadable

        claimed, unreadable = await self._database.transact(claim)
        for each in unreadable:
            self._on_unreadable(each)
        return claimed

    async def due_among(self, destinations: Collection[str], limit: int) -> list[str]:
        """See Outgoing."""
        now = int(self._clock())
        return await self._database.read_rows(lambda connection: claiming.due_of(connection, now, destinations, limit))

    async def record(self, records: Sequence[AttemptRecord]) -> list[int]:
        """See Outgoing."""
        now = int(self._clock())
        return await self._database.transact(
            lambda connection: recording.record(connection, records, self._token, now), frees_space=True
        )

    def recorder(self, records: Sequence[AttemptRecord], reported: Collection[int] = ()) -> Recorder:
        """See Outgoing."""
        return _SqliteRecorder(records, reported, self._token, int(self._clock()))

    async def release(self, keys: Iterable[Key]) -> None:
        """See Outgoing."""
        given = tuple(keys)
        await self._database.transact(
            lambda connection: claiming.release(connection, given, self._token), frees_space=True
        )

    async def claimed(self) -> dict[Key, bool]:
        """See Outgoing."""
        rows = await self._database.read_rows(lambda connection: claiming.claimed_by(connection, self._token))
        return {(number, n): bool(held) for number, n, held in rows}

    @property
    def is_alive(self) -> bool:
        """See Outgoing."""
        return self._monotonic() - self._renewed < LEASE_SECONDS

    async def renew(self) -> bool:
        """See Outgoing."""
        began = self._monotonic()  # another may have seen the beat as soon as this
        await self._database.transact(lambda connection: claimers.renew(connection, self._token), frees_space=True)
        in_time = self.is_alive  # not before it is durable: until then the last one counts
        self._renewed = began
        return in_time

    async def watch(self) -> bool:
        """See Outgoing."""
        found = await self._database.read_rows(claimers.read_claimers)
        # From the end of a look to the end of the next: a beat that a slow look has seen may be as young as its end.
        looked, self._looked = self._looked, self._monotonic()
        seconds = min(self._looked - looked, _TICK_AT_MOST)
        _, orders = found.pop(self._token, (0, self._orders))
        seen, self._seen = self._seen, {}
        for token, (beat, _) in found.items():
            before, still = seen.get(token, (None, 0.0))
            still = still + seconds if beat == before else 0.0
            if still < LEASE_SECONDS:
                self._seen[token] = (beat, still)
            else:
                await self._end_claims_of(token, beat)
        news, self._orders = orders != self._orders, orders
        return news

    async def _end_claims_of(self, token: int, beat: int) -> None:
        await self._database.transact(lambda connection: claimers.end_claims_of(connection, token, beat))

    async def leave(self) -> None:
        """See Outgoing."""
        self._renewed = -float("inf")
        await self._database.transact(lambda connection: claimers.leave(connection, self._token), frees_space=True)

    async def tidy(self) -> None:
        """See Outgoing."""
        now, offset = int(self._clock()), self._offset
        if await self._database.read_rows(lambda connection: clocks.has_stepped(connection, now, offset)):
            await self._database.transact(lambda connection: clocks.correct_clock(connection, now, offset))
        while await self._database.transact(lambda connection: upkeep.purge(connection, now)):
            continue

    async def needed_bodies(self) -> set[int]:
        """See Outgoing."""
        return await self._database.read_rows(upkeep.needed_bodies)

    async def waiting_count(self) -> int:
        """See Outgoing."""
        return await self._database.read_rows(upkeep.waiting_count)


class _SqliteRecorder:
    """See Recorder."""

    def __init__(self, records: Sequence[AttemptRecord], reported: Collection[int], token: int, now: int) -> None:
        self._records = records
        self._reported = frozenset(reported)
        self._token = token
        self._now = now
        self.done = False
        self.over: list[int] = []
        self.lost: frozenset[int] = frozenset()

    def __call__(self, transaction: SharedTransaction, copies: Sequence[Kept | None]) -> None:
        database = connection_of(transaction)
        self.lost = frozenset(
            n for n in self._reported if not recording.is_held(database, self._records[n], self._token)
        )
        if self.lost:
            raise recording.ClaimLostError(f"{len(self.lost)} of the recipients that are reported are another's now")
        self.over = recording.record(database, self._records, self._token, self._now)
        self.done = True


class _SqlitePut:
    """See Put."""

    def __init__(self, fresh: Fresh, claim: int, offset: int) -> None:
        self._fresh = fresh
        self._offset = offset
        self._claim = claim
        self._number = 0
        self._body = 0

    def __call__(self, transaction: SharedTransaction, copies: Sequence[Kept | None]) -> None:
        self._number = 0
        kept = copies[-1]
        if kept is not None:
            self._body = kept.message
            self._number = putting.put(connection_of(transaction), self._fresh, kept.message, self._claim, self._offset)

    @property
    def waiting(self) -> list[Waiting]:
        """See Put."""
        if not self._number or not self._claim:
            return []
        fresh = self._fresh
        message = QueuedMessage(
            self._number,
            fresh.id,
            self._body,
            fresh.octets,
            fresh.sender,
            fresh.account,
            fresh.message_id,
            fresh.created,
            fresh.expires,
            self._offset,
        )
        return [
            Waiting(message, n, recipient, destination, 0, False)
            for n, (recipient, destination) in enumerate(fresh.recipients)
        ]
