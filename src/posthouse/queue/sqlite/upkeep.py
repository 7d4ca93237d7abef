"""Forgets what was settled long ago, and counts what is left.

Every function runs inside one transaction that its caller has opened. Times are in seconds since 1970.
"""

import apsw

from posthouse.queue.sqlite.rows import fetch_all

KEPT_SECONDS = 7 * 86400  # settled messages, to be traced
_PURGED_AT_ONCE = 500


def purge(connection: apsw.Connection, now: int) -> int:
    """Forget messages that were settled a week ago, some at a time; how many."""
    old = connection.execute(
        "SELECT number FROM queued WHERE settled IS NOT NULL AND settled < ? LIMIT ?",
        (now - KEPT_SECONDS, _PURGED_AT_ONCE),
    ).fetchall()
    for table in ("queued", "queued_recipient", "attempt"):
        connection.executemany(f"DELETE FROM {table} WHERE number = ?", old)
    return len(old)


def needed_bodies(connection: apsw.Connection) -> set[int]:
    """The bodies that recipients still wait for."""
    return {body for (body,) in fetch_all(connection, "SELECT body FROM queued WHERE waiting > 0", ())}


def waiting_count(connection: apsw.Connection) -> int:
    """How many recipients wait, held ones too."""
    return int(connection.execute("SELECT count(*) FROM queued_recipient WHERE state = 0").get)
