"""What is remembered of destinations, in a small file of its own, for which the same promises need not hold."""

from pathlib import Path
from typing import Any

import apsw

from posthouse.database.connection import Durability
from posthouse.database.opening import OpenPolicy, open_database
from posthouse.queue.destinations import KnownPolicy, TlsResult

_MIGRATIONS = (
    """
    CREATE TABLE policy (domain TEXT PRIMARY KEY, id TEXT NOT NULL, text BLOB NOT NULL, fetched INTEGER NOT NULL)
        WITHOUT ROWID;
    CREATE TABLE valid (domain TEXT NOT NULL, host TEXT NOT NULL, seen INTEGER NOT NULL, PRIMARY KEY (domain, host))
        WITHOUT ROWID;
    CREATE TABLE result (
        day INTEGER NOT NULL, domain TEXT NOT NULL, policy TEXT NOT NULL, host TEXT NOT NULL, result TEXT NOT NULL,
        count INTEGER NOT NULL, PRIMARY KEY (day, domain, policy, host, result)
    ) WITHOUT ROWID;
    """,
)
_BUSY_MILLISECONDS = 200  # that the event loop may wait for another process; then the knowledge is not worth it
_RESULT_DAYS = 14
_POLICY_DAYS = 366  # RFC 8461 3.2: none holds longer than a year
_VALID_DAYS = 2 * 366  # longer than anybody has them remembered
_DAY = 86400
_ADD = "INSERT INTO result VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count"


class SqliteDestinations:
    """See Destinations. Its statements take microseconds: they run on the event loop."""

    def __init__(self, path: Path) -> None:
        # In a WAL NORMAL syncs once in many commits, and a power cut may take the last of them but not the file.
        # Without any sync it may take the file: every host could again be had with a worse certificate than before.
        self._connection = open_database(
            path, {"": _MIGRATIONS}, policy=OpenPolicy.REPLACE, durability=Durability.NORMAL, cache_kib=1024
        )
        self._connection.set_busy_timeout(_BUSY_MILLISECONDS)

    def policy(self, domain: str) -> KnownPolicy | None:
        """See Destinations."""
        for row in self._rows("SELECT id, text, fetched FROM policy WHERE domain = ?", domain):
            return KnownPolicy(row[0], bytes(row[1]), row[2])
        return None

    def keep_policy(self, domain: str, policy: KnownPolicy) -> None:
        """See Destinations."""
        statement = "INSERT OR REPLACE INTO policy VALUES (?, ?, ?, ?)"
        self._rows(statement, domain, policy.id, policy.text, policy.fetched)

    def valid_since(self, domain: str, host: str) -> int:
        """See Destinations."""
        for row in self._rows("SELECT seen FROM valid WHERE domain = ? AND host = ?", domain, host):
            return int(row[0])
        return 0

    def keep_valid(self, domain: str, host: str, now: int) -> None:
        """See Destinations."""
        self._rows("INSERT OR REPLACE INTO valid VALUES (?, ?, ?)", domain, host, now)

    def add_results(self, results: list[TlsResult]) -> bool:
        """See Destinations."""
        rows = [(each.day, each.domain, each.policy, each.host, each.result, each.count) for each in results]
        try:
            with self._connection:  # one transaction
                self._connection.executemany(_ADD, rows)
        except apsw.Error:
            return False
        return True

    def results(self, day: int) -> list[TlsResult]:
        """See Destinations."""
        return [TlsResult(*row) for row in self._rows("SELECT * FROM result WHERE day = ?", day)]

    def tidy(self, now: int) -> None:
        """See Destinations."""
        self._rows("DELETE FROM policy WHERE fetched < ?", now - _POLICY_DAYS * _DAY)
        self._rows("DELETE FROM valid WHERE seen < ?", now - _VALID_DAYS * _DAY)
        self._rows("DELETE FROM result WHERE day < ?", now // _DAY - _RESULT_DAYS)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def _rows(self, statement: str, *values: str | int | bytes) -> list[Any]:
        try:
            return self._connection.execute(statement, values).fetchall()
        except apsw.Error:
            return []
