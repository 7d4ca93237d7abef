"""Brings a database up to the schema this program knows: numbered steps, forwards only, each done once.

Each room that has tables in a file counts its own steps. The count changes in the transaction of the step, so a crash
leaves the old or the new schema. Two processes that start at once take turns: the write transaction is the lock.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import apsw

from posthouse.database.errors import SchemaTooNewError
from posthouse.database.sqlite_transaction import transaction

Steps = Sequence[str]

_COUNTS = "CREATE TABLE IF NOT EXISTS schema_version (room TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID"


def migrate(connection: apsw.Connection, steps: Steps, *, room: str = "") -> int:
    """Run the steps that are missing, in one transaction; how many. Raises SchemaTooNewError, apsw.Error.

    `room` names whose tables they are; the owner of the file itself has none.
    """
    if schema_version(connection, room) == len(steps):
        return 0
    check_schema(connection, {room: steps})
    with transaction(connection):
        check_schema(connection, {room: steps})  # another process may have been first
        version = schema_version(connection, room)
        for step in steps[version:]:
            connection.execute(step).fetchall()
        _note(connection, room, len(steps))
    return len(steps) - version


def check_schema(connection: apsw.Connection, rooms: Mapping[str, Steps]) -> None:
    """Raise SchemaTooNewError when a room's tables are of a later version than this program's. Reads only."""
    for room, steps in rooms.items():
        version = schema_version(connection, room)
        if version > len(steps):
            of = f" of {room}" if room else ""
            what = f"is of a newer version of Posthouse (schema {version}{of}, this one knows {len(steps)})"
            raise SchemaTooNewError(Path(connection.filename), what)


def schema_version(connection: apsw.Connection, room: str = "") -> int:
    """How many steps of a room were done in this file."""
    if not room:
        return int(connection.pragma("user_version"))
    if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'schema_version'").get:
        return 0
    return int(connection.execute("SELECT version FROM schema_version WHERE room = ?", (room,)).get or 0)


def _note(connection: apsw.Connection, room: str, version: int) -> None:
    if not room:
        connection.pragma("user_version", version)
        return
    connection.execute(_COUNTS)
    connection.execute("INSERT OR REPLACE INTO schema_version VALUES (?, ?)", (room, version))
