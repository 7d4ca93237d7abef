"""Runs jobs on the index's database in threads of its own; a file that turns out to be damaged is created again."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import apsw

from posthouse.database.errors import DatabaseClosedError, DatabaseError
from posthouse.database.readers import ReaderPool
from posthouse.database.sqlite_transaction import transaction
from posthouse.mailstore.index.sqlite.schema import Opened, close, is_damage, opened
from posthouse.mailstore.interface import StoreError, StoreFullError

T = TypeVar("T")
READERS = 2


class _Threads:
    """The threads that use one file."""

    def __init__(self, opened: Opened) -> None:
        self.name = opened.name
        self._opened = opened
        self.readers = ReaderPool(list(opened.readers).pop, READERS)
        self.writer = ReaderPool(lambda: opened.writer, 1)

    async def close(self) -> None:
        await self.readers.close()
        await self.writer.close()
        close(self._opened)


class IndexDatabase:
    """The database at `path`. Raises StoreError when it cannot be opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._threads = _Threads(opened(path, READERS))
        self._renewing = asyncio.Lock()
        self._closed = False

    @property
    def file(self) -> int:
        """The name of the file: another one when it was created again."""
        return self._threads.name

    async def read(self, job: Callable[[apsw.Connection], T]) -> T:
        """What the job returns. Raises StoreError."""
        return await self._run(lambda threads: threads.readers, job)

    async def write(self, job: Callable[[apsw.Connection], T]) -> T:
        """What the job returns, run in one transaction. Raises StoreError, StoreFullError."""

        def whole(connection: apsw.Connection) -> T:
            with transaction(connection):
                return job(connection)

        return await self._run(lambda threads: threads.writer, whole)

    async def close(self) -> None:
        """Finish what waits. More than once does no harm."""
        async with self._renewing:
            if not self._closed:
                self._closed = True
                await self._threads.close()

    async def _run(self, pool: Callable[[_Threads], ReaderPool], job: Callable[[apsw.Connection], T]) -> T:
        failure: DatabaseError
        for _ in range(3):
            threads = self._threads
            try:
                return await pool(threads).run(job)
            except DatabaseClosedError as error:
                failure = error
                if self._closed:
                    break
                await self._renew(threads)
            except DatabaseError as error:
                failure = error
                if not is_damage(error.__cause__):
                    break
                await self._renew(threads)
        kind = StoreFullError if isinstance(failure.__cause__, apsw.FullError) else StoreError
        raise kind(f"the index cannot be used: {failure}") from failure

    async def _renew(self, spoilt: _Threads) -> None:
        async with self._renewing:
            if self._closed or self._threads is not spoilt:
                return
            await spoilt.close()
            self._threads = _Threads(await asyncio.to_thread(opened, self._path, READERS, spoilt=spoilt.name))
