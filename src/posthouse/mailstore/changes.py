"""The feed of changes: after each commit, who watches an account learns that there is something new.

Notifications are lossy by design; they carry the modseq, and the change log in the store is the truth.
"""

from collections.abc import Callable
from typing import Protocol


class ChangeBus(Protocol):
    """Carries "account A is now at modseq M" to every watcher, in this process or, later, on other nodes."""

    def publish(self, account: int, modseq: int) -> None:
        """Tell the watchers. Called on the event loop, after the commit. Never blocks, never raises."""

    def watch(self, account: int, tell: Callable[[int], None]) -> Callable[[], None]:
        """Call tell(modseq) on the event loop at every change; returns what ends the watch."""
