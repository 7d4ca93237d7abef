"""A transaction of SQLite that several rooms take part in."""

import apsw

from posthouse.database.transaction import Transaction


class SqliteTransaction(Transaction):
    """An open one, of `connection`."""

    __slots__ = ("connection",)

    def __init__(self, connection: apsw.Connection) -> None:
        self.connection = connection


def connection_of(transaction: Transaction) -> apsw.Connection:
    """Where to write rows in it. Raises TypeError for a transaction of another kind."""
    if not isinstance(transaction, SqliteTransaction):
        raise TypeError(f"{type(transaction).__name__} is no transaction of SQLite")
    return transaction.connection
