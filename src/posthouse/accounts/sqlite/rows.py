"""Reading the directory: look-ups by key."""

from collections.abc import Iterable, Sequence
from typing import Any

import apsw

from posthouse.accounts.interface import Account
from posthouse.accounts.names import domain_key, local_key, split_login
from posthouse.accounts.rows import Credential, Domain, LoginRow
from posthouse.message.address import Address
from posthouse.message.credentials import ScramKeys

DOMAIN = "SELECT key, name, is_default, postmaster, alias_of FROM domains"
ACCOUNT_COLUMNS = "a.id, a.local, d.name, a.quota, a.day_messages, a.day_recipients, a.sent_copy, a.generation"
_ACCOUNT = f"SELECT {ACCOUNT_COLUMNS} FROM accounts a JOIN domains d ON d.key = a.domain"


class SqliteRows:
    """Look-ups on one connection; see Rows. Consistent among themselves inside a transaction."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def domain(self, key: str) -> Domain | None:
        """See Rows."""
        return self._one_domain(f"{DOMAIN} WHERE key = ?", key)

    def default_domain(self) -> Domain | None:
        """See Rows."""
        marked = self._one_domain(f"{DOMAIN} WHERE is_default = 1")
        if marked is not None:
            return marked
        rows = self._connection.execute(f"{DOMAIN} WHERE alias_of IS NULL LIMIT 2").fetchall()
        return domain_of(rows[0]) if len(rows) == 1 else None

    def first_domain(self) -> Domain | None:
        """See Rows."""
        return self._one_domain(f"{DOMAIN} WHERE alias_of IS NULL ORDER BY ordinal LIMIT 1")

    def account(self, domain: str, local: str) -> Account | None:
        """See Rows."""
        return self._one_account(f"{_ACCOUNT} WHERE a.domain = ? AND a.local_key = ?", domain, local)

    def account_by_id(self, account: int) -> Account | None:
        """See Rows."""
        return self._one_account(f"{_ACCOUNT} WHERE a.id = ?", account)

    def first_account(self, domain: str | None) -> Account | None:
        """See Rows."""
        if domain is None:
            return self._one_account(f"{_ACCOUNT} ORDER BY a.ordinal LIMIT 1")
        return self._one_account(f"{_ACCOUNT} WHERE a.domain = ? ORDER BY a.ordinal LIMIT 1", domain)

    def targets(self, domain: str, local: str) -> tuple[Address, ...]:
        """See Rows."""
        statement = "SELECT target_local, target_name FROM aliases WHERE domain = ? AND local_key = ?"
        return tuple(Address(*row) for row in self._connection.execute(statement, (domain, local)))

    def login_keys(self, login: str) -> tuple[str, str]:
        """A prepared login name -> the keys of (local part, domain), the domain completed; "" where there is none."""
        local, domain = split_login(login)
        if domain:
            key = domain_key(domain)
        else:
            default = self.default_domain()
            key = default.key if default is not None else ""
        return local_key(local) or "", key or ""

    def login(self, domain: str, local: str) -> LoginRow | None:
        """The account with these keys and what proves it."""
        statement = "SELECT generation, hash, salt, iterations, stored_key, server_key FROM accounts WHERE id = ?"
        account = self.account(domain, local)
        if account is None:
            return None
        generation, hashed, *keys = self._connection.execute(statement, (account.id,)).get
        scram = ScramKeys(*keys) if keys[0] is not None else None
        return LoginRow(account, generation, Credential(hashed, scram) if hashed is not None else None)

    def secret(self, name: str) -> bytes:
        """A secret of the directory: the same for its whole life."""
        value = self._connection.execute("SELECT value FROM secrets WHERE name = ?", (name,)).get
        return bytes(value)

    def generations(self, accounts: Sequence[int]) -> dict[int, int]:
        """By the ids of those accounts that are there."""
        asked = ",".join("?" * len(accounts))
        found: Iterable[Any] = self._connection.execute(
            f"SELECT id, generation FROM accounts WHERE id IN ({asked})", tuple(accounts)
        )
        return {int(account): int(generation) for account, generation in found}

    def _one_domain(self, statement: str, *values: str) -> Domain | None:
        rows = self._connection.execute(statement, values).fetchall()
        return domain_of(rows[0]) if rows else None

    def _one_account(self, statement: str, *values: str | int) -> Account | None:
        rows = self._connection.execute(statement, values).fetchall()
        return account_of(rows[0]) if rows else None


def domain_of(row: tuple[Any, ...]) -> Domain:
    """A row of DOMAIN."""
    key, name, is_default, postmaster, alias_of = row
    return Domain(key, name, bool(is_default), postmaster, alias_of)


def account_of(row: tuple[Any, ...]) -> Account:
    """A row of ACCOUNT_COLUMNS."""
    account, local, domain, quota, messages, recipients, sent_copy, generation = row
    copies = None if sent_copy is None else bool(sent_copy)
    return Account(account, Address(local, domain), quota, messages, recipients, copies, generation)
