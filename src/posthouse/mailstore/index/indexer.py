"""Keeps the index up to date for accounts whose owners read their mail here, while there is nothing better to do.

Nobody depends on it: what it has not reached is indexed when somebody asks. Accounts are followed at the same time and
take turns, a few messages each, so that a large one does not hold up the others.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

from posthouse.mailstore.changes import ChangeBus
from posthouse.mailstore.index.index import MessageIndex
from posthouse.mailstore.interface import Mailstore, StoreError

QUIET_SECONDS = 0.3  # without news from an account, before it is read
LATEST_SECONDS = 5.0  # then it is read even if news keep coming
SHARE = 0.25  # of one core
_CHUNK = 10  # messages between two pauses
_KEPT = 10_000  # accounts that are watched at most


class Indexer:
    """One per worker. Used on its event loop only."""

    def __init__(self, index: MessageIndex, store: Mailstore, bus: ChangeBus) -> None:
        self._index = index
        self._store = store
        self._bus = bus
        self._watches: dict[int, Callable[[], None]] = {}  # account -> what ends the watch, the oldest first
        self._due: dict[int, tuple[float, float]] = {}  # account -> first and last news
        self._news = asyncio.Event()
        self._following: dict[int, asyncio.Task[None]] = {}
        self._turn = asyncio.Lock()  # first come, first served

    def watch_account(self, account: int) -> None:
        """Follow an account from now on."""
        if account in self._watches:
            return
        if len(self._watches) >= _KEPT:
            oldest = next(iter(self._watches))
            self._watches.pop(oldest)()
        self._watches[account] = self._bus.watch(account, lambda _modseq: self._note(account))
        self._note(account)

    async def run(self) -> None:
        """Until cancelled. Accounts stay watched if it ends otherwise, for the next run."""
        try:
            while True:
                await self._news.wait()
                await asyncio.sleep(QUIET_SECONDS / 2)
                self._begin(time.monotonic())
                if not self._due:
                    self._news.clear()
        except asyncio.CancelledError:
            for end in self._watches.values():
                end()
            self._watches.clear()
            tasks = list(self._following.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise

    def _note(self, account: int) -> None:
        now = time.monotonic()
        first, _ = self._due.get(account, (now, now))
        self._due[account] = (first, now)
        self._news.set()

    def _begin(self, now: float) -> None:
        """Follow those accounts whose time has come."""
        for account, (first, last) in list(self._due.items()):
            is_time = now - last >= QUIET_SECONDS or now - first >= LATEST_SECONDS
            if is_time and account not in self._following:
                del self._due[account]
                task = asyncio.get_running_loop().create_task(self._follow(account))
                self._following[account] = task
                task.add_done_callback(lambda task, account=account: self._followed(account, task))  # type: ignore[misc]

    def _followed(self, account: int, task: "asyncio.Task[None]") -> None:
        """The next news bring us to the account again, whatever happened."""
        del self._following[account]
        if not task.cancelled() and (error := task.exception()) is not None:
            logging.getLogger(__name__).error("account %d could not be indexed", account, exc_info=error)

    async def _follow(self, account: int) -> None:
        with contextlib.suppress(StoreError):  # the next news will bring us here again
            since = await self._index.followed(account)
            now = self._store.modseq(account)
            if now <= since:
                return
            coming, gone = await self._news_since(account, since)
            is_complete = True
            for mailbox, messages in coming.items():
                for start in range(0, len(messages), _CHUNK):
                    is_complete &= await self._index_some(account, mailbox, messages[start : start + _CHUNK])
            await self._index.remove(account, gone)
            if is_complete:
                await self._index.note_followed(account, now)

    async def _news_since(self, account: int, since: int) -> tuple[dict[int, list[int]], list[int]]:
        """Messages that may be new, by mailbox, the latest first; and those that were expunged."""
        coming: dict[int, list[int]] = {}
        if not since:  # all of it: columns are cheaper than changes
            for box in await self._store.mailboxes(account):
                seen = await self._store.snapshot(account, box.name)
                coming[seen.mailbox.id] = list(reversed(seen.messages))
            return coming, []
        changes = await self._store.changes(account, since)
        for change in reversed(changes):
            if not change.expunged:
                coming.setdefault(change.mailbox, []).append(change.message)
        return coming, [change.message for change in changes if change.expunged]

    async def _index_some(self, account: int, mailbox: int, messages: list[int]) -> bool:
        """False when one of them cannot be read now; the others are indexed."""
        async with self._turn:
            began, is_complete = time.monotonic(), True
            try:
                await self._index.ensure(account, mailbox, messages)
            except StoreError:
                is_complete = False
            await asyncio.sleep((time.monotonic() - began) * (1 / SHARE - 1))
            return is_complete
