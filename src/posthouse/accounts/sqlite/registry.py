"""Changes to the directory, one transaction each; safe beside a running server and beside each other."""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType

import apsw

from posthouse.accounts.errors import (
    AccountExistsError,
    AliasLoopError,
    AlreadyExistsError,
    BadAddressError,
    BadQuotaError,
    DirectoryBusyError,
    DirectoryUnusableError,
    DomainInUseError,
    NoSuchAccountError,
    NoSuchAliasError,
    NoSuchDomainError,
    NoSuchTargetError,
)
from posthouse.accounts.interface import Account, Unresolved
from posthouse.accounts.names import CATCH_ALL, domain_key, local_key, parse_address, parse_domain, text_of
from posthouse.accounts.passwords import PasswordHasher, recognised
from posthouse.accounts.resolve import resolve
from posthouse.accounts.rows import AccountInfo, Alias, Credential, Domain, Removed
from posthouse.accounts.sqlite import identities
from posthouse.accounts.sqlite.connection import open_directory
from posthouse.accounts.sqlite.rows import SqliteRows
from posthouse.accounts.sqlite.signing_keys import NewKey, add_missing, generated, keys_of, remove_keys
from posthouse.database.errors import DatabaseDamagedError, DatabaseUnusableError
from posthouse.message.address import Address
from posthouse.message.signing import SigningKey

MAX_QUOTA = 1 << 60


