"""A bounded thread pool for work that is slow by intent."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


class PoolFullError(Exception):
    """As many jobs wait as may."""


class HashingPool:
    """`threads` jobs at once and at most `waiting` more. Hashing frees the interpreter lock: threads use the cores."""

    def __init__(self, threads: int, waiting: int = 64) -> None:
        self._room = threading.BoundedSemaphore(threads + waiting)
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="hashing")

    def submit(self, job: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Start a job. Raises PoolFullError at once when there is no room."""
        if not self._room.acquire(blocking=False):
            raise PoolFullError
        try:
            future = self._executor.submit(job, *args, **kwargs)
        except BaseException:
            self._room.release()
            raise
        future.add_done_callback(lambda _done: self._room.release())
        return future

    def close(self) -> None:
        """Wait for jobs that run; drop those that wait."""
        self._executor.shutdown(cancel_futures=True)
