"""Opens SQLite connections, all in the same manner: WAL, an explicit durability, waiting instead of failing."""

import os
import time
from enum import StrEnum
from pathlib import Path

import apsw

STATEMENT_CACHE = 256  # prepared statements kept per connection; multi-row inserts come in several lengths
BUSY_MILLISECONDS = 10_000
LOG_OCTETS = 64 * 1024 * 1024  # a log that a long reader has made longer is cut back to this
_PAUSE = 0.005  # seconds


class Durability(StrEnum):
    """PRAGMA synchronous. In WAL mode FULL syncs at every commit; NORMAL only keeps the file sound; OFF never syncs."""

    FULL = "FULL"
    NORMAL = "NORMAL"
    OFF = "OFF"


def open_connection(
    path: Path, *, durability: Durability = Durability.FULL, cache_kib: int = 4096, checkpoint_pages: int = 4000
) -> apsw.Connection:
    """A connection that may write. A missing file is made, for its owner's eyes only. Raises apsw.Error, OSError.

    `cache_kib` bounds the page cache. `checkpoint_pages` is how long the log grows before a commit folds it in.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = apsw.Connection(str(path), statementcachesize=STATEMENT_CACHE)
    connection.set_busy_timeout(BUSY_MILLISECONDS)
    _use_wal(connection)
    connection.pragma("synchronous", durability.value)
    connection.pragma("cache_size", -cache_kib)
    connection.pragma("wal_autocheckpoint", checkpoint_pages)
    connection.pragma("journal_size_limit", LOG_OCTETS)
    connection.pragma("temp_store", 2)  # in memory: a full disk must not stop a sort
    return connection


def _use_wal(connection: apsw.Connection) -> None:
    """SQLite does not wait here when another process changes the mode of a new file at this very moment: we do."""
    deadline = time.monotonic() + BUSY_MILLISECONDS / 1000
    while True:
        try:
            connection.pragma("journal_mode", "WAL")
        except apsw.BusyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE)
        else:
            return


def open_reader(path: Path, *, cache_kib: int = 4096) -> apsw.Connection:
    """A connection that refuses to write, to a file that is there. Raises apsw.Error.

    It is opened for writing nevertheless: a reader takes part in the WAL's shared memory and may have to recover it.
    """
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, statementcachesize=STATEMENT_CACHE)
    connection.set_busy_timeout(BUSY_MILLISECONDS)
    connection.pragma("query_only", True)
    connection.pragma("cache_size", -cache_kib)
    connection.pragma("temp_store", 2)
    return connection
