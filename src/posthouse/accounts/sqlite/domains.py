"""Domains in the directory, and the keys they sign with: added, changed, listed, removed."""

from collections.abc import Callable

from posthouse.accounts.errors import AlreadyExistsError, BadAddressError, DomainInUseError
from posthouse.accounts.names import parse_address, parse_domain
from posthouse.accounts.rows import Domain, Removed
from posthouse.accounts.sqlite.accounts import delete_account
from posthouse.accounts.sqlite.signing_keys import NewKey, add_missing, keys_of, remove_keys
from posthouse.accounts.sqlite.writer import DirectoryWriter
from posthouse.message.signing import SigningKey


class SqliteDomains:
    """See SqliteRegistry. `new_key` makes keys to sign with, `clock` gives seconds since 1970."""

    def __init__(self, writer: DirectoryWriter, clock: Callable[[], float], new_key: NewKey) -> None:
        self._writer = writer
        self._connection = writer.connection
        self._rows = writer.rows
        self._lists = writer.lists
        self._clock = clock
        self._new_key = new_key

    def add(
        self, name: str, *, default: bool = False, postmaster: str | None = None, alias_of: str | None = None
    ) -> Domain:
        """Receive mail for a domain, and give it keys to sign with.

        `alias_of`: every address in it means the same address in that other domain.
        """
        key, shown = parse_domain(name)
        with self._writer.change():
            if self._rows.domain(key) is not None:
                raise AlreadyExistsError(f"the domain {shown} is there already; see: posthouse domain list")
            repeated = self._writer.own_domain(alias_of).key if alias_of is not None else None
            if repeated is not None and (default or postmaster is not None):
                raise BadAddressError(f"{shown} repeats {alias_of}: it can be no default and has that one's postmaster")
            self._connection.execute(
                "INSERT INTO domains SELECT ?, ?, ifnull(max(ordinal), 0) + 1, 0, NULL, ? FROM domains",
                (key, shown, repeated),
            )
            add_missing(self._connection, key, int(self._clock()), self._new_key)
            return self._set_domain(key, default or None, postmaster)

    def ensure_signing_keys(self, name: str) -> tuple[SigningKey, ...]:
        """The keys a domain signs with. Those it lacks are made: it may be older than signing."""
        with self._writer.change():
            key = self._writer.domain(name).key
            add_missing(self._connection, key, int(self._clock()), self._new_key)
            return keys_of(self._connection, key)

    def set(self, name: str, *, default: bool | None = None, postmaster: str | None = None) -> Domain:
        """Change what is given. `postmaster`: the account that gets the mail for postmaster and abuse; "" for none."""
        with self._writer.change():
            return self._set_domain(self._writer.own_domain(name).key, default, postmaster)

    def all(self) -> list[Domain]:
        """All domains, oldest first."""
        with self._writer.reading():
            return self._lists.domains()

    def remove(self, name: str, *, force: bool = False) -> list[Removed]:
        """Stop receiving mail for a domain. With `force`, its accounts go too; they are returned."""
        with self._writer.change():
            domain = self._writer.domain(name)
            accounts = self._lists.accounts(domain.key)
            repeated = [other.name for other in self._lists.domains() if other.alias_of == domain.key]
            if not force and (accounts or repeated):
                what = f"{len(accounts)} accounts" if accounts else f"the domain {repeated[0]} that repeats it"
                raise DomainInUseError(f"the domain {domain.name} still has {what}; remove that first, or force it")
            removed = [delete_account(self._writer, info.account, int(self._clock())) for info in accounts]
            remove_keys(self._connection, domain.key)
            for statement in (
                "DELETE FROM aliases WHERE domain = ?1 OR target_domain = ?1",
                "DELETE FROM domains WHERE key = ?1 OR alias_of = ?1",
            ):
                self._connection.execute(statement, (domain.key,))
            return removed

    def _set_domain(self, key: str, default: bool | None, postmaster: str | None) -> Domain:
        if default is not None:
            if default:
                self._connection.execute("UPDATE domains SET is_default = 0 WHERE is_default = 1")
            self._connection.execute("UPDATE domains SET is_default = ? WHERE key = ?", (int(default), key))
        if postmaster is not None:
            account = self._writer.account(parse_address(postmaster)).id if postmaster else None
            self._connection.execute("UPDATE domains SET postmaster = ? WHERE key = ?", (account, key))
        domain = self._rows.domain(key)
        assert domain is not None
        return domain
