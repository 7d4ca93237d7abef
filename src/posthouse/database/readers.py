"""A pool of reading threads, each with a connection of its own: one hop off the event loop per transaction."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

import apsw

from posthouse.database.errors import DatabaseClosedError, DatabaseError

T = TypeVar("T")
_Job = tuple[Callable[[apsw.Connection], Any], "asyncio.Future[Any]", asyncio.AbstractEventLoop]


class ReaderPool:
    """Runs jobs on reading connections. Threads and connections are made when first needed."""

    def __init__(self, connect: Callable[[], apsw.Connection], threads: int = 2) -> None:
        self._connect = connect
        self._limit = threads
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._busy = 0
        self._closing = False

    async def run(self, job: Callable[[apsw.Connection], T]) -> T:
        """What `job` returns. Raises DatabaseError for trouble of the database, and what the job itself raises."""
        if self._closing:
            raise DatabaseClosedError("the database was closed")
        if self._busy >= len(self._threads) < self._limit:
            thread = threading.Thread(target=self._serve, name=f"reader-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._busy += 1
        try:
            self._queue.put((job, future, loop))
            return await future
        finally:
            self._busy -= 1

    async def close(self) -> None:
        """Finish the jobs that wait, then end the threads. More than once does no harm."""
        if not self._closing:
            self._closing = True
            for _ in self._threads:
                self._queue.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    def _serve(self) -> None:
        held: list[apsw.Connection] = []
        while (item := self._queue.get()) is not None:
            self._answer(held, *item)
            del item  # what a job refers to must not live until the next one comes
        for connection in held:
            connection.close()

    def _answer(
        self,
        held: list[apsw.Connection],
        job: Callable[[apsw.Connection], Any],
        future: "asyncio.Future[Any]",
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        outcome: Any = None
        failure: Exception | None = None
        try:
            if not held:
                held.append(self._connect())
            outcome = job(held[0])
        except apsw.Error as error:
            failure = DatabaseError(f"database: {error}")
            failure.__cause__ = error
        except Exception as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits there any more
            loop.call_soon_threadsafe(_complete, future, outcome, failure)


def _complete(future: "asyncio.Future[Any]", outcome: object, failure: Exception | None) -> None:
    if future.cancelled():
        return
    if failure is None:
        future.set_result(outcome)
    else:
        future.set_exception(failure)
