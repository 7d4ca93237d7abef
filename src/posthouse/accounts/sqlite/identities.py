"""The addresses an account may send as beside its own."""

import apsw

from posthouse.accounts.errors import BadAddressError
from posthouse.accounts.names import domain_key, local_key, parse_address, parse_domain, text_of
from posthouse.accounts.sqlite.writer import DirectoryWriter

EVERY = "*"


class SqliteIdentities:
    """See SqliteRegistry."""

    def __init__(self, writer: DirectoryWriter) -> None:
        self._writer = writer
        self._connection = writer.connection

    def add(self, address: str, identity: str) -> bool:
        """Let an account send as another address, or as "*@domain"; False: it was allowed to already."""
        account, (domain, local, shown) = parse_address(address), _parsed(identity)
        with self._writer.change():
            return _grant(self._connection, self._writer.account(account).id, domain, local, shown)

    def remove(self, address: str, identity: str) -> bool:
        """Take it back; False: there was no such grant."""
        account, (domain, local, _) = parse_address(address), _parsed(identity)
        with self._writer.change():
            return _revoke(self._connection, self._writer.account(account).id, domain, local)

    def all(self, address: str) -> list[str]:
        """What was granted to an account."""
        parsed = parse_address(address)
        with self._writer.reading():
            return _granted(self._connection, self._writer.account(parsed).id)


def is_granted(connection: apsw.Connection, account: int, domain: str, local: str) -> bool:
    """Whether the account may send as local@domain; both are keys."""
    statement = "SELECT 1 FROM identities WHERE account = ? AND domain = ? AND local_key IN (?, '*')"
    return connection.execute(statement, (account, domain, local)).get is not None


def _grant(connection: apsw.Connection, account: int, domain: str, local: str, address: str) -> bool:
    """Grant one; False when it was granted already."""
    connection.execute("INSERT OR IGNORE INTO identities VALUES (?, ?, ?, ?)", (account, domain, local, address))
    return connection.changes() > 0


def _revoke(connection: apsw.Connection, account: int, domain: str, local: str) -> bool:
    """Take one back; False when there was none."""
    values = (account, domain, local)
    connection.execute("DELETE FROM identities WHERE account = ? AND domain = ? AND local_key = ?", values)
    return connection.changes() > 0


def _granted(connection: apsw.Connection, account: int) -> list[str]:
    """All of an account, as given."""
    statement = "SELECT address FROM identities WHERE account = ? ORDER BY domain, local_key"
    return [str(row[0]) for row in connection.execute(statement, (account,)).fetchall()]


def _parsed(text: str) -> tuple[str, str, str]:
    """An address or "*@domain" -> domain key, local key, as shown. Raises BadAddressError."""
    local, _, domain = text.strip().rpartition("@")
    if local == EVERY:
        key, name = parse_domain(domain)
        return key, EVERY, f"*@{name}"
    parsed = parse_address(text)
    key_of_domain, key_of_local = domain_key(parsed.domain), local_key(parsed.local)
    if key_of_domain is None or key_of_local is None:
        raise BadAddressError(f"{text} is no address")
    return key_of_domain, key_of_local, text_of(parsed)
