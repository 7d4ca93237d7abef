"""What is known of messages' contents: asked by IMAP, made when it is missing, so that no answer is ever stale."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar
from weakref import WeakValueDictionary

import apsw

from posthouse.database.connection import Durability, open_connection, open_reader
from posthouse.database.errors import DatabaseError
from posthouse.database.readers import ReaderPool
from posthouse.mailstore.contents import sqlite
from posthouse.mailstore.contents.sqlite import Shown, SortKeys
from posthouse.mailstore.interface import Item, Mailstore, NoSuchMailboxError, StoreError, StoreFullError
from posthouse.message.mime import envelope, scan
from posthouse.message.text import Digest, digest, fold

T = TypeVar("T")

_CHUNK = 100  # messages that are made and written at once
_CHUNK_OCTETS = 8 << 20
_HEAD = 16 << 10  # octets in which a header ends, as a rule
_EMPTY = digest(b"", 0)


def prepare(path: Path) -> None:
    """Make the file, or make it anew when it is damaged or of another version. Before any process has it open.

    Raises StoreError.
    """
    try:
        if _is_sound(path):
            return
        for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
            name.unlink(missing_ok=True)
        with contextlib.closing(open_connection(path, durability=Durability.OFF)) as connection:
            sqlite.create(connection)
    except (apsw.Error, OSError) as error:
        kind = StoreFullError if isinstance(error, apsw.FullError) else StoreError
        raise kind(f"the index {path} cannot be made: {error}") from error


def _is_sound(path: Path) -> bool:
    try:
        with contextlib.closing(open_connection(path, durability=Durability.OFF)) as connection:
            return sqlite.is_ours(connection)
    except apsw.Error:
        return False


class MessageIndex:
    """One instance per process and event loop, over a file that prepare() has seen."""

    def __init__(self, path: Path, store: Mailstore) -> None:
        self._store = store
        self._path = path
        self._readers = ReaderPool(partial(open_reader, path))
        self._maker = ThreadPoolExecutor(1, "indexer")  # owns the connection that writes
        self._connection: apsw.Connection | None = None
        self._locks: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()
        self._closed = False

    async def shown(self, account: int, items: Sequence[Item], *, envelope_only: bool = False) -> list[Shown]:
        """What FETCH shows of these messages, in their order. One that cannot be read is shown as if empty.

        With `envelope_only` a message the index has not reached is not looked through whole; the rest is empty then.
        """
        ids = [item.entry.message for item in items]
        known = await self._ask(lambda connection: sqlite.shown(connection, account, ids))
        return [
            known.get(item.entry.message) or await (self._envelope(item) if envelope_only else self._made(item))
            for item in items
        ]

    async def contains(self, account: int, mailbox: int, messages: Sequence[int], field: str, needle: str) -> set[int]:
        """Those whose field contains the needle. Fields: text, body, subject, from, to, cc, bcc, header:NAME."""
        if not messages:
            return set()
        await self.ensure(account, mailbox, messages)
        first, last, folded = min(messages), max(messages), fold(needle)
        found = await self._ask(lambda connection: sqlite.contains(connection, account, first, last, field, folded))
        return found.intersection(messages)

    async def sent_days(self, account: int, mailbox: int, messages: Sequence[int]) -> dict[int, int]:
        """The days on which the messages were sent, as their writers wrote them: days since 1970."""
        if not messages:
            return {}
        await self.ensure(account, mailbox, messages)
        first, last = min(messages), max(messages)
        found = await self._ask(lambda connection: sqlite.sent_days(connection, account, first, last))
        return {message: found[message] for message in messages if message in found}

    async def sort_keys(self, account: int, mailbox: int, messages: Sequence[int]) -> dict[int, SortKeys]:
        """What the messages are sorted and threaded by."""
        if not messages:
            return {}
        await self.ensure(account, mailbox, messages)
        first, last = min(messages), max(messages)
        found = await self._ask(lambda connection: sqlite.sort_keys(connection, account, first, last))
        return {message: found[message] for message in messages if message in found}

    async def ensure(self, account: int, mailbox: int, messages: Sequence[int]) -> None:
        """Index those of the messages that are not. Raises StoreError when that cannot be written down."""
        wanted = list(messages)
        missing = await self._ask(lambda connection: sqlite.missing(connection, account, wanted))
        if not missing:
            return
        lock = self._locks.get(account)
        if lock is None:
            lock = self._locks[account] = asyncio.Lock()
        async with lock:  # whoever waited finds the work done
            missing = await self._ask(lambda connection: sqlite.missing(connection, account, missing))
            for at in range(0, len(missing), _CHUNK):
                await self._index(account, mailbox, missing[at : at + _CHUNK])

    async def seen(self, account: int) -> int:
        """The modseq up to which the account's messages were looked through."""
        return await self._ask(lambda connection: sqlite.seen(connection, account))

    async def note_seen(self, account: int, modseq: int) -> None:
        """They were looked through up to there."""
        await self._write(lambda connection: sqlite.note_seen(connection, account, modseq))

    async def drop(self, account: int, messages: Sequence[int]) -> None:
        """Let go of messages that are gone."""
        gone = list(messages)
        await self._write(lambda connection: sqlite.drop(connection, account, gone))

    async def forget(self, account: int) -> None:
        """Let go of an account."""
        await self._write(lambda connection: sqlite.forget(connection, account))

    async def close(self) -> None:
        """Finish what is being written, then let go of the file. More than once does no harm."""
        if self._closed:
            return
        self._closed = True
        await self._readers.close()
        await asyncio.to_thread(self._maker.shutdown)
        if self._connection is not None:
            self._connection.close()

    # Making.

    async def _index(self, account: int, mailbox: int, messages: Sequence[int]) -> None:
        try:
            items = await self._store.items(account, mailbox, messages)
        except NoSuchMailboxError:
            return
        batch: list[tuple[int, bytes, int]] = []
        octets = 0
        for item in items:
            try:
                data = await self._store.read(item.entry, 0, item.entry.octets)
            except StoreError:
                data = b""  # damaged: it is found by nothing, but must not be tried again and again
            batch.append((item.entry.message, data, item.entry.received))
            octets += len(data)
            if octets > _CHUNK_OCTETS:
                await self._add(account, batch)
                batch, octets = [], 0
        await self._add(account, batch)

    async def _add(self, account: int, batch: Sequence[tuple[int, bytes, int]]) -> None:
        def work(connection: apsw.Connection) -> None:
            sqlite.add(connection, account, digests)

        def make() -> list[tuple[int, Digest]]:
            return [(message, digest(data, received)) for message, data, received in batch]

        if batch:
            digests = await self._run(make)
            await self._write(work)

    async def _made(self, item: Item) -> Shown:
        try:
            data = await self._store.read(item.entry, 0, item.entry.octets)
        except StoreError:
            data = b""
        made = await self._run(partial(digest, data, item.entry.received)) if len(data) > _HEAD else digest(data, 0)
        return Shown(made.envelope, made.structure, made.preview)

    async def _envelope(self, item: Item) -> Shown:
        try:
            data = await self._store.read(item.entry, 0, min(_HEAD, item.entry.octets))
            if b"\n\r\n" not in data and b"\n\n" not in data:
                data = await self._store.read(item.entry, 0, item.entry.octets)
        except StoreError:
            data = b""
        return Shown(envelope(data, scan(data)), _EMPTY.structure, "")

    # The file.

    async def _run(self, work: Callable[[], T]) -> T:
        if self._closed:
            raise StoreError("the index was closed")
        return await asyncio.get_running_loop().run_in_executor(self._maker, work)

    async def _write(self, work: Callable[[apsw.Connection], None]) -> None:
        try:
            await self._run(partial(self._transact, work))
        except (apsw.Error, OSError) as error:
            kind = StoreFullError if isinstance(error, apsw.FullError) else StoreError
            raise kind(f"the index cannot be written: {error}") from error

    def _transact(self, work: Callable[[apsw.Connection], None]) -> None:
        if self._connection is None:
            self._connection = open_connection(self._path, durability=Durability.NORMAL)
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            work(connection)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    async def _ask(self, look: Callable[[apsw.Connection], T]) -> T:
        try:
            return await self._readers.run(look)
        except DatabaseError as error:
            raise StoreError(f"the index cannot be read: {error}") from error
