"""The addresses an account may send as beside its own."""

import apsw

EVERY = "*"


def is_granted(connection: apsw.Connection, account: int, domain: str, local: str) -> bool:
    """Whether the account may send as local@domain; both are keys."""
    statement = "SELECT 1 FROM identities WHERE account = ? AND domain = ? AND local_key IN (?, '*')"
    return connection.execute(statement, (account, domain, local)).get is not None


def add(connection: apsw.Connection, account: int, domain: str, local: str, address: str) -> bool:
    """Grant one; False when it was granted already."""
    connection.execute("INSERT OR IGNORE INTO identities VALUES (?, ?, ?, ?)", (account, domain, local, address))
    return connection.changes() > 0


def remove(connection: apsw.Connection, account: int, domain: str, local: str) -> bool:
    """Take one back; False when there was none."""
    values = (account, domain, local)
    connection.execute("DELETE FROM identities WHERE account = ? AND domain = ? AND local_key = ?", values)
    return connection.changes() > 0


def granted(connection: apsw.Connection, account: int) -> list[str]:
    """All of an account, as given."""
    statement = "SELECT address FROM identities WHERE account = ? ORDER BY domain, local_key"
    return [str(row[0]) for row in connection.execute(statement, (account,)).fetchall()]
