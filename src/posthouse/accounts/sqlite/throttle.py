"""The throttle's counters as rows of the volatile database, shared by all worker processes.

That file is written without waiting for the disk: a power cut may forget failures, nothing else. Rows are bounded in
number; the ones that expire first go first.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import apsw

from posthouse.accounts.throttle import KNOWN_NETWORK_SECONDS, Charge, Count, ThrottleUnavailableError
from posthouse.database.migrations import migrate
from posthouse.database.sqlite_transaction import transaction

THROTTLE = "throttle"
MIGRATIONS = (
    # Files of the first versions have these tables without a count of steps.
    """
    CREATE TABLE IF NOT EXISTS login_failures (
        key BLOB PRIMARY KEY, failures INTEGER NOT NULL, until REAL NOT NULL, expires REAL NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS login_failures_by_age ON login_failures (expires);
    CREATE TABLE IF NOT EXISTS login_homes (key BLOB PRIMARY KEY, expires REAL NOT NULL) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS login_homes_by_age ON login_homes (expires);
    """,
)
_SWEEP_EVERY = 256  # writes of this process
_LONGEST = KNOWN_NETWORK_SECONDS + 86_400.0  # seconds that any row may last, and a day for clocks that are set right
_COUNTS = [
    f"SELECT key, failures, until FROM login_failures WHERE key IN ({','.join('?' * number)})" for number in range(4)
]


class SqliteThrottleRows:
    """See ThrottleRows. Its methods raise ThrottleUnavailableError. `connection` is this object's alone."""

    def __init__(self, connection: apsw.Connection, *, bound: int = 100_000) -> None:
        """`bound`: rows of each table that survive a sweep."""
        self._connection = connection
        self._bound = bound
        self._writes = 0
        migrate(connection, MIGRATIONS, room=THROTTLE)
        self._ask: Callable[..., Any] = connection.cursor().execute

    def counts(self, keys: Sequence[bytes]) -> dict[bytes, Count]:
        """See ThrottleRows."""
        try:  # not _translate_errors(): this stands on the path of every login
            rows = self._ask(_COUNTS[len(keys)], keys).fetchall()
        except apsw.Error as error:
            raise ThrottleUnavailableError(str(error)) from error
        return {key: Count(failures, until) for key, failures, until in rows} if rows else {}

    def charge(self, charges: Sequence[Charge], now: float) -> None:
        """See ThrottleRows."""
        with self._writing(now):
            for charge in charges:
                row = self._ask("SELECT failures, expires FROM login_failures WHERE key = ?", (charge.key,)).fetchall()
                failures = row[0][0] + 1 if row and charge.limit.counts_still(row[0][1], now) else 1
                until = now + charge.limit.delay(failures)
                self._ask(
                    "INSERT OR REPLACE INTO login_failures VALUES (?, ?, ?, ?)",
                    (charge.key, failures, until, until + charge.limit.forget),
                )

    def forgive(self, key: bytes) -> None:
        """See ThrottleRows."""
        with _translate_errors():
            self._ask("DELETE FROM login_failures WHERE key = ?", (key,))

    def note_known_network(self, key: bytes, until: float) -> None:
        """See ThrottleRows."""
        with _translate_errors():
            self._ask("INSERT OR REPLACE INTO login_homes VALUES (?, ?)", (key, until))

    def is_known_network(self, key: bytes, now: float) -> bool:
        """See ThrottleRows."""
        with _translate_errors():
            return bool(
                self._ask("SELECT EXISTS (SELECT 1 FROM login_homes WHERE key = ? AND expires > ?)", (key, now)).get
            )

    @contextmanager
    def _writing(self, now: float) -> Iterator[None]:
        with _translate_errors(), transaction(self._connection):
            yield
            self._writes += 1
            if self._writes % _SWEEP_EVERY == 0:
                self._sweep(now)

    def _sweep(self, now: float) -> None:
        for table in ("login_failures", "login_homes"):
            # What expires after the longest time there is was written while the clock was ahead.
            self._ask(f"DELETE FROM {table} WHERE expires <= ? OR expires > ?", (now, now + _LONGEST))
            over = self._ask(f"SELECT count(*) - {self._bound} FROM {table}").get
            if isinstance(over, int) and over > 0:
                self._ask(
                    f"DELETE FROM {table} WHERE key IN (SELECT key FROM {table} ORDER BY expires LIMIT ?)", (over,)
                )


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except apsw.Error as error:
        raise ThrottleUnavailableError(str(error)) from error
