"""Logging in, the same for every protocol: who is asked, who is throttled, who may act as whom, and what is logged.

Every login and every one that was refused is a line in the log, with the reason.
"""

import asyncio

from posthouse.accounts.errors import DirectoryBusyError
from posthouse.accounts.interface import Account, Refusal, RefusalKind
from posthouse.message.credentials import ScramKeys
from posthouse.net.connection import Connection
from posthouse.protocol.events import KeysWanted, LoginFailed, LoginProven, LoginRefused, PasswordOffered
from posthouse.sessions.refusals import Refusals
from posthouse.sessions.services import Services

WRONG = Refusal(RefusalKind.WRONG)
DIRECTORY_UNREADABLE = Refusal(RefusalKind.UNREADABLE)
_REASONS = {
    RefusalKind.WRONG: "wrong login or password",
    RefusalKind.THROTTLED: "too many failed logins",
    RefusalKind.BUSY: "too many passwords are being checked",
    RefusalKind.UNREADABLE: "the directory cannot be read now",
}
_LONGEST = 320  # characters of a login name in the log; an address has no more


class SessionLogins:
    """The login offers of one connection."""

    def __init__(self, services: Services, connection: Connection, refusals: Refusals) -> None:
        self._directory = services.directory
        self._log = services.log
        self._connection = connection
        self._refusals = refusals
        self._ip = connection.peer_ip
        self._keys: ScramKeys | None = None  # of the exchange at hand: a proof is one of these, and of no later ones

    async def verify(self, offer: PasswordOffered) -> Account | Refusal:
        """Check a password."""
        if offer.authzid not in ("", offer.login):
            return self._noted(offer.login, "password", WRONG, f"may not act as {offer.authzid[:_LONGEST]}")
        try:
            outcome = await self._directory.logins.verify(offer.login, offer.password, self._ip)
        except DirectoryBusyError:
            outcome = DIRECTORY_UNREADABLE
        return self._noted(offer.login, "password", outcome)

    async def keys(self, offer: KeysWanted) -> ScramKeys | Refusal:
        """The keys to challenge with, unless the login is throttled."""
        directory, login = self._directory, offer.login
        try:
            seconds = directory.logins.throttled(login, self._ip)
            if not seconds and (held_back := directory.logins.held_back(login, self._ip)):
                await asyncio.sleep(held_back)
                seconds = directory.logins.throttled(login, self._ip)
            if not seconds:
                self._keys = directory.logins.scram_keys(login)
                return self._keys
            refusal = Refusal(RefusalKind.THROTTLED, seconds)
        except DirectoryBusyError:
            refusal = DIRECTORY_UNREADABLE
        self._noted(offer.login, "scram", refusal)
        return refusal

    def admit(self, offer: LoginProven) -> Account | Refusal:
        """After a proof that held."""
        keys, self._keys = self._keys, None
        if offer.authzid not in ("", offer.login):
            return self._noted(offer.login, "scram", WRONG, f"may not act as {offer.authzid[:_LONGEST]}")
        if keys is None:
            return self._noted(offer.login, "scram", WRONG)
        try:
            outcome = self._directory.logins.admit(offer.login, self._ip, keys)
        except DirectoryBusyError:
            outcome = DIRECTORY_UNREADABLE
        return self._noted(offer.login, "scram", outcome)

    def failed(self, offer: LoginFailed) -> Refusal:
        """After a proof that did not hold."""
        self._keys = None
        try:
            refusal = self._directory.logins.refuse_proof(offer.login, self._ip)
        except DirectoryBusyError:
            refusal = DIRECTORY_UNREADABLE
        self._noted(offer.login, "scram", refusal)
        return refusal

    def refused(self, event: LoginRefused, account: Account | None = None) -> None:
        """After a login that was refused without a check, or for what comes behind one."""
        self._log_refusal("" if account is None else str(account.address), "", event.reason, 0)

    def _noted(self, login: str, mechanism: str, outcome: Account | Refusal, reason: str = "") -> Account | Refusal:
        if isinstance(outcome, Refusal):
            self._log_refusal(login[:_LONGEST], mechanism, reason or _REASONS[outcome.kind], outcome.seconds)
            return outcome
        tls = self._connection.tls
        self._log.info(
            "login",
            service=self._refusals.service,
            client=self._ip,
            login=str(outcome.address),
            mechanism=mechanism,
            tls=tls.version if tls is not None else "none",
            connection=self._connection.id,
        )
        return outcome

    def _log_refusal(self, login: str, mechanism: str, reason: str, wait: float) -> None:
        self._refusals.log(
            "login refused",
            login=login or None,
            mechanism=mechanism or None,
            reason=reason,
            wait=round(wait) or None,
        )
