"""Opens directory.db."""

import os
from pathlib import Path

import apsw

from posthouse.accounts.sqlite.schema import MIGRATIONS

PATIENCE = 10_000  # milliseconds a change waits for another's; look-ups wait for nobody (WAL)


def open_directory(path: Path) -> apsw.Connection:
    """A connection to a directory that is there and up to date. Raises apsw.Error, OSError."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # hashes: not for others' eyes
    connection = apsw.Connection(str(path))
    connection.set_busy_timeout(PATIENCE)
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    connection.execute("PRAGMA synchronous = FULL").fetchall()
    _migrate(connection)
    return connection


def _migrate(connection: apsw.Connection) -> None:
    if connection.pragma("user_version") == len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = connection.pragma("user_version")
        for number, statements in enumerate(MIGRATIONS[version:], version + 1):
            connection.execute(statements).fetchall()
            connection.execute(f"PRAGMA user_version = {number}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
