"""The counters of what accounts send, in a file that may be lost with the machine."""

from collections.abc import Sequence

import apsw
import msgspec

from posthouse.accounts.allowance import PERIOD
from posthouse.accounts.errors import DirectoryBusyError
from posthouse.database.migrations import migrate

_ROOM = "allowance"
_MIGRATIONS = (
    """
    CREATE TABLE sent (account INTEGER NOT NULL, at INTEGER NOT NULL);
    CREATE INDEX sent_by_account ON sent (account, at);
    CREATE TABLE met (              -- whom an account has written to, and when it first did
        account INTEGER NOT NULL,
        recipient BLOB NOT NULL,    -- hash of the address, 8 bytes
        at INTEGER NOT NULL,
        PRIMARY KEY (account, recipient)
    ) WITHOUT ROWID;
    CREATE INDEX met_by_time ON met (account, at);
    """,
)
MAX_MET = 100_000  # of one account; the oldest are forgotten first


class SqliteAllowanceRows:
    """See AllowanceRows. Raises DirectoryBusyError when the file cannot be used."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        migrate(connection, _MIGRATIONS, room=_ROOM)

    def sent(self, account: int, since: int) -> list[int]:
        """See AllowanceRows."""
        return self._times("SELECT at FROM sent WHERE account = ? AND at > ? ORDER BY at", account, since)

    def met(self, account: int, since: int) -> list[int]:
        """See AllowanceRows."""
        return self._times("SELECT at FROM met WHERE account = ? AND at > ? ORDER BY at", account, since)

    def strangers(self, account: int, recipients: Sequence[bytes]) -> set[bytes]:
        """See AllowanceRows."""
        wanted = msgspec.json.encode([each.hex() for each in recipients]).decode()
        statement = (
            "SELECT recipient FROM met WHERE account = ? AND hex(recipient) IN (SELECT upper(value) FROM json_each(?))"
        )
        try:
            known = {bytes(row[0]) for row in self._connection.execute(statement, (account, wanted)).fetchall()}  # type: ignore[arg-type]
        except apsw.Error as error:
            raise DirectoryBusyError(f"the counters of sent mail cannot be read: {error}") from error
        return set(recipients) - known

    def add(self, account: int, recipients: Sequence[bytes], now: int) -> None:
        """See AllowanceRows."""
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                connection.execute("INSERT INTO sent VALUES (?, ?)", (account, now))
                connection.execute("DELETE FROM sent WHERE account = ? AND at <= ?", (account, now - PERIOD))
                rows = [(account, each, now) for each in recipients]
                connection.executemany("INSERT OR IGNORE INTO met VALUES (?, ?, ?)", rows)
                connection.execute(
                    "DELETE FROM met WHERE account = ?1 AND at < "
                    "(SELECT at FROM met WHERE account = ?1 ORDER BY at DESC LIMIT 1 OFFSET ?2)",
                    (account, MAX_MET),
                )
            finally:
                connection.execute("COMMIT")
        except apsw.Error as error:
            raise DirectoryBusyError(f"the counters of sent mail cannot be written: {error}") from error

    def _times(self, statement: str, account: int, since: int) -> list[int]:
        try:
            return [int(row[0]) for row in self._connection.execute(statement, (account, since)).fetchall()]  # type: ignore[arg-type]
        except apsw.Error as error:
            raise DirectoryBusyError(f"the counters of sent mail cannot be read: {error}") from error
