"""Which data folder a database belongs to, and how often a server has started on it.

The same two values stand in each of the folder's databases that must not be lost, and in a file beside them. Parts of
different folders, or of different times, give themselves away by them.
"""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from posthouse.database.connection import connect, has_log, keep_log
from posthouse.database.errors import DatabaseError, DatabaseFullError, DatabaseGoneError, ForeignLogError
from posthouse.database.migrations import Steps, check_schema, schema_version
from posthouse.database.opening import (
    check_all_pages,
    check_filled,
    open_database,
    open_existing_reader,
    translate_errors,
)

STORE_OCTETS = 16

# At most one row; none in a directory that no folder has taken in yet.
TABLE = "CREATE TABLE store (id BLOB NOT NULL, generation INTEGER NOT NULL)"


@dataclass(frozen=True, slots=True)
class Identity:
    """What a database says of itself. `generation`: of the last start that began; 0 before the first one."""

    store: bytes
    generation: int


def inspect(path: Path, rooms: Mapping[str, Steps], *, thorough: bool = False) -> Identity | None:
    """The identity in a database that this version can use; None when it has none yet. Changes nothing.

    `thorough`: all of the file is read. Raises DatabaseError, DatabaseUnusableError and its kinds.
    """
    with _translate_other_errors(path), translate_errors(path):
        check_filled(path)
        logged, below = has_log(path), _without_log(path)
        connection = connect(path, create=False)
        try:
            if logged:
                keep_log(connection)
            check_schema(connection, rooms)
            if not schema_version(connection):
                raise DatabaseGoneError(path, "is empty")
            found = read_identity(connection)
            if below is not None and found is not None and below.store != found.store:
                raise ForeignLogError(path, f"and {path.name}-wal belong to different mail stores")
            # A file of an earlier time under a later log is most often no sound tree any more.
            if thorough or (below is not None and below != found):
                check_all_pages(connection)
            return found
        finally:
            connection.close()


def is_outdated(path: Path, rooms: Mapping[str, Steps]) -> bool:
    """Whether an earlier version made the tables. Changes nothing. Raises DatabaseError."""
    with _translate_other_errors(path), translate_errors(path), closing(open_existing_reader(path)) as connection:
        return any(schema_version(connection, room) < len(steps) for room, steps in rooms.items())


def _without_log(path: Path) -> Identity | None:
    """What the file itself has; None without a log, or during a checkpoint."""
    if not has_log(path):
        return None
    try:
        uri = f"{path.absolute().as_uri()}?immutable=1"
        with closing(apsw.Connection(uri, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)) as connection:
            return read_identity(connection)
    except apsw.Error:
        return None


def read_identity(connection: apsw.Connection) -> Identity | None:
    """The identity in an open database."""
    if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'store'").get:
        return None
    rows: list[Any] = connection.execute("SELECT id, generation FROM store").fetchall()
    return Identity(*rows[0]) if rows else None


def write_identity(connection: apsw.Connection, identity: Identity) -> None:
    """Give a database its identity; a transaction of its own unless one is open."""
    with connection:
        connection.execute("DELETE FROM store")
        connection.execute("INSERT INTO store (id, generation) VALUES (?, ?)", (identity.store, identity.generation))


def set_identity(path: Path, rooms: Mapping[str, Steps], identity: Identity) -> None:
    """Write the identity into a database that is there; durable when it returns. Raises DatabaseError."""
    with _opened(path, rooms) as connection:
        if read_identity(connection) != identity:
            write_identity(connection, identity)


def claim_identity(path: Path, rooms: Mapping[str, Steps], store: bytes) -> Identity:
    """The identity of a database that is there; one without any gets `store`. Raises DatabaseError."""
    with _opened(path, rooms) as connection:
        connection.transaction_mode = "IMMEDIATE"
        with connection:
            found = read_identity(connection) or Identity(store, 0)
            write_identity(connection, found)
        return found


@contextmanager
def _opened(path: Path, rooms: Mapping[str, Steps]) -> Iterator[apsw.Connection]:
    with _translate_other_errors(path), closing(open_database(path, rooms)) as connection:
        yield connection


@contextmanager
def _translate_other_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except apsw.FullError as error:
        raise DatabaseFullError(f"{path}: no space left") from error
    except (apsw.Error, OSError) as error:
        raise DatabaseError(f"{path}: {error}") from error
