"""Checks passwords: throttle first, then memory, then a hash on a thread, one for all who ask the same at once."""

import asyncio
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from posthouse.accounts.errors import AccountsError
from posthouse.accounts.interface import Account, Refusal, RefusalKind
from posthouse.accounts.login_names import LoginName
from posthouse.accounts.passwords import PasswordHasher
from posthouse.accounts.pool import HashingPool, PoolFullError
from posthouse.accounts.rows import Credential, LoginRow
from posthouse.accounts.throttle import Throttle
from posthouse.accounts.verified_passwords import VerifiedPasswordCache
from posthouse.message.ip import customer_network

WRONG = Refusal(RefusalKind.WRONG)
FAILURE_SECONDS = 1.0
BUSY = Refusal(RefusalKind.BUSY, 2.0)


@dataclass(slots=True)
class _Check:
    """A hash under way, and the peers (name, address) that wait for it: one per network."""

    future: "asyncio.Future[bool]"
    peers: dict[str, str] = field(default_factory=dict)  # network -> address


class Verifier:
    """Verifies on one event loop.

    `find` gives what a login name stands for now; `renew` keeps a new credential for the same password, on a thread.
    """

    def __init__(
        self,
        find: Callable[[str], LoginName],
        renew: Callable[[LoginRow, Credential], None],
        throttle: Throttle,
        hasher: PasswordHasher,
        pool: HashingPool,
        verified: VerifiedPasswordCache,
        *,
        failure_seconds: float = FAILURE_SECONDS,
    ) -> None:
        """`failure_seconds`: a wrong password is answered so long after it came, or twice as long, and so on.

        Hashes of different schemes take a fifth of the time or ten times as long: so that does not tell which names
        exist. Longer than a hash takes, with those of others that wait before it on a common day.
        """
        self._find = find
        self._renew = renew
        self._throttle = throttle
        self._hasher = hasher
        self._pool = pool
        self._verified = verified
        self._failure_seconds = failure_seconds
        self._running: dict[bytes, _Check] = {}

    async def verify(self, login: str, password: str, ip: str) -> Account | Refusal:
        """See Directory."""
        login_name = self._find(login)
        wait = self._throttle.wait(login_name.name, ip)
        if wait > 0:
            return Refusal(RefusalKind.THROTTLED, wait)
        known = login_name.login
        fingerprint = self._verified.fingerprint(login_name, password)
        # Asked for unknown names too: they take no other time.
        if self._verified.holds(fingerprint) and known is not None:
            self._throttle.succeeded(login_name.name, ip)  # it may be a network that the account was never used from
            return known.account
        began = time.monotonic()
        refusal = await self._hold_back(login_name, ip)
        if refusal is not None:
            return refusal
        try:
            check = self._join(fingerprint, login_name, password, ip)
        except PoolFullError:
            return BUSY
        if check is None:
            return Refusal(RefusalKind.THROTTLED, 1.0)
        right = await asyncio.shield(check.future)
        outcome = self._granted(login, known) if right and known is not None else WRONG
        if outcome is WRONG and self._failure_seconds:
            spent = time.monotonic() - began
            await asyncio.sleep(math.ceil(spent / self._failure_seconds) * self._failure_seconds - spent)
        return outcome

    async def _hold_back(self, login_name: LoginName, ip: str) -> Refusal | None:
        """Wait as the throttle says; a refusal when it is shut by then, or too many of this peer's wait already."""
        seconds = self._throttle.held_back(login_name.name, ip)
        if not seconds:
            return None
        if not self._throttle.begin(login_name.name, ip):
            return Refusal(RefusalKind.THROTTLED, 1.0)
        try:
            await asyncio.sleep(seconds)
        finally:
            self._throttle.end(login_name.name, ip)
        wait = self._throttle.wait(login_name.name, ip)
        return Refusal(RefusalKind.THROTTLED, wait) if wait else None

    def _granted(self, login: str, known: LoginRow) -> Account | Refusal:
        """The account, unless it went or its password changed while the hash was computed."""
        now = self._find(login).login
        same = now is not None and now.account.id == known.account.id and now.generation == known.generation
        return now.account if now is not None and same else WRONG

    def _join(self, fingerprint: bytes, login_name: LoginName, password: str, ip: str) -> _Check | None:
        """The check under way for this password, or a new one; None when the peer has too many of its own."""
        check = self._running.get(fingerprint)
        network = customer_network(ip)
        if check is not None and network in check.peers:
            return check
        if not self._throttle.begin(login_name.name, ip):
            return None
        if check is None:
            try:
                check = self._start(fingerprint, login_name, password)
            except PoolFullError:
                self._throttle.end(login_name.name, ip)
                raise
        check.peers[network] = ip
        return check

    def _start(self, fingerprint: bytes, login_name: LoginName, password: str) -> _Check:
        credential = login_name.login.credential if login_name.login else None
        job = self._pool.submit(self._hasher.check, credential.hash if credential else None, password)
        check = _Check(asyncio.wrap_future(job))
        self._running[fingerprint] = check
        # A peer that hangs up does not stop the count: the outcome is recorded here, not where it is awaited.
        check.future.add_done_callback(lambda _done: self._settle(fingerprint, check, login_name, password))
        return check

    def _settle(self, fingerprint: bytes, check: _Check, login_name: LoginName, password: str) -> None:
        del self._running[fingerprint]
        for ip in check.peers.values():
            self._throttle.end(login_name.name, ip)
        if check.future.cancelled() or check.future.exception() is not None:
            return  # the server stops, or those who wait will see it
        note = self._throttle.succeeded if check.future.result() else self._throttle.failed
        for ip in check.peers.values():
            note(login_name.name, ip)
        if check.future.result() and login_name.login is not None:
            self._verified.add(fingerprint)
            self._begin_renewal(login_name, login_name.login, password)

    def _begin_renewal(self, login_name: LoginName, login: LoginRow, password: str) -> None:
        credential = login.credential
        if credential is None or self._hasher.is_current(credential):
            return
        try:
            job = self._pool.submit(self._renewal, login, password)
        except PoolFullError:
            return  # no hurry: the next login that hashes tries again
        done = asyncio.wrap_future(job)
        done.add_done_callback(lambda _done: self._note_renewal(login_name, password, done))

    def _note_renewal(self, login_name: LoginName, password: str, done: "asyncio.Future[str]") -> None:
        """The same password fits the new hash: it need not be hashed to know that."""
        if not done.cancelled() and done.exception() is None and done.result():
            self._verified.add(self._verified.fingerprint(login_name, password, done.result()))

    def _renewal(self, login: LoginRow, password: str) -> str:
        """Returns the new hash; "" when the old one stays."""
        renewed = self._hasher.renewed(password)
        try:
            if renewed is not None:
                self._renew(login, renewed)
                return renewed.hash
        except AccountsError as error:  # the old hash still serves; the next login tries again
            logging.getLogger(__name__).warning("password hash of account %d not renewed: %s", login.account.id, error)
        return ""
