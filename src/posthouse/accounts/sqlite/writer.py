"""directory.db as it is changed: one transaction per change, look-ups that name what is missing, plain errors."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import apsw

from posthouse.accounts.errors import (
    BadAddressError,
    DirectoryBusyError,
    DirectoryUnusableError,
    NoSuchAccountError,
    NoSuchDomainError,
)
from posthouse.accounts.interface import Account
from posthouse.accounts.names import local_key, parse_domain, text_of
from posthouse.accounts.rows import Domain
from posthouse.accounts.sqlite.connection import open_directory
from posthouse.accounts.sqlite.lists import SqliteLists
from posthouse.accounts.sqlite.rows import SqliteRows
from posthouse.database.errors import DatabaseDamagedError, DatabaseUnusableError
from posthouse.message.address import Address


class DirectoryWriter:
    """One connection for changes, and for the lists that people see. Its methods raise AccountsError."""

    def __init__(self, path: Path, *, create: bool) -> None:
        """Open `path`, with `create` made when missing. Raises DirectoryBusyError, DirectoryUnusableError."""
        self._path = path
        with self.reading():
            self.connection = open_directory(path, create=create)
        self.rows = SqliteRows(self.connection)
        self.lists = SqliteLists(self.connection)
        self._is_grouped = False

    def close(self) -> None:
        """Let go of the file."""
        self.connection.close()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Turn what SQLite and the file system complain about into a sentence."""
        try:
            yield
        except apsw.BusyError:
            raise DirectoryBusyError(f"{self._path} is being changed by another program for long; try again") from None
        except DatabaseUnusableError as error:
            raise DirectoryUnusableError(str(error)) from error
        except (apsw.CorruptError, apsw.NotADBError) as error:
            raise DirectoryUnusableError(str(DatabaseDamagedError(self._path, f"is damaged ({error})"))) from error
        except (apsw.Error, OSError) as error:
            raise DirectoryBusyError(
                f"{self._path} cannot be used: {error}; check the disk and who may write there"
            ) from error

    @contextmanager
    def together(self, *, keep: bool = True) -> Iterator[None]:
        """Make all changes inside one transaction. A change that raises is undone alone; the others stay.

        Without `keep` all are undone at the end: to see what could not be done.
        """
        with self._transaction("BEGIN IMMEDIATE", "COMMIT" if keep else "ROLLBACK", "ROLLBACK"):
            self._is_grouped = True
            try:
                yield
            finally:
                self._is_grouped = False

    def change(self) -> AbstractContextManager[None]:
        """A transaction; inside together() a part of that one, undone alone when it raises."""
        if self._is_grouped:
            return self._transaction("SAVEPOINT change", "RELEASE change", "ROLLBACK TO change; RELEASE change")
        return self._transaction("BEGIN IMMEDIATE", "COMMIT", "ROLLBACK")

    @contextmanager
    def _transaction(self, begin: str, commit: str, undo: str) -> Iterator[None]:
        with self.reading():
            self.connection.execute(begin)
            try:
                yield
                self.connection.execute(commit)
            except BaseException:
                if self.connection.in_transaction:  # SQLite itself rolls back when the disk is full
                    self.connection.execute(undo)
                raise

    def domain(self, name: str) -> Domain:
        """The domain of that name. Raises NoSuchDomainError, BadAddressError."""
        key, shown = parse_domain(name)
        domain = self.rows.domain(key)
        if domain is None:
            raise NoSuchDomainError(shown, [other.name for other in self.lists.domains()])
        return domain

    def own_domain(self, name: str) -> Domain:
        """The same; not one that repeats another."""
        domain = self.domain(name)
        if domain.alias_of is not None:
            raise BadAddressError(f"the domain {domain.name} only repeats {domain.alias_of}; use that one")
        return domain

    def account(self, address: Address) -> Account:
        """The account with exactly this address. Raises NoSuchAccountError, NoSuchDomainError."""
        domain = self.own_domain(address.domain)
        account = self.rows.account(domain.key, local_key(address.local) or "")
        if account is None:
            known = self.lists.accounts(domain.key)
            raise NoSuchAccountError(text_of(address), [text_of(info.account.address) for info in known])
        return account

    def place(self, address: Address) -> tuple[Domain, str]:
        """Where a new name would stand: its domain and the key of its local part."""
        return self.own_domain(address.domain), local_key(address.local) or ""
