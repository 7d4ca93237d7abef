"""Long work of sessions: a few pieces at once, one of each account, and the accounts take turns.

What computes long in threads holds the interpreter's lock by turns with the event loop, and each such thread makes
everybody wait a little longer. So their number is bounded; and an account that asks for much, in however many sessions,
gets one share like any other.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

AT_ONCE = 2


class FairShares:
    """Who may do long work now. For one event loop; `at_once` accounts, the others wait in order."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._free = at_once
        self._working: set[int] = set()  # accounts
        self._waiting: dict[int, deque[asyncio.Future[None]]] = {}  # by account; the first is the next

    @asynccontextmanager
    async def of(self, account: int) -> AsyncIterator[None]:
        """A share for as long as the block runs. Do not wait for the client within it."""
        await self._take(account)
        try:
            yield
        finally:
            self._give_back(account)

    async def _take(self, account: int) -> None:
        if self._free and account not in self._working:  # nobody waits who could have it
            self._free -= 1
            self._working.add(account)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(account, deque()).append(future)
        try:
            await future
        except BaseException:
            if future.done() and not future.cancelled():  # it was given and not taken
                self._give_back(account)
            raise

    def _give_back(self, account: int) -> None:
        self._working.discard(account)
        self._free += 1
        if account in self._waiting:  # it has had its turn: the others come first
            self._waiting[account] = self._waiting.pop(account)
        for next_account in list(self._waiting):
            if next_account not in self._working and self._admit(next_account):
                return

    def _admit(self, account: int) -> bool:
        """Give the share to the first of an account who still waits; the account goes to the end of the row."""
        queue = self._waiting.pop(account)
        while queue:
            future = queue.popleft()
            if not future.done():
                future.set_result(None)
                self._free -= 1
                self._working.add(account)
                if queue:
                    self._waiting[account] = queue
                return True
        return False
