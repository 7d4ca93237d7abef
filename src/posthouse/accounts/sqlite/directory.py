"""The directory over directory.db: every look-up asks SQLite whether anything changed, then answers from memory.

`PRAGMA data_version` costs 2 us and changes exactly when another connection, here or in another process, has
committed to the file. What is remembered is dropped whole then: changes of accounts are rare, look-ups are not.
"""

import hmac
import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import apsw

from posthouse.accounts.claims import Claim
from posthouse.accounts.errors import DirectoryBusyError, DirectoryUnusableError
from posthouse.accounts.interface import Account, Local, Refusal, RefusalKind, Unresolved
from posthouse.accounts.names import domain_key, local_key
from posthouse.accounts.passwords import PasswordHasher
from posthouse.accounts.pool import HashingPool
from posthouse.accounts.resolve import home_of, resolve
from posthouse.accounts.rows import Credential, LoginRow
from posthouse.accounts.sqlite import identities
from posthouse.accounts.sqlite.connection import open_directory
from posthouse.accounts.sqlite.rows import SqliteRows
from posthouse.accounts.sqlite.signing_keys import keys_of
from posthouse.accounts.throttle import Throttle
from posthouse.accounts.verified_passwords import VerifiedPasswordCache
from posthouse.accounts.verifier import FAILURE_SECONDS, WRONG, Verifier
from posthouse.database.errors import DatabaseError, DatabaseUnusableError
from posthouse.message.address import Address
from posthouse.message.credentials import ScramKeys, prepare
from posthouse.message.signing import SigningKey

_K = TypeVar("_K")
_T = TypeVar("_T")
_KEPT = 32_768  # answers of each kind; strangers' addresses are among them, so it must be bounded
_COMPLAIN_EVERY = 60.0  # seconds
_LONGEST_KEPT = 320  # characters: a longer name is nobody's


