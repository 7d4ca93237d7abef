"""What a thread makes of a task's work. The task waits for it to the end, even when it is cancelled meanwhile.

The thread uses what the task would let go of: a body, a file, a lock.
"""

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeVar

T = TypeVar("T")


class Outcome(asyncio.Future[Any]):
    """Cannot be cancelled. A task that is cancelled meanwhile gets its CancelledError right after the outcome."""

    def cancel(self, msg: object = None) -> bool:
        """Refuse."""
        return False


async def finish_in_thread(function: Callable[..., T], *values: Any, executor: Executor | None = None) -> T:
    """What `function` returns or raises, run by a thread of `executor`, or else of the loop's own."""
    loop = asyncio.get_running_loop()
    outcome = Outcome(loop=loop)

    def run() -> None:
        try:
            result, complete = function(*values), outcome.set_result
        except BaseException as error:
            result, complete = error, outcome.set_exception  # type: ignore[assignment]
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits there any more
            loop.call_soon_threadsafe(complete, result)

    loop.run_in_executor(executor, run)
    return await outcome  # type: ignore[no-any-return]
