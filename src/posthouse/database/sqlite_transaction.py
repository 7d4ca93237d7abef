"""Transactions of SQLite: one that ends in any case, and one that several rooms take part in."""

import contextlib
from collections.abc import Iterator

import apsw

from posthouse.database.transaction import SharedTransaction


class SqliteTransaction(SharedTransaction):
    """An open one, of `connection`."""

    __slots__ = ("connection",)

    def __init__(self, connection: apsw.Connection) -> None:
        self.connection = connection


def connection_of(transaction: SharedTransaction) -> apsw.Connection:
    """Where to write rows in it. Raises TypeError for a transaction of another kind."""
    if not isinstance(transaction, SqliteTransaction):
        raise TypeError(f"{type(transaction).__name__} is no transaction of SQLite")
    return transaction.connection


@contextlib.contextmanager
def transaction(connection: apsw.Connection) -> Iterator[None]:
    """All or nothing; other processes that want to write wait. Raises apsw.Error."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite has rolled back by itself after some errors
            connection.execute("ROLLBACK")
        raise
