"""Tasks that are to run as long as their process does."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from structlog.typing import FilteringBoundLogger

AGAIN_SECONDS = 1.0  # before a task that failed begins again


async def supervise(
    name: str, work: Callable[[], Coroutine[Any, Any, None]], stop: asyncio.Event, log: FilteringBoundLogger
) -> None:
    """Run a long task, and again when it fails: without it the queue would stand still, and nobody would know."""
    while not stop.is_set():
        try:
            await work()
        except Exception:
            log.exception("a task of the queue failed and begins again", task=name)
            await asyncio.sleep(AGAIN_SECONDS)


async def wait(event: asyncio.Event, seconds: float) -> bool:
    """Wait for it, for so long; whether it came."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
