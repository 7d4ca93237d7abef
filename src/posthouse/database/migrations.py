"""Brings a database up to the schema this program knows: numbered steps, forwards only, each done once.

Each room that has tables in a file counts its own steps. The count changes in the transaction of the step, so a crash
leaves the old or the new schema. Two processes that start at once take turns: the write transaction is the lock.
"""

from collections.abc import Sequence

import apsw

from posthouse.database.errors import SchemaTooNewError

_COUNTS = "CREATE TABLE IF NOT EXISTS schema_version (room TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID"


def migrate(connection: apsw.Connection, steps: Sequence[str], *, room: str = "") -> int:
    """Run the steps that are missing, in one transaction; how many. Raises SchemaTooNewError, apsw.Error.

    `room` names whose tables they are; the owner of the file itself has none.
    """
    if _version(connection, room) == len(steps):
        return 0
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _version(connection, room)  # another process may have been first
        if version > len(steps):
            raise SchemaTooNewError(f"schema {version} is newer than this program's {len(steps)}")
        for step in steps[version:]:
            connection.execute(step).fetchall()
        _note(connection, room, len(steps))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return len(steps) - version


def _version(connection: apsw.Connection, room: str) -> int:
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
