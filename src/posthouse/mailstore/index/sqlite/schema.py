"""The file `index.db`: its tables, and how it is made, opened and thrown away.

A file of another version, or one that is damaged, is removed and created again. The processes take turns at that. Each
file has a name of its own inside (its application_id), so that a process that finds its file damaged sees whether
another one has replaced it already. One that still uses a file that was removed may go on: it is complete in itself.
"""

import contextlib
import logging
import os
import secrets
from pathlib import Path
from typing import NamedTuple

import apsw

from posthouse.database.connection import Durability, files_of, open_connection, open_reader
from posthouse.database.locks import FileLock
from posthouse.database.sqlite_transaction import transaction
from posthouse.mailstore.interface import StoreError, StoreFullError

# To be raised when the tables change, or what message.text makes of a message.
VERSION = 3

_PAGE_OCTETS = 16 * 1024  # several messages' texts on a page
_LOG_PAGES = 1000  # after which it is checkpointed
_SCHEMA = f"""
    -- id: the account's number in the upper bits, the message id in the lower ones; those of an account lie together.
    CREATE TABLE shown (id INTEGER PRIMARY KEY, envelope BLOB, structure BLOB, preview BLOB);
    CREATE TABLE sorting (
        id INTEGER PRIMARY KEY, sent INTEGER, sent_day INTEGER, is_reply INTEGER, base_subject TEXT, sort_from TEXT,
        sort_to TEXT, sort_cc TEXT, show_from TEXT, show_to TEXT, message_id TEXT, refs TEXT);
    CREATE TABLE field (id INTEGER PRIMARY KEY, subject BLOB, "from" BLOB, "to" BLOB, cc BLOB, bcc BLOB);
    CREATE TABLE text (id INTEGER PRIMARY KEY, header BLOB, parts BLOB, body BLOB);
    CREATE TABLE account (
        number INTEGER PRIMARY KEY AUTOINCREMENT,  -- small, as ids of accounts are not; never given twice
        account_id INTEGER NOT NULL UNIQUE,
        modseq INTEGER NOT NULL DEFAULT 0);  -- up to which the indexer took care of all
    PRAGMA user_version = {VERSION};
"""
TABLES = ("shown", "sorting", "field", "text")


class Opened(NamedTuple):
    """Connections to one file, all to the same one."""

    name: int  # of the file
    writer: apsw.Connection
    readers: tuple[apsw.Connection, ...]


def open_file(path: Path, readers: int, *, spoilt: int | None = None) -> Opened:
    """Open the file; create it again when it is missing, damaged, of another version or `spoilt` (an Opened.name).

    Raises apsw.Error, OSError.
    """
    lock = FileLock(path.with_name(path.name + ".lock"))
    try:
        with lock:
            if _name(path) in (None, spoilt):
                if path.exists():  # not put aside: it may be as large as the mail, and all of it can be had again
                    logging.getLogger(__name__).warning("%s is damaged or of another version; created again", path)
                _remove(path)
                _begin(path)
            return _connect(path, readers)
    finally:
        lock.close()


def prepare(path: Path) -> None:
    """Have a file that can be used, before the processes that use it start. Raises StoreError."""
    close(opened(path, 0))


def opened(path: Path, readers: int, *, spoilt: int | None = None) -> Opened:
    """As open_file(), but raises StoreError, StoreFullError."""
    try:
        return open_file(path, readers, spoilt=spoilt)
    except (apsw.Error, OSError) as error:
        kind = StoreFullError if isinstance(error, apsw.FullError) else StoreError
        raise kind(f"the index {path} cannot be opened: {error}") from error


def close(opened: Opened) -> None:
    """Close all connections."""
    for connection in (*opened.readers, opened.writer):
        connection.close()


def is_damage(error: BaseException | None) -> bool:
    """Whether the error means that the file cannot be used any more."""
    lost = isinstance(error, apsw.SQLError) and "no such table" in str(error)  # it was emptied
    return lost or isinstance(error, (apsw.CorruptError, apsw.NotADBError))


def _name(path: Path) -> int | None:
    """The file's own name, if it looks like an index of this version. Damage further in shows when it is read."""
    if not path.exists():
        return None
    try:
        with contextlib.closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)) as connection:
            is_ours = connection.pragma("user_version") == VERSION
            return int(connection.pragma("application_id")) if is_ours else None
    except (apsw.CorruptError, apsw.NotADBError):
        return None


def _begin(path: Path) -> None:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    with contextlib.closing(apsw.Connection(str(path))) as connection:
        connection.pragma("synchronous", 0)
        connection.pragma("page_size", _PAGE_OCTETS)
        connection.pragma("application_id", 1 + secrets.randbelow((1 << 31) - 1))
        with transaction(connection):
            connection.execute(_SCHEMA).fetchall()


def _connect(path: Path, readers: int) -> Opened:
    with contextlib.ExitStack() as undo:
        # NORMAL: the file is whole after a power failure, but the last of it may be lost.
        writer = open_connection(path, durability=Durability.NORMAL, cache_kib=8192, checkpoint_pages=_LOG_PAGES)
        undo.callback(writer.close)
        connections = tuple(open_reader(path) for _ in range(readers))
        for connection in connections:
            undo.callback(connection.close)
        names = {int(each.pragma("application_id")) for each in (writer, *connections)}  # opens the log, too
        assert len(names) == 1
        undo.pop_all()
        return Opened(names.pop(), writer, connections)


def _remove(path: Path) -> None:
    for file in files_of(path):
        file.unlink(missing_ok=True)
