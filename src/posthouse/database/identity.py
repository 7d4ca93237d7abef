"""Which data folder a database belongs to, and how often a server has started on it.

The same two values stand in each of the folder's databases that must not be lost, and in a file beside them. Parts of
different folders, or of different times, give themselves away by them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from posthouse.database.connection import connect
from posthouse.database.errors import DatabaseGoneError
from posthouse.database.migrations import Steps, check_schema, schema_version
from posthouse.database.opening import translated

STORE_OCTETS = 16

# At most one row; none in a directory that no folder has taken in yet.
TABLE = "CREATE TABLE store (id BLOB NOT NULL, generation INTEGER NOT NULL)"


@dataclass(frozen=True, slots=True)
class Identity:
    """What a database says of itself. `generation`: of the last start that began; 0 before the first one."""

    store: bytes
    generation: int


def inspect(path: Path, rooms: Mapping[str, Steps]) -> Identity | None:
    """The identity in a database that this version can use; None when it has none yet. Changes nothing.

    Raises DatabaseUnusableError and its kinds, apsw.Error.
    """
    with translated(path):
        connection = connect(path, create=False)
        try:
            check_schema(connection, rooms)
            if not schema_version(connection):
                raise DatabaseGoneError(path, "is empty")
            return read_identity(connection)
        finally:
            connection.close()


def read_identity(connection: apsw.Connection) -> Identity | None:
    """The identity in an open database."""
    if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'store'").get:
        return None
    rows: list[Any] = connection.execute("SELECT id, generation FROM store").fetchall()
    return Identity(*rows[0]) if rows else None


def write_identity(connection: apsw.Connection, identity: Identity) -> None:
    """Give a database its identity. One transaction, durable when it returns."""
    with connection:
        connection.execute("DELETE FROM store")
        connection.execute("INSERT INTO store (id, generation) VALUES (?, ?)", (identity.store, identity.generation))
