"""Keeps the index up to date for accounts that somebody reads, while nothing better is to be done."""

import asyncio
import contextlib
import time
from collections.abc import Callable

from posthouse.mailstore.changes import ChangeBus
from posthouse.mailstore.contents.index import MessageIndex
from posthouse.mailstore.interface import Mailstore, StoreError

QUIET_SECONDS = 0.3  # without news from an account, before it is looked at
LATEST_SECONDS = 5.0  # then it is looked at even if news keep coming
_CHUNK = 20  # messages between two pauses
_SHARE = 0.25  # of one core
_KEPT = 10_000  # accounts that are watched at most


class Indexer:
    """One per worker: it looks after the accounts whose owners have logged in here."""

    def __init__(self, index: MessageIndex, store: Mailstore, bus: ChangeBus) -> None:
        self._index = index
        self._store = store
        self._bus = bus
        self._watches: dict[int, Callable[[], None]] = {}  # account -> what ends the watch, the oldest first
        self._due: dict[int, tuple[float, float]] = {}  # account -> first and last news, in seconds of the loop
        self._news = asyncio.Event()

    def take_up(self, account: int) -> None:
        """Look after an account from now on."""
        if account in self._watches:
            return
        if len(self._watches) >= _KEPT:
            oldest = next(iter(self._watches))
            self._watches.pop(oldest)()
        self._watches[account] = self._bus.watch(account, lambda _modseq: self._noted(account))
        self._noted(account)

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                await self._news.wait()
                await asyncio.sleep(QUIET_SECONDS / 2)
                now = time.monotonic()
                for account, (first, last) in list(self._due.items()):
                    if now - last >= QUIET_SECONDS or now - first >= LATEST_SECONDS:
                        del self._due[account]
                        with contextlib.suppress(StoreError):  # the next news will bring us here again
                            await self._look_through(account)
                if not self._due:
                    self._news.clear()
        finally:
            for end in self._watches.values():
                end()
            self._watches.clear()

    def _noted(self, account: int) -> None:
        now = time.monotonic()
        first, _ = self._due.get(account, (now, now))
        self._due[account] = (first, now)
        self._news.set()

    async def _look_through(self, account: int) -> None:
        since = await self._index.seen(account)
        if self._store.modseq(account) <= since:
            return
        changes = await self._store.changes(account, since)
        if not changes:
            return
        coming: dict[int, list[int]] = {}
        for change in changes:
            if not change.expunged:
                coming.setdefault(change.mailbox, []).append(change.message)
        for mailbox, messages in coming.items():
            for at in range(0, len(messages), _CHUNK):
                started = time.monotonic()
                await self._index.ensure(account, mailbox, messages[at : at + _CHUNK])
                took = time.monotonic() - started
                await asyncio.sleep(took * (1 / _SHARE - 1))
        gone = [change.message for change in changes if change.expunged]
        if gone:
            await self._index.drop(account, gone)
        await self._index.note_seen(account, changes[-1].modseq)
