"""A watchdog: which steps of the event loop keep it from its other work for longer than they should.

It counts the processor time of the loop's thread, not the clock on the wall, so it finds the same on a busy machine:
what is counted is work that was done in one turn of the loop, not that others had the processor.
"""

import asyncio
import gc
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_UNIT = 0.006  # seconds that _unit() takes where the bounds of the tests were found
_LOOKS_PER_LIMIT = 4  # how often the stack is looked at within the time that is allowed


@dataclass(frozen=True)
class Hold:
    """One turn of the loop that was too long: seconds of processor time, and the stack as it was on the way."""

    seconds: float
    stack: str

    def __str__(self) -> str:
        return f"{self.seconds * 1e3:.1f} ms\n{self.stack}"


@dataclass
class Watchdog:
    """What watched() has found so far."""

    limit: float
    longest: float = 0.0  # seconds
    turns: int = 0
    holds: list[Hold] = field(default_factory=list)

    def check(self) -> None:
        """Fail if anything took too long, and say what."""
        assert not self.holds, "the event loop was held for " + "\n".join(map(str, self.holds[:5]))


def at_this_speed(seconds: float) -> float:
    """What takes that long on the machine where the bounds were found takes so long on this one; never less."""
    best = min(_unit() for _ in range(5))
    return seconds * max(1.0, best / _UNIT)


def _unit() -> float:
    began = time.thread_time()
    total = 0
    for number in range(150_000):
        total += number & 7
    return time.thread_time() - began


@contextmanager
def watched(limit: float) -> Iterator[Watchdog]:
    """Watch the running loop while the block runs; `limit`: seconds of processor time. Call it on the loop's thread."""
    gc.collect()
    gc.freeze()  # a full round of the collector over all that the tests hold is no work of the server's
    watch = _Watch(Watchdog(limit), asyncio.get_running_loop())
    watch.begin()
    try:
        yield watch.found
    finally:
        watch.end()
        gc.unfreeze()


class _Watch:
    def __init__(self, found: Watchdog, loop: asyncio.AbstractEventLoop) -> None:
        self.found = found
        self._loop = loop
        self._thread = threading.get_ident()
        self._clock = time.pthread_getcpuclockid(self._thread)
        self._began = self._now()
        self._stack = ""
        self._over = threading.Event()
        self._looking = threading.Thread(target=self._look, name="watchdog", daemon=True)

    def _now(self) -> float:
        return time.clock_gettime(self._clock)

    def begin(self) -> None:
        self._looking.start()
        self._loop.call_soon(self._turn)

    def end(self) -> None:
        self._turn()  # what was done in the turn at hand
        self._over.set()
        self._looking.join()

    def _turn(self) -> None:
        if self._over.is_set():
            return
        now, found = self._now(), self.found
        seconds = now - self._began
        found.turns += 1
        found.longest = max(found.longest, seconds)
        if seconds > found.limit:
            found.holds.append(Hold(seconds, self._stack))
        self._stack = ""
        self._began = self._now()
        self._loop.call_soon(self._turn)

    def _look(self) -> None:
        while not self._over.wait(self.found.limit / _LOOKS_PER_LIMIT):
            if not self._stack and self._now() - self._began > self.found.limit / 2:
                frame = sys._current_frames().get(self._thread)
                self._stack = "".join(traceback.format_stack(frame)[-6:]) if frame else ""
