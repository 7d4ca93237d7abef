"""The counters of what accounts send, in a file that may be lost with the machine."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import apsw

from posthouse.accounts.errors import DirectoryBusyError
from posthouse.accounts.sending_limits import PERIOD, Taken
from posthouse.database.migrations import migrate
from posthouse.database.sqlite_transaction import transaction

SENDING_LIMITS = "allowance"  # as files have it
MIGRATIONS = (
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
    """
    CREATE INDEX sent_by_time ON sent (at);
    """,
)
_BATCH = 100  # recipients asked for at once
MAX_MET = 100_000  # of one account; the oldest are forgotten first


class SqliteSendingLimitRows:
    """See SendingLimitRows. Raises DirectoryBusyError when the file cannot be used."""

    def __init__(self, connection: apsw.Connection, *, bound: int = MAX_MET) -> None:
        """`bound`: how many known recipients are kept of one account."""
        self._connection = connection
        self._bound = bound
        migrate(connection, MIGRATIONS, room=SENDING_LIMITS)

    def sent(self, account: int, since: int) -> list[int]:
        """See SendingLimitRows."""
        return self._times("SELECT at FROM sent WHERE account = ? AND at > ? ORDER BY at", account, since)

    def count_sent(self, account: int, since: int, until: int) -> int:
        """See SendingLimitRows."""
        return self._count("sent", account, since, until)

    def count_first_contacts(self, account: int, since: int, until: int) -> int:
        """See SendingLimitRows."""
        return self._count("met", account, since, until)

    def first_contacts(self, account: int, since: int) -> list[int]:
        """See SendingLimitRows."""
        return self._times("SELECT at FROM met WHERE account = ? AND at > ? ORDER BY at", account, since)

    def new_recipients(self, account: int, recipients: Sequence[bytes]) -> set[bytes]:
        """See SendingLimitRows."""
        unknown = set(recipients)
        with _translate_errors("read"):
            for some in _batches(recipients):
                marks = ",".join("?" * len(some))
                statement = f"SELECT recipient FROM met WHERE account = ? AND recipient IN ({marks})"
                unknown.difference_update(row[0] for row in self._connection.execute(statement, (account, *some)))
        return unknown

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """See SendingLimitRows."""
        with _translate_errors("written"), transaction(self._connection):
            yield

    def add(self, account: int, recipients: Sequence[bytes], now: int) -> Taken:
        """See SendingLimitRows."""
        new_recipients = tuple(self.new_recipients(account, recipients))
        with _translate_errors("written"):
            return Taken(account, self._add(account, recipients, now), new_recipients, now)

    def remove(self, taken: Taken) -> None:
        """See SendingLimitRows."""
        rows = ((taken.account, each, taken.at) for each in taken.new_recipients)
        with _translate_errors("written"):
            self._connection.execute("DELETE FROM sent WHERE rowid = ? AND account = ?", (taken.row, taken.account))
            self._connection.executemany("DELETE FROM met WHERE account = ? AND recipient = ? AND at = ?", rows)

    def _add(self, account: int, recipients: Sequence[bytes], now: int) -> int:
        connection = self._connection
        connection.execute("INSERT INTO sent VALUES (?, ?)", (account, now))
        row = connection.last_insert_rowid()
        connection.execute("DELETE FROM sent WHERE at <= ?", (now - PERIOD,))  # of accounts that are gone, too
        before = connection.total_changes()
        rows = ((account, each, now) for each in recipients)
        connection.executemany("INSERT OR IGNORE INTO met VALUES (?, ?, ?)", rows)
        if connection.total_changes() > before:  # counting that far costs milliseconds where many are known
            connection.execute(
                "DELETE FROM met WHERE account = ?1 AND recipient IN"
                " (SELECT recipient FROM met WHERE account = ?1 ORDER BY at DESC LIMIT -1 OFFSET ?2)",
                (account, self._bound),
            )
        return row

    def _count(self, table: str, account: int, since: int, until: int) -> int:
        statement = f"SELECT count(*) FROM {table} WHERE account = ? AND at > ? AND at <= ?"
        with _translate_errors("read"):
            found = self._connection.execute(statement, (account, since, until)).fetchone()
        return int(found[0]) if found is not None else 0

    def _times(self, statement: str, account: int, since: int) -> list[int]:
        with _translate_errors("read"):
            return [row[0] for row in self._connection.execute(statement, (account, since))]


def _batches(recipients: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """A few lengths of statement, so that they stay prepared: whole batches, then one by one."""
    whole = len(recipients) - len(recipients) % _BATCH
    for start in range(0, whole, _BATCH):
        yield recipients[start : start + _BATCH]
    for each in recipients[whole:]:
        yield (each,)


@contextmanager
def _translate_errors(what: str) -> Iterator[None]:
    try:
        yield
    except apsw.Error as error:
        raise DirectoryBusyError(f"the counters of sent mail cannot be {what}: {error}") from error
