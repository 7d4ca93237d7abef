"""Logging in, the same for every protocol: who is asked, who is throttled, who may act as whom."""

import contextlib

from posthouse.accounts.errors import DirectoryBusyError
from posthouse.accounts.interface import Account, Directory, Refusal, RefusalKind
from posthouse.message.credentials import ScramKeys
from posthouse.protocol.events import KeysWanted, LoginFailed, LoginProven, PasswordOffered

WRONG = Refusal(RefusalKind.WRONG)
UNWELL = Refusal(RefusalKind.UNREADABLE)


class Logins:
    """The login offers of one connection."""

    def __init__(self, directory: Directory, ip: str) -> None:
        self._directory = directory
        self._ip = ip

    async def verify(self, offer: PasswordOffered) -> Account | Refusal:
        """Check a password."""
        if offer.authzid not in ("", offer.login):
            return WRONG  # nobody may act as somebody else
        try:
            return await self._directory.verify(offer.login, offer.password, self._ip)
        except DirectoryBusyError:
            return UNWELL

    def keys(self, offer: KeysWanted) -> ScramKeys | Refusal:
        """The keys to challenge with, unless the login is throttled."""
        try:
            if seconds := self._directory.throttled(offer.login, self._ip):
                return Refusal(RefusalKind.THROTTLED, seconds)
            return self._directory.scram_keys(offer.login)
        except DirectoryBusyError:
            return UNWELL

    def admit(self, offer: LoginProven) -> Account | Refusal:
        """After a proof that held."""
        if offer.authzid not in ("", offer.login):
            return WRONG
        try:
            return self._directory.admit(offer.login, self._ip)
        except DirectoryBusyError:
            return UNWELL

    def failed(self, event: LoginFailed) -> None:
        """After a proof that did not hold."""
        with contextlib.suppress(DirectoryBusyError):
            self._directory.note_failure(event.login, self._ip)
