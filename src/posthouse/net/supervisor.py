"""Long tasks that must not end by themselves: one that does is started again, and never without a word in the log.

A task that is not awaited by anybody can die unseen: an exception that nobody thought of, a cancellation that leaked
out of what it waited for, a loop that was left. What it did is then not done until the next restart of the server.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from structlog.typing import FilteringBoundLogger

Work = Callable[[], Coroutine[Any, Any, None]]

FIRST_PAUSE = 1.0  # seconds before a task is started again; doubled each time it ends soon after
LAST_PAUSE = 60.0
_RAN_WELL = 300.0  # seconds; a task that ran this long begins with the first pause again


class Supervisor:
    """Runs long tasks on one event loop until stop(). `pauses`: the first and the last, in seconds.

    Once `stopping` is set a task may return; it is not started again then.
    """

    def __init__(
        self,
        log: FilteringBoundLogger,
        *,
        pauses: tuple[float, float] = (FIRST_PAUSE, LAST_PAUSE),
        stopping: asyncio.Event | None = None,
    ) -> None:
        self._log = log
        self._first, self._last = pauses
        self._stopping = stopping or asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self, name: str, work: Work) -> None:
        """Keep `work` going: whenever it returns, raises or is cancelled by others, it is started again."""
        self._start(name, self._keep(name, work))

    def every(self, seconds: float, name: str, work: Work) -> None:
        """Call `work` again and again, with so many seconds between. What it raises is logged, and that is all."""

        async def repeat() -> None:
            while True:
                await asyncio.sleep(seconds)
                await self._once(name, work)

        self.run(name, repeat)

    async def stop(self) -> None:
        """Cancel all, and wait until they have ended. More than once does no harm."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                self._log.error("task failed while it was stopped", exc_info=result)

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep(self, name: str, work: Work) -> None:
        loop = asyncio.get_running_loop()
        pause = self._first
        while True:
            began = loop.time()
            failure = await self._outcome(work)
            if self._stopping.is_set() and failure is None:
                return
            if loop.time() - began >= _RAN_WELL:
                pause = self._first
            self._log.error("task ended, it is started again", task=name, restart_in=pause, exc_info=failure)
            await asyncio.sleep(pause)
            pause = min(pause * 2, self._last)

    async def _once(self, name: str, work: Work) -> None:
        failure = await self._outcome(work)
        if failure is not None:
            self._log.error("task failed", task=name, exc_info=failure)

    async def _outcome(self, work: Work) -> BaseException | None:
        """How it ended; raises only what means that it is to end."""
        failure: BaseException | None = None
        try:
            await work()
        except asyncio.CancelledError as error:
            failure = error  # perhaps only what it waited for was cancelled
        except Exception as error:
            failure = error
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise failure or asyncio.CancelledError
        return failure
