"""The feed of changes: after each commit, who watches an account learns that there is something new.

Notifications are lossy by design; they carry the modseq, and the change log in the store is the truth.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol


class ChangeBus(Protocol):
    """Carries "account A is now at modseq M" to every watcher, in this process and in the other workers."""

    def publish(self, account: int, modseq: int) -> None:
        """Notify the watchers. Called on the event loop, after the commit. Never blocks, never raises."""

    def watch(self, account: int, notify: Callable[[int], None]) -> Callable[[], None]:
        """Call notify(modseq) on the event loop at every change; returns what ends the watch."""


class LocalBus:
    """Carries changes between the sessions of one process. Used on the event loop only."""

    def __init__(self) -> None:
        self._watchers: dict[int, list[Callable[[int], None]]] = {}

    def publish(self, account: int, modseq: int) -> None:
        """Notify the watchers. One that raises is reported to the loop's exception handler; the others are called."""
        for notify in tuple(self._watchers.get(account, ())):  # a watcher may end its watch when called
            try:
                notify(modseq)
            except Exception as error:
                asyncio.get_running_loop().call_exception_handler(
                    {"message": f"a watcher of account {account} failed", "exception": error}
                )

    def watch(self, account: int, notify: Callable[[int], None]) -> Callable[[], None]:
        """Call notify(modseq) on the event loop at every change; returns what ends the watch (twice does no harm)."""
        watchers = self._watchers.setdefault(account, [])
        watchers.append(notify)
        ended = False

        def end() -> None:
            nonlocal ended
            if ended:
                return
            ended = True
            watchers.remove(notify)
            if not watchers and self._watchers.get(account) is watchers:
                del self._watchers[account]

        return end
