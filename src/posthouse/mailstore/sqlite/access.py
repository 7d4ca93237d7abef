"""How the parts of the store get at its rows and packs, and how what goes wrong there comes out."""

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import apsw

from posthouse.database.commit import GroupCommit
from posthouse.database.connection import open_reader
from posthouse.database.errors import DatabaseError, DatabaseFullError
from posthouse.database.outcome import finish_in_thread
from posthouse.database.readers import ReaderPool
from posthouse.mailstore.interface import StoreError, StoreFullError
from posthouse.mailstore.pack_reader import PackReader
from posthouse.mailstore.sqlite.layout import DATABASE, PACKS
from posthouse.mailstore.sqlite.units import Act, Work

T = TypeVar("T")

_DISK_READS = 4  # threads that wait for the disk


class StoreAccess:
    """Owned by the store, shared by its parts. Used on one event loop."""

    def __init__(self, folder: Path, commit: GroupCommit[Work[Any]], on_loop: apsw.Connection) -> None:
        self._commit = commit
        self._readers = ReaderPool(partial(open_reader, folder / DATABASE))
        self._on_loop = on_loop  # for what is answered on the event loop
        self._disk = ThreadPoolExecutor(_DISK_READS, "pack-reader")
        self.packs = PackReader(folder / PACKS)
        self.closed = False

    async def read(self, job: Callable[[apsw.Connection], T], account: int | None = None) -> T:
        """Read rows off the event loop. What takes long comes in pieces, and the accounts take turns."""
        try:
            return await self._readers.run(job, account)
        except DatabaseError as error:
            raise StoreError(str(error)) from error

    def read_at_once(self, job: Callable[[apsw.Connection], T]) -> T:
        """Read rows on the event loop: for what takes microseconds."""
        self._check_open()
        try:
            return job(self._on_loop)
        except apsw.Error as error:
            raise StoreError(f"database: {error}") from error

    async def submit(self, unit: Work[T]) -> T:
        """Have a unit of work committed."""
        try:
            return await self._commit.run(unit)  # type: ignore[no-any-return]
        except StoreError:
            raise
        except DatabaseFullError as error:
            raise StoreFullError(str(error)) from error
        except Exception as error:
            raise StoreError(f"not stored: {error}") from error

    async def change(
        self, account: int, work: Callable[[apsw.Connection, int], tuple[T, int]], *, frees_space: bool = False
    ) -> T:
        """Have rows of one account changed: see Act."""
        return await self.submit(Act(account, work, frees_space=frees_space))

    async def run_on_disk(self, function: Callable[..., T], *values: Any) -> T:
        """Run what may wait for the disk in a thread."""
        self._check_open()
        return await asyncio.get_running_loop().run_in_executor(self._disk, function, *values)

    async def finish_on_disk(self, function: Callable[..., T], *values: Any) -> T:
        """The same, to its end: a task that is cancelled meanwhile gets its CancelledError after it."""
        self._check_open()
        return await finish_in_thread(function, *values, executor=self._disk)

    async def finish(self) -> None:
        """Finish what waits, and take no more. More than once does no harm."""
        self.closed = True
        await self._commit.close()
        await self._readers.close()
        await asyncio.to_thread(self._disk.shutdown)

    def let_go(self) -> None:
        """Let go of files, after finish(), whatever became of it."""
        with contextlib.ExitStack() as held:
            held.callback(self.packs.close)
            held.callback(self._on_loop.close)

    def _check_open(self) -> None:
        if self.closed:
            raise StoreError("the mailstore was closed")
