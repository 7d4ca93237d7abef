"""Fair shares of the event loop: who has had a share and has more to do waits until it is its turn again.

Theory of operation. A loop that carries out whatever is ready lets one connection with a long pipeline, or twenty with
long commands, decide how long all others wait. So there are two kinds of work. What a connection begins with is done on
the spot, up to a share: commands, octets and time are counted. What goes on after that is heavy, and of all heavy work
of the process one piece is done in each turn of the loop, in order of arrival. Between two pieces the loop looks at its
sockets: newcomers are admitted, and those with little to ask are answered. So they wait for one piece, however many
there are; and each of n heavy ones gets the n-th part of what is left.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from typing import Any

SHARE_EVENTS = 32  # commands of one connection that are carried out in one go
SHARE_OCTETS = 128 << 10  # octets of one connection that are looked at in one go
SHARE_SECONDS = 0.002  # after so much work in one go no other command is begun


class Turns:
    """The queue of those who wait for their next share. One per process; used on its event loop alone."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop or asyncio.get_running_loop()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._scheduled = False

    def next(self) -> "asyncio.Future[None]":
        """Await this: it is done when it is one's turn."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(future)
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._give)
        return future

    def _give(self) -> None:
        """Let one go on, in the turn of the loop that comes next; what became ready meanwhile comes before it."""
        waiting = self._waiting
        while waiting:
            future = waiting.popleft()
            if not future.done():  # it may have been cancelled
                future.set_result(None)
                break
        self._scheduled = bool(waiting)
        if waiting:
            self._loop.call_soon(self._give)


class Meter:
    """What one connection has spent since it last waited for its turn."""

    __slots__ = ("_spent", "_turns", "clock")

    def __init__(self, turns: Turns, clock: Callable[[], float] = time.perf_counter) -> None:
        self._turns = turns
        self.clock = clock  # in seconds; not the loop's, which stands still while something is carried out
        self._spent = 0.0

    @property
    def is_used_up(self) -> bool:
        """Whether it has had its share of time."""
        return self._spent > SHARE_SECONDS

    def note(self, since: float) -> None:
        """It has worked since then, by its clock."""
        self._spent += self.clock() - since

    def turn(self) -> Awaitable[None]:
        """Await this before going on with more than a share."""
        self._spent = 0.0
        return self._turns.next()

    def run(self, work: Awaitable[None]) -> Awaitable[None]:
        """Awaits `work`, and has it wait for its turn once its steps have used up a share.

        So a command that works long, in many steps or in long ones, costs others one step at a time. A step that only
        steps aside for a moment (`asyncio.sleep(0)`) waits for its turn too: it says that it has more to do.
        """
        return _Metered(work, self)


class _Metered:
    __slots__ = ("_meter", "_work")

    def __init__(self, work: Awaitable[None], meter: Meter) -> None:
        self._work = work
        self._meter = meter

    def __await__(self) -> Generator[Any, Any, None]:
        steps, meter = self._work.__await__(), self._meter
        clock = meter.clock
        failure: BaseException | None = None
        while True:
            began = clock()
            try:
                waited = steps.send(None) if failure is None else steps.throw(failure)
            except StopIteration:
                return
            finally:
                meter.note(began)
            failure = None
            try:
                if waited is not None:
                    yield waited
                if waited is None or meter.is_used_up:
                    yield from meter.turn().__await__()
            except BaseException as error:  # the task is cancelled: the work is to hear of it
                failure = error
