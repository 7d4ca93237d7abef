"""Stops a worker's reaper between two of its steps, for as long as other things are done."""

import asyncio
import contextlib
import threading
from collections.abc import Iterable
from typing import Any

from posthouse.mailstore.sqlite.store import SqliteMailstore

# Behind its look for holes; before it punches one; behind that, before the rows go; before it cuts a pack to remove it.
MOMENTS = ("looked", "punch", "punched", "cut")
_THREADS = "pack-reader"  # those the reaper works in; the commit thread punches and cuts, too


class Gate:
    """Who comes to it in one of the reaper's threads waits there, if it is closed: the first one, once."""

    def __init__(self) -> None:
        self._closed = ""  # a moment
        self._open = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self.reached = asyncio.Event()

    def close(self, moment: str) -> None:
        """Stop the next one that comes to that moment."""
        self._loop, self._open, self.reached = asyncio.get_running_loop(), threading.Event(), asyncio.Event()
        self._closed = moment

    def open(self) -> None:
        """Let who waits go on."""
        self._closed = ""
        self._open.set()

    def meet(self, moment: str) -> None:
        """In the reaper's thread: wait, if the gate is closed."""
        if self._closed == moment and threading.current_thread().name.startswith(_THREADS):
            self._closed, opened = "", self._open
            self._loop.call_soon_threadsafe(self.reached.set)
            opened.wait()


class StoppableReaper:
    """The reaper of a store. At most one of its rounds is stopped at a time; others may run beside it."""

    def __init__(self, store: SqliteMailstore, gate: Gate) -> None:
        self._store = store
        self._gate = gate
        self._round: asyncio.Future[Any] | None = None
        reaper = store._reaper
        punch_all = reaper._punch_all

        def punch_between(holes: Iterable[Any], failures: dict[int, OSError]) -> bool:
            gate.meet("looked")
            supported = punch_all(holes, failures)
            gate.meet("punched")
            return supported

        reaper._punch_all = punch_between  # type: ignore[method-assign]

    async def stop(self, now: float, grace: float, moment: str) -> bool:
        """Begin a round; whether it stands at that moment now. Else it has ended. Raises StoreError."""
        self._gate.close(moment)
        self._round = asyncio.ensure_future(self._store.reap(now, grace=grace))
        reached = asyncio.ensure_future(self._gate.reached.wait())
        await asyncio.wait([self._round, reached], return_when=asyncio.FIRST_COMPLETED)
        reached.cancel()
        if not self._round.done():
            return True
        await self.go_on()
        return False

    async def go_on(self) -> None:
        """Let the round go on to its end, if one is stopped. Raises StoreError."""
        stopped, self._round = self._round, None
        self._gate.open()
        if stopped is not None:
            await stopped

    async def end(self) -> None:
        """The same, whatever comes of it."""
        with contextlib.suppress(Exception):
            await self.go_on()
