"""A pool of reading threads, each with a connection of its own: one hop off the event loop per transaction.

Jobs wait by owner, and the owners take turns: who asks for much waits for himself, as long as he asks in pieces.
"""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Hashable
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

import apsw

from posthouse.database.errors import DatabaseClosedError, DatabaseError

T = TypeVar("T")
_Job = tuple[Callable[[apsw.Connection], Any], "asyncio.Future[Any]", asyncio.AbstractEventLoop]


class FairQueue(Generic[T]):
    """Of those that wait, the owners take turns; what one of them put comes in its order."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ready: SimpleQueue[bool] = SimpleQueue()  # one for each item, and one for each thread that is to end
        self._waiting: dict[Hashable, deque[T]] = {}  # by owner, in the order of their turns

    def put(self, owner: Hashable, item: T) -> None:
        """Let an item wait for its owner's turn."""
        with self._lock:
            self._waiting.setdefault(owner, deque()).append(item)
        self._ready.put(True)

    def end(self) -> None:
        """Let one get() return None, when all that was put before has been taken."""
        self._ready.put(False)

    def get(self) -> T | None:
        """Wait for an item, and take it."""
        if not self._ready.get():
            return None
        with self._lock:
            owner = next(iter(self._waiting))
            items = self._waiting.pop(owner)
            item = items.popleft()
            if items:
                self._waiting[owner] = items  # behind all others
        return item


class ReaderPool:
    """Runs jobs on reading connections. Threads and connections are made when first needed."""

    def __init__(self, connect: Callable[[], apsw.Connection], threads: int = 2) -> None:
        self._connect = connect
        self._limit = threads
        self._queue: FairQueue[_Job] = FairQueue()
        self._threads: list[threading.Thread] = []
        self._busy = 0
        self._closing = False

    async def run(self, job: Callable[[apsw.Connection], T], owner: Hashable = None) -> T:
        """What `job` returns. It waits with the others of its owner.

        Raises DatabaseError for trouble of the database, and what the job itself raises.
        """
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
            self._queue.put(owner, (job, future, loop))
            return await future
        finally:
            self._busy -= 1

    async def close(self) -> None:
        """Finish the jobs that wait, then end the threads. More than once does no harm."""
        if not self._closing:
            self._closing = True
            for _ in self._threads:
                self._queue.end()
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
