"""The tasks of a server: held, so that none is lost, and told apart into work and its tidying up."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from structlog.typing import FilteringBoundLogger

Work = Coroutine[Any, Any, None]


class Tasks:
    """Starts tasks and remembers them until they are done. A task that fails is logged: that is a bug."""

    def __init__(self, log: FilteringBoundLogger, on_done: Callable[[], None]) -> None:
        self._log = log
        self._on_done = on_done
        self._loop = asyncio.get_running_loop()
        self._work: set[asyncio.Task[None]] = set()
        self._tidying: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._work) + len(self._tidying)

    def start(self, work: Work) -> None:
        """Do `work`, which cancel() may cut short."""
        self._add(self._work, work)

    def tidy(self, work: Work) -> None:
        """Do `work`, which is never cut short: it gives back leases and files."""
        self._add(self._tidying, work)

    def cancel(self) -> None:
        """Cut all work short."""
        for task in self._work:
            task.cancel()

    def _add(self, those: set[asyncio.Task[None]], work: Work) -> None:
        task = self._loop.create_task(work)
        those.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._work.discard(task)
        self._tidying.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("task failed", exc_info=error)
        self._on_done()
