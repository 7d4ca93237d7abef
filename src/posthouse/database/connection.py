"""Opens SQLite connections, all in the same manner: WAL, an explicit durability, waiting instead of failing."""

import contextlib
import errno
import os
import stat
import time
from enum import StrEnum
from pathlib import Path

import apsw

STATEMENT_CACHE = 256  # prepared statements kept per connection; multi-row inserts come in several lengths
BUSY_MILLISECONDS = 10_000
PAGE_OCTETS = 2048  # of new files: a commit writes whole pages, and most of its rows are short (decision 040)
LOG_OCTETS = 64 * 1024 * 1024  # a log that a long reader has made longer is cut back to this
_PAUSE = 0.005  # seconds


class Durability(StrEnum):
    """PRAGMA synchronous. In WAL mode FULL syncs at every commit; NORMAL only keeps the file sound; OFF never syncs."""

    FULL = "FULL"
    NORMAL = "NORMAL"
    OFF = "OFF"


def open_connection(
    path: Path,
    *,
    durability: Durability = Durability.FULL,
    cache_kib: int = 4096,
    checkpoint_pages: int = 8000,
    create: bool = True,
) -> apsw.Connection:
    """A connection that may write; see open_database() for one whose tables are known to be there.

    With `create` a missing file is made, for its owner's eyes only; else that is a FileNotFoundError.
    `cache_kib` bounds the page cache. `checkpoint_pages` is how long the log grows before a commit checkpoints it.
    Raises apsw.Error, OSError.
    """
    connection = connect(path, create=create)
    try:
        configure(connection, durability=durability, cache_kib=cache_kib, checkpoint_pages=checkpoint_pages)
    except BaseException:
        connection.close()
        raise
    return connection


def connect(path: Path, *, create: bool) -> apsw.Connection:
    """Connect to a file and change nothing in it; with `create` it is made when it is missing.

    Raises apsw.Error, OSError.
    """
    if not create or path.exists():
        check_usable(path)
    else:
        with contextlib.suppress(FileExistsError):  # another process was quicker
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, statementcachesize=STATEMENT_CACHE)
    connection.set_busy_timeout(BUSY_MILLISECONDS)
    if create:
        connection.pragma("page_size", PAGE_OCTETS)  # a file that has pages keeps theirs
    return connection


def keep_log(connection: apsw.Connection) -> None:
    """Leave the log beside the file when this is the last connection that is closed.

    SQLite checkpoints and removes it then. A process that only reads must not do so: the log may be of another file,
    whose latest commits would be lost with it.
    """
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)


def log_of(path: Path) -> Path:
    """The write-ahead log of a database."""
    return path.with_name(path.name + "-wal")


def files_of(path: Path) -> tuple[Path, ...]:
    """A database and what SQLite may keep beside it; any of them may be missing."""
    return (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm", "-journal")))


def has_log(path: Path) -> bool:
    """Whether there are commits beside the file that may not be in it yet. Raises OSError."""
    try:
        return log_of(path).stat().st_size > 0
    except FileNotFoundError:
        return False


def check_usable(path: Path) -> None:
    """Say with the system's own error why a file cannot be used. SQLite says "unable to open" for all of them.

    The file is not opened: closing it would end this process's locks on it, those of SQLite's as well. Raises OSError.
    """
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not os.access(path, os.R_OK | os.W_OK):
        read_only = os.access(path, os.R_OK) and os.statvfs(path).f_flag & os.ST_RDONLY
        number = errno.EROFS if read_only else errno.EACCES
        raise OSError(number, os.strerror(number), str(path))


def configure(connection: apsw.Connection, *, durability: Durability, cache_kib: int, checkpoint_pages: int) -> None:
    """Set up a connection that writes."""
    _use_wal(connection)
    connection.pragma("synchronous", durability.value)
    connection.pragma("cache_size", -cache_kib)
    connection.pragma("wal_autocheckpoint", checkpoint_pages)
    connection.pragma("journal_size_limit", LOG_OCTETS)
    connection.pragma("temp_store", 2)  # in memory: a full disk must not stop a sort


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


def open_reader(path: Path, *, cache_kib: int = 4096, checkpoint: bool = False) -> apsw.Connection:
    """A connection that refuses to write, to a file that is there. Raises apsw.Error.

    It is opened for writing nevertheless: a reader takes part in the WAL's shared memory and may have to recover it.
    `checkpoint`: when it is the last one that is closed, it checkpoints, as one that writes does.
    """
    keep = not checkpoint and has_log(path)
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, statementcachesize=STATEMENT_CACHE)
    connection.set_busy_timeout(BUSY_MILLISECONDS)
    connection.pragma("query_only", True)
    if keep:
        keep_log(connection)
    connection.pragma("cache_size", -cache_kib)
    connection.pragma("temp_store", 2)
    return connection
