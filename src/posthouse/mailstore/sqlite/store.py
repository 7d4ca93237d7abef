"""The mailstore on one machine: bytes first, then the row, then the acknowledgement."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import apsw

from posthouse.database.commit import GroupCommit
from posthouse.database.connection import open_connection, open_reader
from posthouse.database.errors import DatabaseError, DatabaseFullError
from posthouse.database.locks import FileLock
from posthouse.database.opening import OpenPolicy, open_database
from posthouse.database.outcome import finish_in_thread
from posthouse.database.readers import ReaderPool
from posthouse.mailstore.changes import ChangeBus
from posthouse.mailstore.files import Files
from posthouse.mailstore.interface import (
    INBOX,
    Appending,
    BadNameError,
    Body,
    Change,
    DeliveryResult,
    Delta,
    Mailbox,
    MailboxExistsError,
    MailboxMessage,
    Maildrop,
    Marked,
    Marks,
    Measure,
    MessageRef,
    Placed,
    Rider,
    Role,
    Setting,
    Snapshot,
    StoreError,
    StoreFullError,
    Target,
    Usage,
)
from posthouse.mailstore.names import canonical, checked
from posthouse.mailstore.pack_reader import PackReader
from posthouse.mailstore.pack_writer import PACK_OCTETS, PackWriter
from posthouse.mailstore.reserve import RESERVE_OCTETS, DiskReserve
from posthouse.mailstore.sqlite import boxes, copying, keywords, marking, queries, removing, views
from posthouse.mailstore.sqlite.migrations import MIGRATIONS
from posthouse.mailstore.sqlite.reaper import GRACE_SECONDS, Reaped, Reaper
from posthouse.mailstore.sqlite.reclaiming import SpaceReclaimer
from posthouse.mailstore.sqlite.rows import fetch
from posthouse.mailstore.sqlite.snapshots import read_maildrop, read_snapshot
from posthouse.mailstore.sqlite.units import Act, AppendUnit, DeliveryUnit, Work, WriteJob
from posthouse.mailstore.sqlite.writer import MailWriter

T = TypeVar("T")
W = TypeVar("W", bound=Work[Any])

DATABASE = "posthouse.db"
PACKS = "packs"
LOCK = "write.lock"
_CACHE_KIB = 16 * 1024  # of the connection that writes
_DISK_READS = 4  # threads that wait for the disk


class SqliteMailstore:
    """Rows in `folder`/posthouse.db, bytes in `folder`/packs. One instance per process and event loop."""

    def __init__(
        self,
        folder: Path,
        commit: GroupCommit[Work[Any]],
        writer: MailWriter,
        lock: FileLock,
        glance: apsw.Connection,
        files: Files,
        clock: Callable[[], float],
        store: bytes,
    ) -> None:
        self._commit = commit
        self._writer = writer
        self._lock = lock
        self._readers = ReaderPool(partial(open_reader, folder / DATABASE))
        self._glance = glance  # for what is answered on the event loop
        self._packs = PackReader(folder / PACKS)
        self._disk = ThreadPoolExecutor(_DISK_READS, "pack-reader")
        self._reaper = Reaper(self._ask, self._do, self._finish, files, self._packs, store)
        self._furnished: set[int] = set()  # accounts known to be
        self._reclaimer = SpaceReclaimer(self._reaper, clock)
        self._closed = False

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        bus: ChangeBus,
        clock: Callable[[], float] = time.time,
        files: Files | None = None,
        pack_octets: int = PACK_OCTETS,
        reserve_octets: int = RESERVE_OCTETS,
        rooms: Mapping[str, Sequence[str]] = MappingProxyType({}),
        on_thread_death: Callable[[BaseException], None] = lambda error: None,
        on_hold: Callable[[bool], None] | None = None,
        create: bool = True,
    ) -> "SqliteMailstore":
        """Open the store in a folder that is there. `clock`: seconds since 1970.

        With `create`, what is missing inside is made; else that is a StoreError.
        `rooms` are the migrations of other rooms that keep their rows in the same database, by name.
        `on_thread_death` is called, in that thread, when the one that commits has ended by an error.
        `on_hold` is called when this process takes the write lock and gives it back, see FileLock.
        Raises StoreError. Takes milliseconds; a database of an earlier version is migrated first.
        """
        files = files or Files()
        connect = partial(open_connection, folder / DATABASE, cache_kib=_CACHE_KIB, create=False)
        policy = OpenPolicy.CREATE if create else OpenPolicy.EXISTING
        try:
            with contextlib.ExitStack() as undo:
                if create:
                    (folder / PACKS).mkdir(mode=0o700, exist_ok=True)
                lock = FileLock(folder / LOCK, on_hold)
                undo.callback(lock.close)
                migrations = {"": MIGRATIONS, **rooms}
                with (
                    lock,
                    contextlib.closing(open_database(folder / DATABASE, migrations, policy=policy)) as connection,
                ):
                    store = queries.store_id(connection)
                files.sync_folder(folder)  # the names that were just made
                reserve = DiskReserve(folder / "reserve", files, reserve_octets)
                undo.callback(reserve.close)
                glance = open_reader(folder / DATABASE, cache_kib=1024, fold=True)  # it is closed last
                undo.callback(glance.close)
                writer = MailWriter(
                    PackWriter(folder / PACKS, files, store, pack_octets=pack_octets), reserve, lock, bus, clock
                )
                opened = cls(
                    folder,
                    GroupCommit(connect, lock, writer, on_thread_death=on_thread_death),
                    writer,
                    lock,
                    glance,
                    files,
                    clock,
                    store,
                )
                undo.pop_all()
                return opened
        except (apsw.Error, OSError, DatabaseError) as error:
            kind = StoreFullError if isinstance(error, apsw.FullError) else StoreError
            raise kind(f"the mailstore in {folder} cannot be opened: {error}") from error

    async def deliver(
        self,
        delivery: bytes,
        body: Body,
        placements: Sequence[Target],
        received: int,
        *,
        whole: bool,
        also: Rider | None = None,
    ) -> list[DeliveryResult]:
        """See Mailstore."""
        if not placements:
            if also is not None:  # the work of the other room is to be done all the same
                await self.transact(lambda connection: also(connection, []))
            return []
        named = list(map(_canonical, placements))
        unit = await self._keep(lambda: DeliveryUnit(delivery, body, named, received, whole, also))
        assert unit.result is not None
        return unit.result

    async def entries(self, account: int, mailbox: str = INBOX) -> list[MessageRef]:
        """See Mailstore."""
        name = canonical(mailbox)
        return await self._ask(lambda connection: queries.entries(connection, account, name), account)

    async def maildrop(self, account: int, mailbox: str = INBOX) -> Maildrop:
        """See Mailstore."""
        name = canonical(mailbox)
        return await read_maildrop(lambda job: self._ask(job, account), account, name)

    async def find(self, account: int, mailbox: str, messages: Sequence[int]) -> list[MessageRef]:
        """See Mailstore."""
        name = canonical(mailbox)
        return await self._ask(lambda connection: queries.find(connection, account, name, messages), account)

    async def read(self, entry: MessageRef, offset: int, length: int) -> bytes:
        """See Mailstore. What the kernel has cached is read without leaving the event loop."""
        data = None if self._closed else self._packs.cached(entry, offset, length)
        if data is not None:
            return data
        return await self._wait(self._packs.fetch, entry, offset, length)

    async def check(self, entry: MessageRef) -> None:
        """See Mailstore."""
        if not self._packs.is_checked(entry):
            await self._wait(self._packs.check, entry)

    async def expunge(self, account: int, mailbox: str, messages: Sequence[int]) -> int:
        """See Mailstore. Works when the disk is full, as long as the reserve lasts."""
        name, wanted = canonical(mailbox), list(messages)
        return await self._act(
            account,
            lambda connection, now: removing.expunge(connection, account, name, wanted, now),
            frees_space=True,
        )

    async def usage(self, account: int) -> Usage:
        """See Mailstore. One row of a small table, always in memory: read on the event loop, in microseconds."""
        return self._glimpse(lambda connection: queries.usage(connection, account))

    async def changes(self, account: int, since: int) -> list[Change]:
        """See Mailstore."""
        return await self._ask(lambda connection: queries.changes(connection, account, since), account)

    # Mailboxes.

    async def mailboxes(self, account: int) -> list[Mailbox]:
        """See Mailstore."""
        found = await self._ask(lambda connection: views.mailboxes(connection, account), account)
        if not any(box.name == INBOX for box in found):
            await self._ensure_inbox(account)
            return await self._ask(lambda connection: views.mailboxes(connection, account), account)
        return found

    async def mailbox(self, account: int, name: str) -> Mailbox | None:
        """See Mailstore."""
        name = canonical(name)
        found = await self._ask(lambda connection: views.by_name(connection, account, name), account)
        if found is None and name == INBOX:
            await self._ensure_inbox(account)
            return await self._ask(lambda connection: views.by_name(connection, account, name), account)
        return found

    async def create(self, account: int, name: str, role: Role = Role.NONE) -> Mailbox:
        """See Mailstore."""
        name = checked(name)
        if name == INBOX:
            await self._ensure_inbox(account)

        def create(connection: apsw.Connection, now: int) -> tuple[Mailbox, int]:
            number, modseq = boxes.create(connection, account, name, role, now)
            return views.by_id(connection, account, number), modseq  # now: in a moment another one may have removed it

        return await self._act(account, create)

    async def rename(self, account: int, name: str, new: str) -> None:
        """See Mailstore."""
        name, new = canonical(name), checked(new)
        if new == INBOX:
            raise MailboxExistsError("there is always an INBOX")
        if name == INBOX:
            await self._act(account, lambda connection, now: copying.empty_inbox(connection, account, new, now))
        else:
            await self._act(account, lambda connection, now: boxes.rename(connection, account, name, new, now))

    async def delete(self, account: int, name: str) -> None:
        """See Mailstore. Its messages go in several transactions, so that others are not held up."""
        name = canonical(name)
        if name == INBOX:
            raise BadNameError("INBOX cannot be removed")
        number = await self._act(
            account, lambda connection, now: boxes.doom(connection, account, name), frees_space=True
        )
        # It is gone from here on. What keeps its messages from being removed now is no reason to say that it is not:
        # reap() goes on with it.
        with contextlib.suppress(StoreError):
            await self._sweep(account, number)

    async def subscribe(self, account: int, name: str, wanted: bool) -> None:
        """See Mailstore."""
        name = canonical(name) if not wanted else checked(name)
        await self._act(account, lambda connection, now: boxes.subscribe(connection, account, name, wanted))

    async def subscriptions(self, account: int) -> list[str]:
        """See Mailstore."""
        return await self._ask(lambda connection: views.subscriptions(connection, account), account)

    async def create_default_mailboxes(self, account: int, mailboxes: Sequence[tuple[str, Role]]) -> None:
        """See Mailstore."""
        if account in self._furnished:
            return
        known = "SELECT 1 FROM account WHERE account_id = ? AND furnished = 1"
        if not await self._ask(lambda connection: fetch(connection, known, (account,))):
            wanted = [(checked(name), role) for name, role in mailboxes]
            await self._act(
                account, lambda connection, now: boxes.create_default_mailboxes(connection, account, wanted, now)
            )
        self._furnished.add(account)

    async def keywords(self, account: int) -> list[str]:
        """See Mailstore. A small table that is always in memory: read on the event loop, in microseconds."""
        return self._glimpse(lambda connection: keywords.names(connection, account))

    async def keyword_sets(self, account: int, after: int = 0) -> dict[int, tuple[str, ...]]:
        """See Mailstore. Read on the event loop: most accounts have a few, and a page is below a millisecond."""
        return self._glimpse(lambda connection: keywords.sets(connection, account, after))

    # Messages.

    def modseq(self, account: int) -> int:
        """See Mailstore."""
        return self._glimpse(lambda connection: views.modseq(connection, account))

    async def measured(self, account: int, mailbox: int, measure: Measure, low: int, high: int) -> set[int]:
        """See Mailstore."""
        found: set[int] = set()
        end = await self._ask(lambda connection: views.next_message(connection, account, mailbox), account)
        for first in range(0, end, views.MEASURED_IDS):
            step = partial(
                views.measured,
                account=account,
                number=mailbox,
                measure=measure,
                low=low,
                high=high,
                first=first,
            )
            found.update(await self._ask(step, account))
        return found

    async def snapshot(self, account: int, name: str) -> Snapshot:
        """See Mailstore."""
        name = canonical(name)
        if name == INBOX:
            await self.mailbox(account, name)
        return await read_snapshot(lambda job: self._ask(job, account), account, name)

    async def since(self, account: int, mailbox: int, modseq: int) -> Delta:
        """See Mailstore."""
        return await self._ask(lambda connection: views.since(connection, account, mailbox, modseq), account)

    async def items(self, account: int, mailbox: int, messages: Sequence[int]) -> list[MailboxMessage]:
        """See Mailstore."""
        wanted = list(messages)
        return await self._ask(lambda connection: views.items(connection, account, mailbox, wanted), account)

    async def mark(
        self,
        account: int,
        mailbox: int,
        messages: Sequence[int],
        setting: Setting,
        marks: Marks,
        *,
        unchanged_since: int | None = None,
    ) -> Marked:
        """See Mailstore. Works when the disk is full: deleting begins with a flag."""
        wanted = list(messages)
        return await self._act(
            account,
            lambda connection, now: marking.mark(connection, account, mailbox, wanted, setting, marks, unchanged_since),
            frees_space=True,
        )

    async def append(
        self,
        account: int,
        name: str,
        messages: Sequence[Appending],
        *,
        quota: int | None = None,
        replacing: tuple[int, int] | None = None,
    ) -> Placed:
        """See Mailstore."""
        name = canonical(name)
        if name == INBOX:
            await self.mailbox(account, name)
        unit = await self._keep(lambda: AppendUnit(account, name, messages, quota, replacing))
        if unit.refusal is not None:
            raise unit.refusal
        assert unit.result is not None
        return unit.result

    async def copy(
        self, account: int, mailbox: int, messages: Sequence[int], name: str, *, quota: int | None = None
    ) -> Placed:
        """See Mailstore."""
        name, wanted = canonical(name), list(messages)
        return await self._act(
            account,
            lambda connection, now: copying.copy(connection, account, mailbox, wanted, name, quota, now),
        )

    async def move(self, account: int, mailbox: int, messages: Sequence[int], name: str) -> Placed:
        """See Mailstore."""
        name, wanted = canonical(name), list(messages)
        return await self._act(
            account, lambda connection, now: copying.move(connection, account, mailbox, wanted, name, now)
        )

    async def remove(self, account: int, mailbox: int, messages: Sequence[int], *, marked: bool = True) -> list[int]:
        """See Mailstore. Works when the disk is full, as long as the reserve lasts."""
        wanted = list(messages)
        return await self._act(
            account,
            lambda connection, now: removing.remove_from(connection, account, mailbox, wanted, now, marked),
            frees_space=True,
        )

    async def deleted(self, account: int, mailbox: int) -> dict[int, int]:
        """See Mailstore."""
        return await self._ask(lambda connection: views.deleted(connection, account, mailbox), account)

    async def deleted_octets(self, account: int, mailbox: int) -> int:
        """See Mailstore."""
        return await self._ask(lambda connection: views.deleted_octets(connection, account, mailbox), account)

    async def forget(self, account: int) -> None:
        """See Mailstore. In several transactions, so that others are not held up; may be called again after a crash."""
        while await self._act(
            account, lambda connection, now: removing.forget(connection, account, now), frees_space=True
        ):
            continue
        self._furnished.discard(account)

    async def reap(self, now: float, *, grace: float = GRACE_SECONDS) -> Reaped:
        """Give back the space of what was removed more than `grace` seconds before `now` (seconds since 1970).

        Called now and then by one process; more at once do no harm. Raises StoreError.
        """
        for account, mailbox in await self._ask(boxes.doomed):
            await self._sweep(account, mailbox)
        try:
            return await self._reaper.run(now, grace)
        except OSError as error:
            raise StoreError(f"space could not be given back: {error}") from error

    async def transact(self, work: Callable[[apsw.Connection], T], *, frees_space: bool = False) -> T:
        """Write rows of another room in the next transaction; what `work` returns. Raises StoreError.

        It runs on the commit thread, beside deliveries, so it must be short. With `frees_space` it works when the disk
        is full, as long as the reserve lasts: for what makes room, or says that it was made.
        """
        return await self._do(WriteJob(work, frees_space=frees_space))

    async def ask(self, look: Callable[[apsw.Connection], T]) -> T:
        """Read rows of another room, off the event loop. Raises StoreError."""
        return await self._ask(look)

    async def close(self) -> None:
        """See Mailstore. More than once does no harm. Whatever fails, packs and locks are let go of."""
        closed, self._closed = self._closed, True
        try:
            await self._commit.close()
            await self._readers.close()
            await asyncio.to_thread(self._disk.shutdown)
        finally:
            if not closed:
                self._let_go()

    def _let_go(self) -> None:
        with contextlib.ExitStack() as held:
            for close in (self._lock.close, self._writer.close, self._packs.close, self._glance.close):
                held.callback(close)

    async def _do(self, unit: Work[T]) -> T:
        try:
            return await self._commit.run(unit)  # type: ignore[no-any-return]
        except StoreError:
            raise
        except DatabaseFullError as error:
            raise StoreFullError(str(error)) from error
        except Exception as error:
            raise StoreError(f"not stored: {error}") from error

    async def _keep(self, make: Callable[[], W]) -> W:
        """Have a unit done that needs space: once more if the disk is full of what was removed."""
        unit = make()
        try:
            await self._do(unit)
        except StoreFullError:
            if not await self._reclaimer.reclaim():
                raise
            unit = make()
            await self._do(unit)
        return unit

    async def _act(
        self, account: int, work: Callable[[apsw.Connection, int], tuple[T, int]], *, frees_space: bool = False
    ) -> T:
        return await self._do(Act(account, work, frees_space=frees_space))

    async def _ensure_inbox(self, account: int) -> None:
        await self._act(account, lambda connection, now: boxes.ensure_inbox(connection, account, now))

    async def _sweep(self, account: int, mailbox: int) -> None:
        """Remove the messages of a mailbox that is out of sight, and then its row."""

        def some(connection: apsw.Connection, now: int) -> tuple[bool, int]:
            modseq = removing.sweep(connection, account, mailbox, mailbox, now)
            return modseq > 0, modseq

        while await self._act(account, some, frees_space=True):
            continue
        await self._act(account, lambda connection, now: boxes.drop(connection, account, mailbox), frees_space=True)

    def _glimpse(self, look: Callable[[apsw.Connection], T]) -> T:
        """Ask on the event loop what takes microseconds."""
        if self._closed:
            raise StoreError("the mailstore was closed")
        try:
            return look(self._glance)
        except apsw.Error as error:
            raise StoreError(f"database: {error}") from error

    async def _wait(self, function: Callable[..., T], *values: Any) -> T:
        """Run what may wait for the disk in a thread."""
        if self._closed:
            raise StoreError("the mailstore was closed")
        return await asyncio.get_running_loop().run_in_executor(self._disk, function, *values)

    async def _finish(self, function: Callable[..., T], *values: Any) -> T:
        """The same, to its end: a task that is cancelled meanwhile gets its CancelledError after it."""
        if self._closed:
            raise StoreError("the mailstore was closed")
        return await finish_in_thread(function, *values, executor=self._disk)

    async def _ask(self, job: Callable[[apsw.Connection], T], account: int | None = None) -> T:
        """Read off the event loop. What takes long comes in pieces, and the accounts take turns."""
        try:
            return await self._readers.run(job, account)
        except DatabaseError as error:
            raise StoreError(str(error)) from error


def _canonical(placement: Target) -> Target:
    name = canonical(placement.mailbox)
    return placement if name == placement.mailbox else replace(placement, mailbox=name)
