"""The history of deliveries in a file of its own, which may be lost and never holds anything up.

What is added waits in memory, and a thread writes it once a second; where that fails it is forgotten. The file has no
indexes, so a row costs little to write; who asks reads all of it, which takes a second for a million rows.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import apsw

from posthouse.database.connection import Durability
from posthouse.database.errors import DatabaseError, DatabaseGoneError
from posthouse.database.opening import OpenPolicy, open_database, open_existing_reader, translate_errors
from posthouse.message.address import Address
from posthouse.queue.history import Delivery

_MIGRATIONS = (
    """
    CREATE TABLE delivery (
        at INTEGER NOT NULL,            -- seconds since 1970
        id BLOB NOT NULL,               -- of the envelope
        sender TEXT NOT NULL COLLATE NOCASE,    -- reverse-path; '' is <>
        recipient TEXT NOT NULL COLLATE NOCASE, -- '' when it is the account
        account TEXT NOT NULL COLLATE NOCASE,
        message_id TEXT NOT NULL,
        octets INTEGER NOT NULL,
        client TEXT NOT NULL,
        kept INTEGER NOT NULL
    );
    """,
)
_MOST_WAITING = 50_000  # rows in memory; some 20 MB, when the disk stands still
_ADD = "INSERT INTO delivery VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_FORGET_OLD = "DELETE FROM delivery WHERE at < ?"
_FORGET_FIRST = """
    DELETE FROM delivery WHERE rowid <= (SELECT min(rowid) + (max(rowid) - min(rowid)) / 10 FROM delivery)
"""
_FIND = """
    SELECT at, id, sender, recipient, account, message_id, octets, client, kept FROM delivery
    WHERE message_id = ?1 OR account = ?1 OR recipient = ?1 OR sender = ?1 ORDER BY rowid DESC LIMIT ?2
"""


class SqliteHistory:
    """See History. flush() and tidy() are to be called now and then.

    `days` and `octets` bound what is kept; 0 octets: no bound.

    `on_failure` is called once with the reason when it begins to forget because the file cannot be written.
    """

    def __init__(
        self,
        path: Path,
        *,
        days: int,
        octets: int,
        clock: Callable[[], float] = time.time,
        on_failure: Callable[[str], None] = lambda reason: None,
    ) -> None:
        self._path = path
        self._days = days
        self._octets = octets
        self._clock = clock
        self._on_failure = on_failure
        self._waiting: list[Delivery] = []
        self._connection: apsw.Connection | None = None
        self._turn = threading.Lock()  # one thread at a time uses the connection
        self._failed = False

    def add(self, deliveries: Sequence[Delivery]) -> None:
        """See History."""
        if len(self._waiting) < _MOST_WAITING:
            self._waiting += deliveries

    async def flush(self) -> None:
        """Write what waits, off the event loop."""
        if self._waiting:
            rows, self._waiting = self._waiting, []
            await asyncio.to_thread(self._guarded, lambda connection: connection.executemany(_ADD, map(_row, rows)))

    async def tidy(self) -> None:
        """Forget what is too old, or too much."""
        await asyncio.to_thread(self._guarded, self._tidy)

    async def close(self) -> None:
        """Write what waits, and let go of the file."""
        await self.flush()
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        with self._turn:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _guarded(self, work: Callable[[apsw.Connection], object]) -> None:
        with self._turn:
            try:
                with translate_errors(self._path):
                    self._work(work)
                self._failed = False
            except (apsw.Error, DatabaseError, OSError) as error:
                if not self._failed:
                    self._on_failure(str(error))
                self._failed = True
                if self._connection is not None:
                    self._connection.close()  # opened again, and replaced if it is damaged
                    self._connection = None

    def _work(self, work: Callable[[apsw.Connection], object]) -> None:
        if self._connection is None:
            self._connection = open_database(
                self._path,
                {"": _MIGRATIONS},
                policy=OpenPolicy.REPLACE,
                durability=Durability.NORMAL,
                cache_kib=512,
                checkpoint_pages=1000,
            )
        with self._connection:  # one transaction
            work(self._connection)

    def _tidy(self, connection: apsw.Connection) -> None:
        connection.execute(_FORGET_OLD, (int(self._clock()) - self._days * 86400,))
        used = connection.pragma("page_count") - connection.pragma("freelist_count")
        if 0 < self._octets < used * connection.pragma("page_size"):
            connection.execute(_FORGET_FIRST)


def find_deliveries(path: Path, wanted: str, *, most: int) -> list[Delivery]:
    """What is remembered of a Message-ID, or from or to an address; the newest first. Nothing without a file.

    Raises DatabaseError when it cannot be read.
    """
    try:
        with translate_errors(path), contextlib.closing(open_existing_reader(path)) as connection:
            return [_delivery(row) for row in connection.execute(_FIND, (wanted, most))]
    except DatabaseGoneError:
        return []
    except apsw.Error as error:
        raise DatabaseError(str(error)) from error


def _row(each: Delivery) -> tuple[Any, ...]:
    account, recipient = str(each.account), str(each.recipient)
    return (
        each.at,
        each.id,
        str(each.sender or ""),
        "" if recipient == account else recipient,
        account,
        each.message_id,
        each.octets,
        each.client,
        each.kept,
    )


def _delivery(row: tuple[Any, ...]) -> Delivery:
    at, ident, sender, recipient, account, message_id, octets, client, kept = row
    return Delivery(
        bytes(ident),
        at,
        _address(sender) if sender else None,
        _address(recipient or account),
        _address(account),
        message_id,
        octets,
        client,
        bool(kept),
    )


def _address(text: str) -> Address:
    local, _, domain = text.rpartition("@")
    return Address(local, domain) if local else Address(text, "")
