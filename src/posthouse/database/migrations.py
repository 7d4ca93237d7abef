"""Brings a database up to the schema this program knows: numbered steps, forwards only, each done once.

The version stands in the file (PRAGMA user_version) and changes in the transaction of its step, so a crash leaves
the old or the new schema. Two processes that start at once take turns: the write transaction is the lock.
"""

from collections.abc import Sequence

import apsw

from posthouse.database.errors import SchemaTooNewError


def migrate(connection: apsw.Connection, steps: Sequence[str]) -> int:
    """Run the steps that are missing, in one transaction; how many. Raises SchemaTooNewError, apsw.Error."""
    if _version(connection) == len(steps):
        return 0
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _version(connection)  # another process may have been first
        if version > len(steps):
            raise SchemaTooNewError(f"schema {version} is newer than this program's {len(steps)}")
        for step in steps[version:]:
            connection.execute(step).fetchall()
        connection.pragma("user_version", len(steps))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return len(steps) - version


def _version(connection: apsw.Connection) -> int:
    return int(connection.pragma("user_version"))
