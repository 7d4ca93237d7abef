"""Keeps this process's lease on what it has claimed, and its memory the same as the tables."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from structlog.typing import FilteringBoundLogger

from posthouse.delivery.outbound.active_queue import ActiveQueue
from posthouse.mailstore.interface import StoreError
from posthouse.queue.interface import Key, Outgoing

T = TypeVar("T")

RENEW_SECONDS = 20.0
_RENEW_AGAIN_SECONDS = 5.0
WATCH_SECONDS = 1.0  # between two looks at the other claimers, and at what operators want
COMPARE_SECONDS = 10.0  # between two comparisons of what is in memory with the tables
_CLOCK_SLACK = 60.0  # seconds that the clock may step without anything being put right


async def guarded(log: FilteringBoundLogger, work: Awaitable[T], text: str) -> T | None:
    """What it returns; None, and a line in the log, when the store cannot do it now."""
    try:
        return await work
    except StoreError as error:
        log.error(text, error=error)
        return None


class LeaseKeeper:
    """`clock` gives seconds since 1970; `on_step` is called when it has stepped."""

    def __init__(
        self,
        outgoing: Outgoing,
        active: ActiveQueue,
        log: FilteringBoundLogger,
        *,
        clock: Callable[[], float],
        on_step: Callable[[], None],
    ) -> None:
        self._outgoing = outgoing
        self._active = active
        self._log = log
        self._clock = clock
        self._on_step = on_step
        self._orphans: set[Key] = set()  # ours by the tables, in nobody's hands, when we looked last

    async def run(self) -> None:
        """Renew, watch and compare, until it is cancelled."""
        active = self._active
        compared = renewed = active.now()
        ahead = self._clock() - compared
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            now = active.now()
            if now - renewed >= RENEW_SECONDS or not self._outgoing.is_alive or not active.is_sure:
                if await guarded(self._log, self.renew(), "the claims were not renewed"):
                    renewed = now
                    active.renewed(now)
                else:
                    renewed = now - RENEW_SECONDS + _RENEW_AGAIN_SECONDS
            if await guarded(self._log, self._outgoing.watch(), "the claimers cannot be read"):
                compared = now - COMPARE_SECONDS
            due = now - compared >= COMPARE_SECONDS
            if due and await guarded(self._log, self._compare(), "the claims cannot be read"):
                compared = now
            before, ahead = ahead, self._clock() - now
            if abs(ahead - before) > _CLOCK_SLACK:
                self._on_step()

    async def renew(self) -> bool:
        """Hold on to what is ours. True: it was done. Raises StoreError."""
        if not self._outgoing.is_alive:
            self._doubt()
        if not await self._outgoing.renew():
            self._doubt()
        if not self._active.is_sure:
            await self._compare()
            self._active.is_sure = True
        return True

    def _doubt(self) -> None:
        if self._active.is_sure:
            self._log.warning("the claims were renewed too late; what others have by now is let go")
        self._active.doubt()

    async def _compare(self) -> bool:
        """Let go of what is ours no more, and give back what is in nobody's hands. True: it was done."""
        active = self._active
        before = set(active.held)
        owned = await self._outgoing.claimed()
        lost = before - owned.keys()
        held = {key for key, is_held in owned.items() if is_held}  # by an operator
        struck = active.lanes.take_out(lost | held)
        active.held -= struck
        orphans = owned.keys() - active.held - struck
        given_back = (orphans & self._orphans) | (struck & held)
        self._orphans = orphans - given_back
        if given_back:
            await self._outgoing.release(given_back)
        return True
