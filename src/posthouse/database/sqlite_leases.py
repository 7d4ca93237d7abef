"""Leases as rows of a small database of their own, shared by all processes of one machine.

The file is never synced: a machine that crashed has no server left that could hold anything. Its statements take about
20 microseconds and touch memory only, less than a hop to a thread; so they run on the event loop.
"""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw

from posthouse.database.connection import Durability, log_of
from posthouse.database.errors import DatabaseError
from posthouse.database.leases import Lease
from posthouse.database.opening import OpenPolicy, open_database, put_aside

_MIGRATIONS = (
    "CREATE TABLE lease (name TEXT PRIMARY KEY, token INTEGER NOT NULL, expires REAL NOT NULL) WITHOUT ROWID;",
)
# The row stays when a hold ends, so that the token ascends for ever.
_TAKE = """
    INSERT INTO lease (name, token, expires) VALUES (?1, 1, ?2)
    ON CONFLICT (name) DO UPDATE SET token = token + 1, expires = excluded.expires WHERE expires <= ?3
    RETURNING token
"""
_RENEW = "UPDATE lease SET expires = ?3 WHERE name = ?1 AND token = ?2 AND expires > 0 RETURNING 1"
_RELEASE = "UPDATE lease SET expires = 0 WHERE name = ?1 AND token = ?2"
_LOG_PAGES = 256  # after which it is checkpointed and begun again
_LOG_OCTETS = (_LOG_PAGES + 32) * 4096
_BUSY_MILLISECONDS = 500  # another process is in the middle of its microseconds


class SqliteLeases:
    """Leases in the file `path`. `clock` gives seconds, the same in all processes, never set back (CLOCK_MONOTONIC)."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._path = path
        self._connection = _opened(path)

    async def take(self, name: str, seconds: float) -> Lease | None:
        """The hold, or None when another has it and it has not expired."""
        now = self._clock()
        token = self._one(_TAKE, (name, now + seconds, now))
        return None if token is None else Lease(name, token)

    async def renew(self, lease: Lease, seconds: float) -> bool:
        """Hold on for `seconds` from now; False when it was lost meanwhile (expired alone, it is still there)."""
        return self._one(_RENEW, (lease.name, lease.token, self._clock() + seconds)) is not None

    async def release(self, lease: Lease) -> None:
        """Give it back; no effect when it was lost."""
        self._one(_RELEASE, (lease.name, lease.token))

    def void_all(self) -> None:
        """End every hold. Only for a server that starts and holds the server lock: then no holder is alive.

        A file that a machine crash has damaged is replaced.
        """
        try:
            self._connection.execute("UPDATE lease SET expires = 0 WHERE expires <> 0")
            damaged = self._connection.pragma("quick_check") != "ok"
        except (apsw.CorruptError, apsw.NotADBError):
            damaged = True
        if damaged:
            self._connection.close(True)
            put_aside(self._path)
            self._connection = _opened(self._path)

    def close(self) -> None:
        """Let go of the file; the holds stay until they expire."""
        self._connection.close()

    def _one(self, statement: str, values: tuple[str | float, ...]) -> int | None:
        try:
            # To the end: only then it is committed.
            rows: list[tuple[Any, ...]] = self._connection.execute(statement, values).fetchall()
        except apsw.Error as error:
            raise DatabaseError(f"leases: {error}") from error
        return int(rows[0][0]) if rows else None


def _opened(path: Path) -> apsw.Connection:
    connection = open_database(
        path,
        {"": _MIGRATIONS},
        policy=OpenPolicy.REPLACE,
        durability=Durability.OFF,
        cache_kib=1024,
        checkpoint_pages=_LOG_PAGES,
        first=lambda connection: _reserve_space(connection, path),
    )
    connection.set_busy_timeout(_BUSY_MILLISECONDS)
    return connection


def _reserve_space(connection: apsw.Connection, path: Path) -> None:
    """Make the write-ahead log as long as it ever gets, so that leases can be given back when the disk is full."""
    log = log_of(path)
    if log.exists() and log.stat().st_size >= _LOG_OCTETS:
        return
    # Three transactions: what is made and dropped in one never reaches the log. The name is this process's own.
    table = f"filler_{os.getpid()}"
    with contextlib.suppress(apsw.FullError):
        connection.execute(f"CREATE TABLE IF NOT EXISTS {table} (octets BLOB)")
        connection.execute(f"INSERT INTO {table} VALUES (randomblob(?))", (_LOG_OCTETS,))
        connection.execute(f"DROP TABLE {table}")
