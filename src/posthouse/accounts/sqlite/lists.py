"""The lists of the directory that people see."""

from typing import Any

import apsw

from posthouse.accounts.rows import AccountInfo, Alias, Domain, Removed
from posthouse.accounts.sqlite.rows import ACCOUNT_COLUMNS, DOMAIN, account_of, domain_of
from posthouse.message.address import Address


class SqliteLists:
    """All there is of a kind, on one connection. Raises apsw.Error."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def domains(self) -> list[Domain]:
        """All domains, oldest first."""
        return [domain_of(row) for row in self._connection.execute(f"{DOMAIN} ORDER BY ordinal")]

    def accounts(self, domain: str | None) -> list[AccountInfo]:
        """All accounts, or those of one domain, by name."""
        statement = (
            f"SELECT {ACCOUNT_COLUMNS}, a.created, a.hash, a.salt IS NOT NULL"
            " FROM accounts a JOIN domains d ON d.key = a.domain"
            " WHERE ?1 IS NULL OR a.domain = ?1 ORDER BY d.name, a.local_key"
        )
        found = self._connection.execute(statement, (domain,))
        return [AccountInfo(account_of(row[:-3]), row[-3], _scheme(row[-2]), bool(row[-1])) for row in found]

    def aliases(self, domain: str | None) -> list[Alias]:
        """All aliases, or those of one domain, by name; one entry per target."""
        statement = (
            "SELECT a.local, d.name, a.target_local, a.target_name FROM aliases a JOIN domains d ON d.key = a.domain"
            " WHERE ?1 IS NULL OR a.domain = ?1 ORDER BY d.name, a.local_key, a.target_name, a.target_key"
        )
        return [_alias(row) for row in self._connection.execute(statement, (domain,))]

    def aliases_to(self, domain: str, local: str) -> tuple[Alias, ...]:
        """The aliases that name this address as a target."""
        statement = (
            "SELECT a.local, d.name, a.target_local, a.target_name FROM aliases a JOIN domains d ON d.key = a.domain"
            " WHERE a.target_domain = ? AND a.target_key = ?"
        )
        return tuple(_alias(row) for row in self._connection.execute(statement, (domain, local)))

    def removed(self) -> list[Removed]:
        """The removed accounts whose mail is still to be forgotten."""
        found = self._connection.execute(
            "SELECT id, address, removed FROM removed WHERE purged IS NULL ORDER BY removed, id"
        )
        return [Removed(row[0], Address(*row[1].rsplit("@", 1)), row[2]) for row in found]


def _alias(row: tuple[Any, ...]) -> Alias:
    local, domain, target_local, target_domain = row
    return Alias(Address(local, domain), Address(target_local, target_domain))


def _scheme(hashed: object) -> str:
    return str(hashed)[1:].partition("}")[0] if hashed is not None else ""
