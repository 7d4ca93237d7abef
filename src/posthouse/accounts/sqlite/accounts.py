"""Accounts in the directory: added, changed, listed, removed."""

from collections.abc import Callable

from posthouse.accounts.errors import AccountExistsError, AlreadyExistsError, BadAddressError, BadQuotaError
from posthouse.accounts.interface import Account
from posthouse.accounts.names import CATCH_ALL, domain_key, local_key, parse_address, text_of
from posthouse.accounts.passwords import PasswordHasher, recognised
from posthouse.accounts.rows import AccountInfo, Credential, Domain, Removed
from posthouse.accounts.sqlite.writer import DirectoryWriter
from posthouse.message.address import Address

MAX_QUOTA = 1 << 60


class SqliteAccounts:
    """See SqliteRegistry. `new_id` gives candidates for ids of accounts, `clock` seconds since 1970."""

    def __init__(
        self, writer: DirectoryWriter, hasher: PasswordHasher, clock: Callable[[], float], new_id: Callable[[], int]
    ) -> None:
        self._writer = writer
        self._connection = writer.connection
        self._rows = writer.rows
        self._lists = writer.lists
        self._hasher = hasher
        self._clock = clock
        self._new_id = new_id

    def add(self, address: str, password: str | Credential | None, *, quota: int | None = None) -> Account:
        """Make an account. `password`: in plain, or a credential made before, or None: no login until one is set.

        `quota` in octets; None: no bound.
        """
        parsed = parse_address(address)
        credential = self._hasher.make(password) if isinstance(password, str) else password
        with self._writer.change():
            domain, local = self._writer.place(parsed)
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

    def all(self, domain: str | None = None) -> list[AccountInfo]:
        """All accounts, or those of one domain, by name."""
        with self._writer.reading():
            return self._lists.accounts(None if domain is None else self._writer.domain(domain).key)

    def get(self, address: str) -> Account:
        """The account with exactly this address."""
        with self._writer.reading():
            return self._writer.account(parse_address(address))

    def remove(self, address: str) -> Removed:
        """Remove an account and the aliases' targets that name it. Its mail waits in removed() to be forgotten."""
        with self._writer.change():
            account = self._writer.account(parse_address(address))
            return delete_account(self._writer, account, int(self._clock()))

    def set_password(self, address: str, password: str) -> None:
        """Set a password; logins with the old one end at once."""
        self.set_credential(address, self._hasher.make(password))

    def set_hash(self, address: str, text: str) -> None:
        """Set a password by its hash from elsewhere; renewed at the next login with the password in plain."""
        self.set_credential(address, Credential(recognised(text), None))

    def set_credential(self, address: str, credential: Credential) -> None:
        """Set what proves the password."""
        parsed = parse_address(address)
        with self._writer.change():
            self._set_credential(self._writer.account(parsed).id, credential)

    def set_quota(self, address: str, quota: int | None) -> None:
        """Set how many octets the account may hold; None: no bound."""
        parsed = parse_address(address)
        with self._writer.change():
            account = self._writer.account(parsed).id
            self._connection.execute("UPDATE accounts SET quota = ? WHERE id = ?", (_checked_quota(quota), account))

    def set_limits(self, address: str, *, messages: int | None, recipients: int | None, sent_copy: bool | None) -> None:
        """Set what the account may send in 24 hours, and whether it keeps copies; None: as the server's default."""
        parsed = parse_address(address)
        with self._writer.change():
            self._connection.execute(
                "UPDATE accounts SET day_messages = ?, day_recipients = ?, sent_copy = ? WHERE id = ?",
                (messages, recipients, sent_copy, self._writer.account(parsed).id),
            )

    def removed(self) -> list[Removed]:
        """The removed accounts whose mail is still to be forgotten (Mailstore.forget)."""
        with self._writer.reading():
            return self._lists.removed()

    def purge_done(self, account: int) -> None:
        """Acknowledge that a removed account's mail is forgotten."""
        with self._writer.change():
            now = int(self._clock())
            self._connection.execute("UPDATE removed SET purged = ? WHERE id = ? AND purged IS NULL", (now, account))

    def _check_free(self, domain: Domain, local: str, address: Address) -> None:
        if self._rows.account(domain.key, local) is not None:
            raise AccountExistsError(f"the account {text_of(address)} is there already; see: posthouse account list")
        if self._rows.targets(domain.key, local):
            raise AlreadyExistsError(
                f"{text_of(address)} is an alias; remove it first: posthouse alias remove {text_of(address)}"
            )

    def _set_credential(self, account: int, credential: Credential) -> None:
        scram = credential.scram
        keys = (scram.salt, scram.iterations, scram.stored_key, scram.server_key) if scram else (None,) * 4
        self._connection.execute(
            "UPDATE accounts SET generation = generation + 1, hash = ?, salt = ?, iterations = ?, stored_key = ?,"
            " server_key = ? WHERE id = ?",
            (credential.hash, *keys, account),
        )

    def _fresh_id(self) -> int:
        used = "SELECT EXISTS (SELECT 1 FROM accounts WHERE id = ?1) OR EXISTS (SELECT 1 FROM removed WHERE id = ?1)"
        while True:
            account = self._new_id()
            if account > 0 and not self._connection.execute(used, (account,)).get:
                return account


def delete_account(writer: DirectoryWriter, account: Account, now: int) -> Removed:
    """Delete its rows and those that name it. Inside a change."""
    key, local = domain_key(account.address.domain), local_key(account.address.local)
    assert key is not None and local is not None
    removed = Removed(account.id, account.address, now, writer.lists.aliases_to(key, local))
    for statement, values in (
        ("DELETE FROM accounts WHERE id = ?", (account.id,)),
        ("DELETE FROM identities WHERE account = ?", (account.id,)),
        ("DELETE FROM aliases WHERE target_domain = ? AND target_key = ?", (key, local)),
        ("UPDATE domains SET postmaster = NULL WHERE postmaster = ?", (account.id,)),
        ("INSERT INTO removed VALUES (?, ?, ?, NULL)", (account.id, text_of(account.address), removed.removed)),
    ):
        writer.connection.execute(statement, values)
    return removed


def _checked_quota(quota: int | None) -> int | None:
    if quota is not None and not 0 <= quota <= MAX_QUOTA:
        raise BadQuotaError(f"a quota of {quota} octets is out of range; give a size like 500MB, or none")
    return quota
