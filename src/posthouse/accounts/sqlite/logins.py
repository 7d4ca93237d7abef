"""Who a client is, by directory.db; see Logins."""

import hmac
import time
from collections.abc import Callable, Sequence

import apsw

from posthouse.accounts.errors import DirectoryBusyError
from posthouse.accounts.interface import Account, Refusal, RefusalKind
from posthouse.accounts.login_names import LoginName
from posthouse.accounts.passwords import PasswordHasher
from posthouse.accounts.pool import HashingPool
from posthouse.accounts.rows import Credential, LoginRow
from posthouse.accounts.sqlite.connection import open_directory
from posthouse.accounts.sqlite.reader import Answers, DirectoryReader
from posthouse.accounts.throttle import Throttle
from posthouse.accounts.verified_passwords import VerifiedPasswordCache
from posthouse.accounts.verifier import WRONG, Verifier
from posthouse.database.errors import DatabaseError
from posthouse.message.credentials import ScramKeys, prepare


class SqliteLogins:
    """See Logins. `own_domain` as in Addresses."""

    def __init__(
        self,
        reader: DirectoryReader,
        own_domain: Callable[[], str],
        throttle: Throttle,
        hasher: PasswordHasher,
        pool: HashingPool,
        verified: VerifiedPasswordCache | None,
        *,
        failure_seconds: float,
    ) -> None:
        self._reader = reader
        self._own_domain = own_domain
        self._throttle = throttle
        self._hasher = hasher
        self._secret = reader.rows.secret("unknown logins")
        self._version: object = None
        self._login_names: Answers[str, LoginName] = Answers()
        cache = verified or VerifiedPasswordCache(time.monotonic)
        self._verifier = Verifier(
            self._find, self._renew, throttle, hasher, pool, cache, failure_seconds=failure_seconds
        )

    async def verify(self, login: str, password: str, ip: str) -> Account | Refusal:
        """See Logins."""
        return await self._verifier.verify(login, password, ip)

    def scram_keys(self, login: str) -> ScramKeys:
        """See Logins. An account with a foreign hash is answered like an unknown one until that is renewed."""
        login_name = self._find(login)
        # RFC 5802 9: an unknown name must look like a known one, tomorrow too. These are made for known ones as well:
        # how long the answer takes says no more than the answer.
        salt, stored_key, server_key = (
            hmac.digest(self._secret, kind + login_name.name.encode("utf-8", "surrogatepass"), "sha256")
            for kind in (b"salt\0", b"stored\0", b"server\0")
        )
        unknown = ScramKeys(salt[:16], self._hasher.cost.iterations, stored_key, server_key)
        return _scram_of(login_name) or unknown

    def admit(self, login: str, ip: str, keys: ScramKeys) -> Account | Refusal:
        """See Logins."""
        login_name = self._find(login)
        wait = self._throttle.wait(login_name.name, ip)
        if wait > 0:
            return Refusal(RefusalKind.THROTTLED, wait)
        if login_name.login is None or _scram_of(login_name) != keys:
            return WRONG
        self._throttle.succeeded(login_name.name, ip)
        return login_name.login.account

    def refuse_proof(self, login: str, ip: str) -> Refusal:
        """See Logins."""
        login_name = self._find(login)
        wait = self._throttle.wait(login_name.name, ip)
        if wait > 0:
            return Refusal(RefusalKind.THROTTLED, wait)
        self._throttle.failed(login_name.name, ip)
        return WRONG

    def note_guess(self, ip: str) -> float:
        """See Logins."""
        return self._throttle.guessed(ip)

    def throttled(self, login: str, ip: str) -> float:
        """See Logins. Looks the login up each time: how long it takes must not say that it was asked for before."""
        return self._throttle.wait(self._find(login, fresh=True).name, ip)

    def held_back(self, login: str, ip: str) -> float:
        """See Logins."""
        return self._throttle.held_back(self._find(login).name, ip)

    def revision(self) -> object:
        """See Logins."""
        return self._reader.version()

    def generations(self, accounts: Sequence[int]) -> dict[int, int]:
        """See Logins."""
        return self._reader.look_up(lambda: self._reader.rows.generations(accounts))

    def _refresh(self) -> None:
        version = self._reader.version()
        if version != self._version:
            self._login_names.clear()
            self._version = version

    def _find(self, login: str, *, fresh: bool = False) -> LoginName:
        self._refresh()
        login_name = None if fresh else self._login_names.get(login)
        if login_name is None:
            login_name = self._reader.look_up(lambda: self._login_name(login))
            own_domain = self._own_domain()  # asked for known logins too: they take no other time
            if login_name.login is None and not own_domain:
                raise DirectoryBusyError(f"{self._reader.path} has no domain yet: nobody's password is wrong")
            self._login_names.keep(login, login_name, len(login))
        return login_name

    def _login_name(self, login: str) -> LoginName:
        try:
            prepared = prepare(login)
        except ValueError:  # RFC 4013 forbids it, so it is nobody's
            return LoginName(login, None)
        local, domain = self._reader.rows.login_keys(prepared)
        known = self._reader.rows.login(domain, local) if local and domain else None
        return LoginName(f"{local}@{domain}", known)

    def _renew(self, login: LoginRow, credential: Credential) -> None:
        """Keep a new credential for the same password. On a thread, with a connection of its own."""
        scram = credential.scram
        assert scram is not None and login.credential is not None
        statement = (
            "UPDATE accounts SET hash = ?, salt = ?, iterations = ?, stored_key = ?, server_key = ?"
            " WHERE id = ? AND generation = ? AND hash = ?"  # unless it changed meanwhile
        )
        keys = (scram.salt, scram.iterations, scram.stored_key, scram.server_key)
        try:
            connection = open_directory(self._reader.path)
            try:
                connection.execute(
                    statement, (credential.hash, *keys, login.account.id, login.generation, login.credential.hash)
                )
            finally:
                connection.close()
        except (apsw.Error, OSError, DatabaseError) as error:
            raise DirectoryBusyError(f"{self._reader.path} cannot be written: {error}") from error


def _scram_of(login_name: LoginName) -> ScramKeys | None:
    """What proves the login by SCRAM; None for who does not exist, or has a hash from elsewhere still."""
    credential = login_name.login.credential if login_name.login is not None else None
    return credential.scram if credential is not None else None
