"""The sessions that have logged in, and their end when the password changes or the account goes.

The directory is looked at every second or so; mostly that it has not changed is all there is to see. A session that has
just logged in is always looked at once: its password may have changed between its check and its entry here.
"""

import asyncio
from collections.abc import Callable

from posthouse.accounts.errors import DirectoryBusyError
from posthouse.accounts.interface import Account, Directory

CHECK_SECONDS = 1.0
_AT_ONCE = 500  # accounts asked for in one go

End = Callable[[], None]


class OpenSessions:
    """One per process, for all protocols; used on its event loop alone."""

    def __init__(self) -> None:
        self._of: dict[int, dict[object, tuple[int, End]]] = {}  # account -> session -> generation, what ends it
        self._entered: set[int] = set()  # accounts of sessions that came since the last look
        self._revision: object = None

    def __len__(self) -> int:
        return sum(map(len, self._of.values()))

    def enter(self, session: object, account: Account, end: End) -> None:
        """A session has logged in; `end` is called when that login no longer holds."""
        self._of.setdefault(account.id, {})[session] = (account.generation, end)
        self._entered.add(account.id)

    def leave(self, session: object, account: int) -> None:
        """The session is over. One that never entered does no harm."""
        sessions = self._of.get(account)
        if sessions is not None:
            sessions.pop(session, None)
            if not sessions:
                del self._of[account]

    async def check(self, directory: Directory) -> None:
        """End the sessions whose logins no longer hold. While the directory cannot be read, all stay."""
        try:
            revision = directory.logins.revision()
            accounts = list(self._of if revision != self._revision else self._entered)
            self._entered.clear()
            for start in range(0, len(accounts), _AT_ONCE):
                asked = accounts[start : start + _AT_ONCE]
                self._end_stale(asked, directory.logins.generations(asked))
                await asyncio.sleep(0)
            self._revision = revision
        except DirectoryBusyError:
            self._revision = None  # then all are looked at

    def _end_stale(self, accounts: list[int], generations: dict[int, int]) -> None:
        for account in accounts:
            for generation, end in list(self._of.get(account, {}).values()):
                if generations.get(account) != generation:
                    end()
