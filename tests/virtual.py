"""An event loop whose time passes at once when there is nothing to do, so that hours of it take milliseconds."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
_PATIENCE = 30.0  # real seconds that other threads may take


class VirtualLoop(asyncio.SelectorEventLoop):
    """`threads` counts the answers that other threads are to give: while there are any, time stands still."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.threads = 0
        super().__init__(_Selector(self))

    def time(self) -> float:
        return self.now

    async def in_thread(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for something that a thread does."""
        self.threads += 1
        try:
            return await work
        finally:
            self.threads -= 1


class _Selector(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        if timeout is not None and timeout <= 0:
            return super().select(0)
        if self._loop.threads:
            found = super().select(_PATIENCE)
            assert found, "a thread has not answered"
            return found
        found = super().select(0)
        if not found:
            assert timeout is not None, "everybody waits, and nothing will ever happen"
            self._loop.now += timeout
        return found


def run_virtual(work: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    """Run it on such a loop."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(work(loop))
    finally:
        loop.close()