class SqliteDirectory:
    """See Directory. Belongs to one event loop's thread.

    Look-ups raise DirectoryBusyError when the file cannot be read (it is damaged or gone).
    """

    def __init__(
        self,
        path: Path,
        throttle: Throttle,
        *,
        hasher: PasswordHasher | None = None,
        pool: HashingPool | None = None,
        verified: VerifiedPasswordCache | None = None,
        separator: str = "+",
        hostname: str = "",
        failure_seconds: float = FAILURE_SECONDS,
    ) -> None:
        """Open `path`, which must be there. `separator` starts the detail of an address; "" switches details off.

        `hostname` is the server's own name, where postmaster is reached too.
        """
        self._path = path
        self._separator = separator
        self._hostname = domain_key(hostname) or ""
        self._throttle = throttle
        self._hasher = hasher or PasswordHasher()
        self._pool = pool or HashingPool(os.cpu_count() or 1)
        try:
            self._connection = open_directory(path)
        except DatabaseUnusableError as error:
            raise DirectoryUnusableError(str(error)) from error
        except (apsw.Error, OSError) as error:
            raise DirectoryBusyError(f"{path} cannot be opened: {error}") from error
        self._rows = SqliteRows(self._connection)
        self._ask = self._connection.cursor().execute
        self._secret = self._rows.secret("unknown logins")
        self._version: object = None
        self._silent_until = 0.0  # monotonic
        self._resolved: dict[Address, Local | Unresolved] = {}
        self._domains: dict[str, bool] = {}
        self._claims: dict[str, Claim] = {}
        self._signing_keys: dict[str, tuple[SigningKey, ...]] = {}
        self._own_domain: str | None = None
        self._verifier = Verifier(
            self._find,
            self._renew,
            throttle,
            self._hasher,
            self._pool,
            verified or VerifiedPasswordCache(time.monotonic),
            failure_seconds=failure_seconds,
        )

    def close(self) -> None:
        """Let go of the file and the threads."""
        self._pool.close()
        self._connection.close()

    def resolve(self, address: Address) -> Local | Unresolved:
        """See Directory."""
        self._refresh()
        found = self._resolved.get(address)
        if found is None:
            found = self._looked_up(lambda: resolve(address, self._rows, self._separator, self._hostname))
            if len(address.local) + len(address.domain) <= _LONGEST_KEPT:
                _keep(self._resolved, address, found)
        return found

    def is_local_domain(self, domain: str) -> bool:
        """See Directory."""
        self._refresh()
        found = self._domains.get(domain)
        if found is None:
            found = self._looked_up(lambda: home_of(domain, self._rows) is not None)
            if len(domain) <= _LONGEST_KEPT:
                _keep(self._domains, domain, found)
        return found

    def may_send_as(self, account: Account, address: Address) -> bool:
        """See Directory."""
        found = self.resolve(address)
        if isinstance(found, Local) and not found.outside and [each.id for each in found.accounts] == [account.id]:
            return True
        domain, local = domain_key(address.domain), local_key(address.local)
        if domain is None or local is None:
            return False
        return self._looked_up(lambda: identities.is_granted(self._connection, account.id, domain, local))

    def own_domain(self) -> str:
        """See Directory."""
        self._refresh()
        if self._own_domain is None:
            found = self._looked_up(lambda: self._rows.default_domain() or self._rows.first_domain())
            self._own_domain = found.name if found is not None else ""
        return self._own_domain

    def srs_secret(self) -> bytes:
        """See Directory."""
        return self._looked_up(lambda: self._rows.secret("srs"))

    def signing_keys(self, domain: str) -> tuple[SigningKey, ...]:
        """See Directory."""
        self._refresh()
        found = self._signing_keys.get(domain)
        if found is None:
            key = domain_key(domain)
            found = self._looked_up(lambda: keys_of(self._connection, key)) if key else ()
            if len(domain) <= _LONGEST_KEPT:
                _keep(self._signing_keys, domain, found)
        return found

    def revision(self) -> object:
        """See Directory."""
        self._refresh()
        return self._version

    def generations(self, accounts: Sequence[int]) -> dict[int, int]:
        """See Directory."""
        return self._looked_up(lambda: self._rows.generations(accounts))

    async def verify(self, login: str, password: str, ip: str) -> Account | Refusal:
        """See Directory."""
        return await self._verifier.verify(login, password, ip)

    def scram_keys(self, login: str) -> ScramKeys:
        """See Directory. An account with a foreign hash is answered like an unknown one until that is renewed."""
        claim = self._find(login)
        # RFC 5802 9: an unknown name must look like a known one, tomorrow too. These are made for known ones as well:
        # how long the answer takes says no more than the answer.
        salt, stored_key, server_key = (
            hmac.digest(self._secret, kind + claim.name.encode("utf-8", "surrogatepass"), "sha256")
            for kind in (b"salt\0", b"stored\0", b"server\0")
        )
        unknown = ScramKeys(salt[:16], self._hasher.cost.iterations, stored_key, server_key)
        return _scram_of(claim) or unknown

    def admit(self, login: str, ip: str, keys: ScramKeys) -> Account | Refusal:
        """See Directory."""
        claim = self._find(login)
        wait = self._throttle.wait(claim.name, ip)
        if wait > 0:
            return Refusal(RefusalKind.THROTTLED, wait)
        if claim.login is None or _scram_of(claim) != keys:
            return WRONG
        self._throttle.succeeded(claim.name, ip)
        return claim.login.account

    def refuse_proof(self, login: str, ip: str) -> Refusal:
        """See Directory."""
        claim = self._find(login)
        wait = self._throttle.wait(claim.name, ip)
        if wait > 0:
            return Refusal(RefusalKind.THROTTLED, wait)
        self._throttle.failed(claim.name, ip)
        return WRONG

    def note_guess(self, ip: str) -> float:
        """See Directory."""
        return self._throttle.guessed(ip)

    def throttled(self, login: str, ip: str) -> float:
        """See Directory. Looks the login up anew: that it was asked for a moment ago must not show in the time."""
        return self._throttle.wait(self._find(login, fresh=True).name, ip)

    def held_back(self, login: str, ip: str) -> float:
        """See Directory."""
        return self._throttle.held_back(self._find(login).name, ip)

    def _refresh(self) -> None:
        try:
            version = self._ask("PRAGMA data_version").get
        except apsw.Error as error:
            raise self._unreadable(error) from error
        if version != self._version:
            self._resolved.clear()
            self._domains.clear()
            self._claims.clear()
            self._signing_keys.clear()
            self._own_domain = None
            self._version = version

    def _unreadable(self, error: apsw.Error) -> DirectoryBusyError:
        """What to raise; that it happens is logged once a minute, for all logins and recipients fail of it."""
        text, now = f"{self._path} cannot be read: {error}", time.monotonic()
        if now >= self._silent_until:
            self._silent_until = now + _COMPLAIN_EVERY
            logging.getLogger(__name__).error(text)
        return DirectoryBusyError(text)

    def _looked_up(self, look_up: Callable[[], _T]) -> _T:
        """An answer from one state of the file."""
        try:
            self._ask("BEGIN")
            try:
                return look_up()
            finally:
                self._ask("COMMIT")
        except apsw.Error as error:
            raise self._unreadable(error) from error

    def _find(self, login: str, *, fresh: bool = False) -> Claim:
        self._refresh()
        claim = None if fresh else self._claims.get(login)
        if claim is None:
            claim = self._looked_up(lambda: self._claim(login))
            own_domain = self.own_domain()  # asked for known logins too: they take no other time
            if claim.login is None and not own_domain:
                raise DirectoryBusyError(f"{self._path} has no domain yet: nobody's password is wrong")
            if len(login) <= _LONGEST_KEPT:
                _keep(self._claims, login, claim)
        return claim

    def _claim(self, login: str) -> Claim:
        try:
            prepared = prepare(login)
        except ValueError:  # RFC 4013 forbids it, so it is nobody's
            return Claim(login, None)
        local, domain = self._rows.login_keys(prepared)
        known = self._rows.login(domain, local) if local and domain else None
        return Claim(f"{local}@{domain}", known)

    def _renew(self, login: LoginRow, credential: Credential) -> None:
        """Keep a credential made anew of the same password. On a thread, with a connection of its own."""
        scram = credential.scram
        assert scram is not None and login.credential is not None
        statement = (
            "UPDATE accounts SET hash = ?, salt = ?, iterations = ?, stored_key = ?, server_key = ?"
            " WHERE id = ? AND generation = ? AND hash = ?"  # unless it changed meanwhile
        )
        keys = (scram.salt, scram.iterations, scram.stored_key, scram.server_key)
        try:
            connection = open_directory(self._path)
            try:
                connection.execute(
                    statement, (credential.hash, *keys, login.account.id, login.generation, login.credential.hash)
                )
            finally:
                connection.close()
        except (apsw.Error, OSError, DatabaseError) as error:
            raise DirectoryBusyError(f"{self._path} cannot be written: {error}") from error


def _scram_of(claim: Claim) -> ScramKeys | None:
    """What proves the login by SCRAM; None for who does not exist, or has a hash from elsewhere still."""
    credential = claim.login.credential if claim.login is not None else None
    return credential.scram if credential is not None else None


def _keep(answers: dict[_K, _T], key: _K, answer: _T) -> None:
    if len(answers) >= _KEPT:
        answers.clear()
    answers[key] = answer
