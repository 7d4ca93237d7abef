"""Digests of passwords that were found right, as rows of the volatile database, shared by all worker processes.

Rows of another key are of no use to anybody and are removed when a server starts (keep_rows_of).
"""

import contextlib
from hashlib import blake2b

import apsw

from posthouse.database.migrations import migrate
from posthouse.database.sqlite_transaction import transaction

VERIFIED_PASSWORDS = "verified passwords"
MIGRATIONS = (
    """
    CREATE TABLE verified_passwords (
        fingerprint BLOB PRIMARY KEY,  -- 16 octets under a key that does not stand here
        until REAL NOT NULL            -- seconds since 1970
    ) WITHOUT ROWID;
    CREATE INDEX verified_passwords_by_age ON verified_passwords (until);
    CREATE TABLE verified_passwords_key (mark BLOB NOT NULL);  -- one row: which key, and nothing of it
    """,
)
_SWEEP_EVERY = 256  # writes of this process


class SqliteVerifiedPasswordRows:
    """See VerifiedPasswordRows. Belongs to the event loop's thread."""

    def __init__(self, connection: apsw.Connection, *, bound: int = 100_000) -> None:
        """`bound`: rows that survive a sweep."""
        self._connection = connection
        self._bound = bound
        self._writes = 0
        migrate(connection, MIGRATIONS, room=VERIFIED_PASSWORDS)

    def until(self, fingerprint: bytes) -> float | None:
        """See VerifiedPasswordRows."""
        statement = "SELECT until FROM verified_passwords WHERE fingerprint = ?"
        try:
            found = self._connection.execute(statement, (fingerprint,)).get
        except apsw.Error:
            return None
        return found if isinstance(found, float) else None

    def add(self, fingerprint: bytes, until: float, now: float) -> None:
        """See VerifiedPasswordRows. Some 20 us: it follows a hash of 20 ms."""
        with contextlib.suppress(apsw.Error):
            self._connection.execute("INSERT OR REPLACE INTO verified_passwords VALUES (?, ?)", (fingerprint, until))
            self._writes += 1
            if self._writes % _SWEEP_EVERY == 0:
                self._sweep(now)

    def _sweep(self, now: float) -> None:
        self._connection.execute("DELETE FROM verified_passwords WHERE until <= ?", (now,))
        over = self._connection.execute("SELECT count(*) FROM verified_passwords").get - self._bound
        if over > 0:
            self._connection.execute(
                "DELETE FROM verified_passwords WHERE fingerprint IN"
                " (SELECT fingerprint FROM verified_passwords ORDER BY until LIMIT ?)",
                (over,),
            )


def keep_rows_of(connection: apsw.Connection, key: bytes, now: float) -> None:
    """Remove what was written under another key, or has ended. Before the workers start. Raises apsw.Error."""
    migrate(connection, MIGRATIONS, room=VERIFIED_PASSWORDS)
    mark = blake2b(b"which key", digest_size=16, key=key, person=b"verified").digest()
    if connection.execute("SELECT mark FROM verified_passwords_key").get == mark:
        connection.execute("DELETE FROM verified_passwords WHERE until <= ?", (now,))
        return
    with transaction(connection):
        connection.execute("DELETE FROM verified_passwords; DELETE FROM verified_passwords_key")
        connection.execute("INSERT INTO verified_passwords_key VALUES (?)", (mark,))
