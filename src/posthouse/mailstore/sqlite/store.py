"""The mailstore on one machine: bytes first, then the row, then the acknowledgement."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import apsw

from posthouse.database.commit import GroupCommit
from posthouse.database.connection import open_connection, open_reader
from posthouse.database.errors import DatabaseError
from posthouse.database.locks import FileLock
from posthouse.database.migrations import Steps
from posthouse.database.opening import OpenPolicy, open_database
from posthouse.mailstore.changes import ChangeBus
from posthouse.mailstore.files import Files
from posthouse.mailstore.interface import StoreError, StoreFullError
from posthouse.mailstore.pack_writer import PACK_OCTETS, PackWriter
from posthouse.mailstore.reserve import RESERVE_OCTETS, DiskReserve
from posthouse.mailstore.sqlite import queries
from posthouse.mailstore.sqlite.access import StoreAccess
from posthouse.mailstore.sqlite.layout import DATABASE, LOCK, PACKS
from posthouse.mailstore.sqlite.migrations import MIGRATIONS
from posthouse.mailstore.sqlite.parts.change_feed import SqliteChangeFeed
from posthouse.mailstore.sqlite.parts.deliveries import SqliteDeliveries
from posthouse.mailstore.sqlite.parts.mailboxes import SqliteMailboxes
from posthouse.mailstore.sqlite.parts.maintenance import SqliteMaintenance
from posthouse.mailstore.sqlite.parts.message_reader import SqliteMessageReader
from posthouse.mailstore.sqlite.parts.message_writer import SqliteMessageWriter
from posthouse.mailstore.sqlite.reaper import Reaper
from posthouse.mailstore.sqlite.reclaiming import SpaceReclaimer
from posthouse.mailstore.sqlite.units import Work, WriteJob
from posthouse.mailstore.sqlite.writer import MailWriter

T = TypeVar("T")

_CACHE_KIB = 16 * 1024  # of the connection that writes


class SqliteMailstore:
    """Rows in `folder`/posthouse.db, bytes in `folder`/packs. One instance per process and event loop.

    A Mailstore made of parts, whose methods are its own.
    """

    def __init__(
        self,
        access: StoreAccess,
        commit: GroupCommit[Work[Any]],
        writer: MailWriter,
        lock: FileLock,
        reaper: Reaper,
        clock: Callable[[], float],
    ) -> None:
        self._access = access
        self._commit = commit
        self._writer = writer
        self._lock = lock
        self._reaper = reaper
        reclaimer = SpaceReclaimer(access, reaper, clock)
        mailboxes = SqliteMailboxes(access)
        self.deliver = SqliteDeliveries(access, reclaimer).deliver
        self._offer_mailboxes(mailboxes)
        self._offer_reading(SqliteMessageReader(access, mailboxes))
        self._offer_writing(SqliteMessageWriter(access, mailboxes, reclaimer))
        changes = SqliteChangeFeed(access)
        self.modseq = changes.modseq
        self.changes = changes.changes
        self.since = changes.since
        maintenance = SqliteMaintenance(access, mailboxes, reaper)
        self.usage = maintenance.usage
        self.forget = maintenance.forget
        self.reap = maintenance.reap

    def _offer_mailboxes(self, mailboxes: SqliteMailboxes) -> None:
        self.mailboxes = mailboxes.mailboxes
        self.mailbox = mailboxes.mailbox
        self.create = mailboxes.create
        self.rename = mailboxes.rename
        self.delete = mailboxes.delete
        self.subscribe = mailboxes.subscribe
        self.subscriptions = mailboxes.subscriptions
        self.create_default_mailboxes = mailboxes.create_default_mailboxes

    def _offer_reading(self, reader: SqliteMessageReader) -> None:
        self.entries = reader.entries
        self.maildrop = reader.maildrop
        self.find = reader.find
        self.read = reader.read
        self.check = reader.check
        self.items = reader.items
        self.snapshot = reader.snapshot
        self.measured = reader.measured
        self.deleted = reader.deleted
        self.deleted_octets = reader.deleted_octets
        self.keywords = reader.keywords
        self.keyword_sets = reader.keyword_sets

    def _offer_writing(self, writer: SqliteMessageWriter) -> None:
        self.append = writer.append
        self.copy = writer.copy
        self.move = writer.move
        self.mark = writer.mark
        self.remove = writer.remove
        self.expunge = writer.expunge

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
        rooms: Mapping[str, Steps] = MappingProxyType({}),
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
        with _open_errors(folder), contextlib.ExitStack() as undo:
            if create:
                (folder / PACKS).mkdir(mode=0o700, exist_ok=True)
            lock = FileLock(folder / LOCK, on_hold)
            undo.callback(lock.close)
            store = _migrate(folder, lock, rooms, create=create)
            files.sync_folder(folder)  # the names that were just made
            packs = PackWriter(folder / PACKS, files, store, pack_octets=pack_octets)
            reserve = DiskReserve(folder / "reserve", files, reserve_octets)
            undo.callback(reserve.close)
            writer = MailWriter(packs, reserve, lock, bus, clock)
            opened = cls._start(folder, store, files, writer, lock, clock, on_thread_death)
            undo.pop_all()
            return opened

    @classmethod
    def _start(
        cls,
        folder: Path,
        store: bytes,
        files: Files,
        writer: MailWriter,
        lock: FileLock,
        clock: Callable[[], float],
        on_thread_death: Callable[[BaseException], None],
    ) -> "SqliteMailstore":
        connect = partial(open_connection, folder / DATABASE, cache_kib=_CACHE_KIB, create=False)
        with contextlib.ExitStack() as undo:
            on_loop = open_reader(folder / DATABASE, cache_kib=1024, checkpoint=True)  # it is closed last
            undo.callback(on_loop.close)
            commit = GroupCommit(connect, lock, writer, on_thread_death=on_thread_death)
            undo.pop_all()
        access = StoreAccess(folder, commit, on_loop)
        reaper = Reaper(access.read, access.submit, access.finish_on_disk, files, access.packs, store)
        return cls(access, commit, writer, lock, reaper, clock)

    async def transact(self, work: Callable[[apsw.Connection], T], *, frees_space: bool = False) -> T:
        """Write rows of another room in the next transaction; what `work` returns. Raises StoreError.

        It runs on the commit thread, beside deliveries, so it must be short. With `frees_space` it works when the disk
        is full, as long as the reserve lasts: for what makes room, or says that it was made.
        """
        return await self._access.submit(WriteJob(work, frees_space=frees_space))

    async def read_rows(self, job: Callable[[apsw.Connection], T]) -> T:
        """Read rows of another room, off the event loop. Raises StoreError."""
        return await self._access.read(job)

    async def close(self) -> None:
        """See Mailstore. More than once does no harm. Whatever fails, packs and locks are let go of."""
        was_closed = self._access.closed
        try:
            await self._access.finish()
        finally:
            if not was_closed:
                with contextlib.ExitStack() as held:
                    for close in (self._lock.close, self._writer.close, self._access.let_go):
                        held.callback(close)


def _migrate(folder: Path, lock: FileLock, rooms: Mapping[str, Steps], *, create: bool) -> bytes:
    """Bring the database to this version; the id of the store."""
    policy = OpenPolicy.CREATE if create else OpenPolicy.EXISTING
    migrations = {"": MIGRATIONS, **rooms}
    with lock, contextlib.closing(open_database(folder / DATABASE, migrations, policy=policy)) as connection:
        return queries.store_id(connection)


@contextlib.contextmanager
def _open_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except (apsw.Error, OSError, DatabaseError) as error:
        kind = StoreFullError if isinstance(error, apsw.FullError) else StoreError
        raise kind(f"the mailstore in {folder} cannot be opened: {error}") from error
