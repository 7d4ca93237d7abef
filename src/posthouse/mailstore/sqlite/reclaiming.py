"""Space on a full disk: that of removed mail is given back at once instead of after the grace."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from posthouse.mailstore.interface import StoreError, StoreFullError
from posthouse.mailstore.sqlite.access import StoreAccess
from posthouse.mailstore.sqlite.reaper import Reaper
from posthouse.mailstore.sqlite.units import Work

W = TypeVar("W", bound=Work[Any])

_PAUSE = 5.0  # seconds between two searches for space to be given back, when there was none


class SpaceReclaimer:
    """One per store. `clock` gives seconds since 1970."""

    def __init__(self, access: StoreAccess, reaper: Reaper, clock: Callable[[], float]) -> None:
        self._access = access
        self._reaper = reaper
        self._clock = clock
        self._turn = asyncio.Lock()
        self._rounds = 0  # in which there was space to be given back
        self._not_before = 0.0  # the loop's time

    async def submit(self, make: Callable[[], W]) -> W:
        """Have a unit committed that needs space: once more if the disk is full of what was removed."""
        unit = make()
        try:
            await self._access.submit(unit)
        except StoreFullError:
            if not await self.reclaim():
                raise
            unit = make()
            await self._access.submit(unit)
        return unit

    async def reclaim(self) -> bool:
        """Give the space of removed mail back; whether there was any. Raises StoreError.

        A reader that still has such a message open gets DamagedError, for its header is gone; nobody gets other octets.
        """
        rounds = self._rounds
        async with self._turn:
            if rounds != self._rounds:  # another one has just done it
                return True
            now = asyncio.get_running_loop().time()
            if now < self._not_before:
                return False
            try:
                freed = (await self._reaper.run(self._clock(), 0.0)).octets
            except OSError as error:
                raise StoreError(f"space could not be given back: {error}") from error
            if freed:
                self._rounds += 1
            else:
                self._not_before = now + _PAUSE
            return freed > 0