class SqliteRegistry:
    """Adds, changes, lists and removes. Addresses are text as people type it.

    Every method raises AccountsError with a sentence that names the fix, and has then changed nothing. Each change is
    durable when the method returns. Not for the event loop: a new password takes tens of milliseconds,
    a commit a disk write.
    """

    def __init__(
        self,
        path: Path,
        *,
        hasher: PasswordHasher | None = None,
        separator: str = "+",
        clock: Callable[[], float] = time.time,
        new_id: Callable[[], int] = lambda: secrets.randbits(62),
        new_key: NewKey = generated,
        create: bool = True,
    ) -> None:
        """Open `path`, with `create` made when missing. Raises DirectoryBusyError, DirectoryUnusableError."""
        self._hasher = hasher or PasswordHasher()
        self._separator = separator
        self._clock = clock
        self._new_id = new_id
        self._new_key = new_key
        with _named(path):
            self._connection = open_directory(path, create=create)
        self._path = path
        self._rows = SqliteRows(self._connection)
        self._grouped = False

    def __enter__(self) -> "SqliteRegistry":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    # Domains

    def add_domain(
        self, name: str, *, default: bool = False, postmaster: str | None = None, alias_of: str | None = None
    ) -> Domain:
        """Receive mail for a domain, and give it keys to sign with.

        `alias_of`: every address in it means the same address in that other domain.
        """
        key, shown = parse_domain(name)
        with self._change():
            if self._rows.domain(key) is not None:
                raise AlreadyExistsError(f"the domain {shown} is there already; see: posthouse domain list")
            repeated = self._own_domain(alias_of).key if alias_of is not None else None
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
        with self._change():
            key = self._domain(name).key
            add_missing(self._connection, key, int(self._clock()), self._new_key)
            return keys_of(self._connection, key)

    def set_domain(self, name: str, *, default: bool | None = None, postmaster: str | None = None) -> Domain:
        """Change what is given. `postmaster`: the account that gets the mail for postmaster and abuse; "" for none."""
        with self._change():
            return self._set_domain(self._own_domain(name).key, default, postmaster)

    def domains(self) -> list[Domain]:
        """All domains, oldest first."""
        with _named(self._path):
            return self._rows.domains()

    def remove_domain(self, name: str, *, force: bool = False) -> list[Removed]:
        """Stop receiving mail for a domain. With `force`, its accounts go too; they are returned."""
        with self._change():
            domain = self._domain(name)
            accounts = self._rows.accounts(domain.key)
            repeated = [other.name for other in self._rows.domains() if other.alias_of == domain.key]
            if not force and (accounts or repeated):
                what = f"{len(accounts)} accounts" if accounts else f"the domain {repeated[0]} that repeats it"
                raise DomainInUseError(f"the domain {domain.name} still has {what}; remove that first, or force it")
            removed = [self._remove_account(info.account) for info in accounts]
            remove_keys(self._connection, domain.key)
            for statement in (
                "DELETE FROM aliases WHERE domain = ?1 OR target_domain = ?1",
                "DELETE FROM domains WHERE key = ?1 OR alias_of = ?1",
            ):
                self._connection.execute(statement, (domain.key,))
            return removed

    # Accounts

    def add_account(self, address: str, password: str | Credential | None, *, quota: int | None = None) -> Account:
        """Make an account. `password`: in plain, or a credential made before, or None: no login until one is set.

        `quota` in octets; None: no bound.
        """
        parsed = parse_address(address)
        credential = self._hasher.make(password) if isinstance(password, str) else password
        with self._change():
            domain, local = self._place(parsed)
            if local == CATCH_ALL:
                raise BadAddressError(
                    f"{text_of(parsed)} means the catch-all; use: posthouse alias add {text_of(parsed)} TARGET"
                )
            self._check_free(domain, local, parsed)
            account = Account(self._fresh_id(), Address(parsed.local, domain.name), _checked_quota(quota))
            self._connection.execute(
                "INSERT INTO accounts (id, domain, local_key, local, ordinal, quota, created, generation)"
                " SELECT ?, ?, ?, ?, ifnull(max(ordinal), 0) + 1, ?, ?, 0 FROM accounts",
                (account.id, domain.key, local, parsed.local, quota, int(self._clock())),
            )
            if credential is not None:
                self._set_credential(account.id, credential)
            return account

    def accounts(self, domain: str | None = None) -> list[AccountInfo]:
        """All accounts, or those of one domain, by name."""
        with _named(self._path):
            return self._rows.accounts(None if domain is None else self._domain(domain).key)

    def account(self, address: str) -> Account:
        """The account with exactly this address."""
        with _named(self._path):
            return self._account(parse_address(address))

    def remove_account(self, address: str) -> Removed:
        """Remove an account and the aliases' targets that name it. Its mail waits in removed() to be forgotten."""
        with self._change():
            return self._remove_account(self._account(parse_address(address)))

    def set_password(self, address: str, password: str) -> None:
        """Set a password; logins with the old one end at once."""
        self.set_credential(address, self._hasher.make(password))

    def set_hash(self, address: str, text: str) -> None:
        """Set a password by its hash from elsewhere; renewed at the next login with the password in plain."""
        self.set_credential(address, Credential(recognised(text), None))

    def set_credential(self, address: str, credential: Credential) -> None:
        """Set what proves the password."""
        parsed = parse_address(address)
        with self._change():
            self._set_credential(self._account(parsed).id, credential)

    def set_quota(self, address: str, quota: int | None) -> None:
        """Set how many octets the account may hold; None: no bound."""
        parsed = parse_address(address)
        with self._change():
            account = self._account(parsed).id
            self._connection.execute("UPDATE accounts SET quota = ? WHERE id = ?", (_checked_quota(quota), account))

    def set_limits(self, address: str, *, messages: int | None, recipients: int | None, sent_copy: bool | None) -> None:
        """Set what the account may send in 24 hours, and whether it keeps copies; None: as the server's default."""
        parsed = parse_address(address)
        with self._change():
            self._connection.execute(
                "UPDATE accounts SET day_messages = ?, day_recipients = ?, sent_copy = ? WHERE id = ?",
                (messages, recipients, sent_copy, self._account(parsed).id),
            )

    def add_identity(self, address: str, identity: str) -> bool:
        """Let an account send as another address, or as "*@domain"; False: it was allowed to already."""
        account, (domain, local, shown) = parse_address(address), _identity(identity)
        with self._change():
            return identities.add(self._connection, self._account(account).id, domain, local, shown)

    def remove_identity(self, address: str, identity: str) -> bool:
        """Take it back; False: there was no such grant."""
        account, (domain, local, _) = parse_address(address), _identity(identity)
        with self._change():
            return identities.remove(self._connection, self._account(account).id, domain, local)

    def identities(self, address: str) -> list[str]:
        """What was granted to an account."""
        parsed = parse_address(address)
        with _named(self._path):
            return identities.granted(self._connection, self._account(parsed).id)

    def removed(self) -> list[Removed]:
        """The removed accounts whose mail is still to be forgotten (Mailstore.forget)."""
        with _named(self._path):
            return self._rows.removed()

    def purge_done(self, account: int) -> None:
        """Acknowledge that a removed account's mail is forgotten."""
        with self._change():
            now = int(self._clock())
            self._connection.execute("UPDATE removed SET purged = ? WHERE id = ? AND purged IS NULL", (now, account))

    # Aliases

    def add_alias(self, address: str, target: str) -> Alias:
        """Let an address lead to one more target, here or elsewhere. "*@domain" is the domain's catch-all."""
        parsed, aim = parse_address(address), parse_address(target)
        with self._change():
            domain, local = self._place(parsed)
            if self._rows.account(domain.key, local) is not None:
                raise AlreadyExistsError(f"{text_of(parsed)} is an account; an alias needs a name of its own")
            row = (domain.key, local, domain_key(aim.domain), local_key(aim.local), parsed.local, aim.local, aim.domain)
            try:
                self._connection.execute("INSERT INTO aliases VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            except apsw.ConstraintError:
                raise AlreadyExistsError(f"the alias {text_of(parsed)} leads to {text_of(aim)} already") from None
            self._check_target(parsed, aim)
            return Alias(Address(parsed.local, domain.name), aim)

    def aliases(self, domain: str | None = None) -> list[Alias]:
        """All aliases, or those of one domain, by name; one entry per target."""
        with _named(self._path):
            return self._rows.aliases(None if domain is None else self._domain(domain).key)

    def remove_alias(self, address: str, target: str | None = None) -> list[Alias]:
        """Remove one target of an alias, or the whole alias; what was removed."""
        parsed = parse_address(address)
        aim = parse_address(target) if target is not None else None
        with self._change():
            domain = self._domain(parsed.domain)
            gone = [alias for alias in self._rows.aliases(domain.key) if _same(alias.address, parsed)]
            if aim is not None:
                gone = [alias for alias in gone if _same(alias.target, aim)]
            if not gone:
                shown = text_of(parsed) + (f" to {text_of(aim)}" if aim is not None else "")
                raise NoSuchAliasError(shown, [text_of(alias.address) for alias in self._rows.aliases(None)])
            for alias in gone:
                self._connection.execute(
                    "DELETE FROM aliases WHERE domain = ? AND local_key = ? AND target_domain = ? AND target_key = ?",
                    (
                        domain.key,
                        local_key(parsed.local),
                        domain_key(alias.target.domain),
                        local_key(alias.target.local),
                    ),
                )
            return gone

    # Transactions

    @contextmanager
    def together(self, *, keep: bool = True) -> Iterator[None]:
        """Make all changes inside one transaction. A change that raises is undone alone; the others stay.

        Without `keep` all are undone at the end: to see what could not be done.
        """
        with self._transaction("BEGIN IMMEDIATE", "COMMIT" if keep else "ROLLBACK", "ROLLBACK"):
            self._grouped = True
            try:
                yield
            finally:
                self._grouped = False

    def _change(self) -> AbstractContextManager[None]:
        if self._grouped:
            return self._transaction("SAVEPOINT change", "RELEASE change", "ROLLBACK TO change; RELEASE change")
        return self._transaction("BEGIN IMMEDIATE", "COMMIT", "ROLLBACK")

    @contextmanager
    def _transaction(self, begin: str, commit: str, undo: str) -> Iterator[None]:
        with _named(self._path):
            self._connection.execute(begin)
            try:
                yield
                self._connection.execute(commit)
            except BaseException:
                if self._connection.in_transaction:  # SQLite itself rolls back when the disk is full
                    self._connection.execute(undo)
                raise

    # Inside a transaction

    def _domain(self, name: str) -> Domain:
        key, shown = parse_domain(name)
        domain = self._rows.domain(key)
        if domain is None:
            raise NoSuchDomainError(shown, [other.name for other in self._rows.domains()])
        return domain

    def _own_domain(self, name: str) -> Domain:
        domain = self._domain(name)
        if domain.alias_of is not None:
            raise BadAddressError(f"the domain {domain.name} only repeats {domain.alias_of}; use that one")
        return domain

    def _account(self, address: Address) -> Account:
        domain = self._own_domain(address.domain)
        account = self._rows.account(domain.key, local_key(address.local) or "")
        if account is None:
            known = self._rows.accounts(domain.key)
            raise NoSuchAccountError(text_of(address), [text_of(info.account.address) for info in known])
        return account

    def _place(self, address: Address) -> tuple[Domain, str]:
        """Where a new name would stand: its domain and the key of its local part."""
        return self._own_domain(address.domain), local_key(address.local) or ""

    def _check_free(self, domain: Domain, local: str, address: Address) -> None:
        if self._rows.account(domain.key, local) is not None:
            raise AccountExistsError(f"the account {text_of(address)} is there already; see: posthouse account list")
        if self._rows.targets(domain.key, local):
            raise AlreadyExistsError(
                f"{text_of(address)} is an alias; remove it first: posthouse alias remove {text_of(address)}"
            )

    def _check_target(self, address: Address, target: Address) -> None:
        """The alias stands already, so that a loop shows."""
        found = resolve(target, self._rows, self._separator)
        if found is Unresolved.ALIAS_LOOP:
            raise AliasLoopError(f"{text_of(target)} leads back to {text_of(address)}; choose another target")
        if found is Unresolved.NO_SUCH_USER:
            raise NoSuchTargetError(f"nothing here is called {text_of(target)}; add that account or alias first")

    def _set_domain(self, key: str, default: bool | None, postmaster: str | None) -> Domain:
        if default is not None:
            if default:
                self._connection.execute("UPDATE domains SET is_default = 0 WHERE is_default = 1")
            self._connection.execute("UPDATE domains SET is_default = ? WHERE key = ?", (int(default), key))
        if postmaster is not None:
            account = self._account(parse_address(postmaster)).id if postmaster else None
            self._connection.execute("UPDATE domains SET postmaster = ? WHERE key = ?", (account, key))
        domain = self._rows.domain(key)
        assert domain is not None
        return domain

    def _set_credential(self, account: int, credential: Credential) -> None:
        scram = credential.scram
        keys = (scram.salt, scram.iterations, scram.stored_key, scram.server_key) if scram else (None,) * 4
        self._connection.execute(
            "UPDATE accounts SET generation = generation + 1, hash = ?, salt = ?, iterations = ?, stored_key = ?,"
            " server_key = ? WHERE id = ?",
            (credential.hash, *keys, account),
        )

    def _remove_account(self, account: Account) -> Removed:
        key, local = domain_key(account.address.domain), local_key(account.address.local)
        assert key is not None and local is not None
        removed = Removed(account.id, account.address, int(self._clock()), self._rows.aliases_to(key, local))
        for statement, values in (
            ("DELETE FROM accounts WHERE id = ?", (account.id,)),
            ("DELETE FROM identities WHERE account = ?", (account.id,)),
            ("DELETE FROM aliases WHERE target_domain = ? AND target_key = ?", (key, local)),
            ("UPDATE domains SET postmaster = NULL WHERE postmaster = ?", (account.id,)),
            ("INSERT INTO removed VALUES (?, ?, ?, NULL)", (account.id, text_of(account.address), removed.removed)),
        ):
            self._connection.execute(statement, values)
        return removed

    def _fresh_id(self) -> int:
        used = "SELECT EXISTS (SELECT 1 FROM accounts WHERE id = ?1) OR EXISTS (SELECT 1 FROM removed WHERE id = ?1)"
        while True:
            account = self._new_id()
            if account > 0 and not self._connection.execute(used, (account,)).get:
                return account


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn what SQLite and the file system complain about into a sentence."""
    try:
        yield
    except apsw.BusyError:
        raise DirectoryBusyError(f"{path} is being changed by another program for long; try again") from None
    except DatabaseUnusableError as error:
        raise DirectoryUnusableError(str(error)) from error
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise DirectoryUnusableError(str(DatabaseDamagedError(path, f"is damaged ({error})"))) from error
    except (apsw.Error, OSError) as error:
        raise DirectoryBusyError(f"{path} cannot be used: {error}; check the disk and who may write there") from error


def _checked_quota(quota: int | None) -> int | None:
    if quota is not None and not 0 <= quota <= MAX_QUOTA:
        raise BadQuotaError(f"a quota of {quota} octets is out of range; give a size like 500MB, or none")
    return quota


def _identity(text: str) -> tuple[str, str, str]:
    """An address or "*@domain" -> domain key, local key, as shown. Raises BadAddressError."""
    local, _, domain = text.strip().rpartition("@")
    if local == identities.EVERY:
        key, name = parse_domain(domain)
        return key, identities.EVERY, f"*@{name}"
    parsed = parse_address(text)
    key_of_domain, key_of_local = domain_key(parsed.domain), local_key(parsed.local)
    if key_of_domain is None or key_of_local is None:
        raise BadAddressError(f"{text} is no address")
    return key_of_domain, key_of_local, text_of(parsed)


def _same(one: Address, other: Address) -> bool:
    return domain_key(one.domain) == domain_key(other.domain) and local_key(one.local) == local_key(other.local)
