"""What ends a worker: its parent, by a signal or by its own end, or something that it cannot go on without."""

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from structlog.typing import FilteringBoundLogger

from posthouse.app.errors import Exit
from posthouse.app.process.heartbeat import BEAT_SECONDS, Heartbeat


class CanFail(Protocol):
    """A worker, as seen from here."""

    failed: asyncio.Event


ORPHAN_SECONDS = 3.0  # that a worker without a parent gives to what is under way: until then no other server starts


def stop_at_end_of_file(life_line: int, stop: asyncio.Event, ended_first: Callable[[], None] = lambda: None) -> None:
    """Set `stop` when the other end of `life_line` is closed: a worker without a parent would serve on, unwatched.

    `ended_first` is called before.
    """
    loop = asyncio.get_running_loop()

    def ended() -> None:
        loop.remove_reader(life_line)  # the end of a file can be read for ever: the loop would do nothing else
        ended_first()
        stop.set()

    loop.add_reader(life_line, ended)


def beat(heartbeat: Heartbeat) -> None:
    """Let the heartbeat go on as long as the event loop turns."""
    asyncio.get_running_loop().call_later(BEAT_SECONDS, beat, heartbeat)
    heartbeat.beat()


@contextmanager
def watched_threads(died: Callable[[BaseException], None]) -> Iterator[None]:
    """Within the block `died` is called with the exception that ended a thread, in that thread.

    Who waits for such a thread would wait for ever.
    """

    def report(arguments: threading.ExceptHookArgs) -> None:
        died(arguments.exc_value or arguments.exc_type())

    before, threading.excepthook = threading.excepthook, report
    try:
        yield
    finally:
        threading.excepthook = before


async def until_stopped(stop: asyncio.Event, worker: CanFail, log: FilteringBoundLogger) -> None:
    """Wait for `stop`. Ends the process on the spot when the worker has failed.

    Without the thread that it lost it can neither finish what is under way nor stop: what is awaited there never comes.
    To be killed does no harm to what was acknowledged, and the parent or the service manager starts another.
    """
    waiting = [asyncio.ensure_future(event.wait()) for event in (stop, worker.failed)]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waiting:
            each.cancel()
    if worker.failed.is_set():
        log.error("this process cannot go on, it ends")
        os._exit(Exit.FAILED)
