"""The active queue: the messages that this process holds in memory to send them, lane by lane.

What comes in is handed over here by the router, claimed already by the transaction that queued it; what is found in the
table is put here by the delivery agent. Both ask first whether there is room, and whether anything may be sent at all:
only while each outcome could be recorded, and what is held here is ours by the tables, too.

`held` has every recipient in this process's hands, from the claim to the record. Three things can go wrong with it, and
each comes right by itself:
- an outcome cannot be recorded: it stays in memory and is recorded later, and nothing new is sent meanwhile;
- our claims may have been ended, for our lease was renewed too late: nothing is sent before the tables were read, and
  what another has by then is let go;
- the tables say that we hold what we do not hold (a task that failed after its claim): seen twice, it is given back.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence

from posthouse.delivery.content.queued import QueuedContent
from posthouse.delivery.outbound.lane import DeliveryJob, Lane, RateLimit
from posthouse.delivery.outbound.lanes import Lanes
from posthouse.mailstore.interface import Mailstore, MessageRef
from posthouse.queue.interface import Key, Outgoing, Waiting

_SOON_SECONDS = 0.05
_DOWN_SECONDS = 60.0  # a destination that could not be reached is left alone at first


class ActiveQueue:
    """One per process. `rate_limit`: how fast a destination may be served; `first_retry`: seconds, see Schedule."""

    def __init__(
        self,
        outgoing: Outgoing,
        mailstore: Mailstore,
        rate_limit: Callable[[str], RateLimit],
        *,
        first_retry: float,
    ) -> None:
        self._outgoing = outgoing
        self._mailstore = mailstore
        self._rate_limit = rate_limit
        self._first_down = min(_DOWN_SECONDS, first_retry)
        self.lanes = Lanes(self._make_lane, self.now)
        self.held: set[Key] = set()
        self.wake = asyncio.Event()  # something may be due
        self.stopping = asyncio.Event()
        self.is_sure = True  # what is in `held` is ours by the tables too, as far as we know
        self.doubts = 0  # how often we were not
        self._unrecorded = 0  # outcomes in memory that could not be recorded yet
        self._failed = self._renewed = 0.0  # when recording one failed first; when a renewal succeeded: the loop's time
        self._looks_soon = False
        self._start_worker: Callable[[Lane], None] = lambda lane: None

    def attach(self, start_worker: Callable[[Lane], None]) -> None:
        """Let an agent work on it: `start_worker` is called for each lane that has something to do."""
        self._start_worker = start_worker

    def now(self) -> float:
        """The loop's time, in seconds."""
        return asyncio.get_running_loop().time()

    # What the router asks.

    def has_room_for(self, destinations: Iterable[str]) -> bool:
        """Whether a message that comes in now may be claimed on the way; else it waits in the table."""
        if not self.may_send:
            return False
        for destination in destinations:
            if self.lanes.room(destination) <= 0:
                self.lanes.get(destination).more = True
                self._look_soon()
                return False
        return True

    def offer(self, waiting: Sequence[Waiting], entry: MessageRef) -> None:
        """Send a message that was queued and claimed this very moment."""
        self.add(waiting, {entry.message: QueuedContent(self._mailstore, entry)})

    # What the agent does.

    def add(self, waiting: Iterable[Waiting], contents: Mapping[int, QueuedContent]) -> None:
        """Put claimed recipients into their lanes; `contents` by the number of the body."""
        jobs: dict[tuple[int, str], DeliveryJob] = {}
        for one in waiting:
            self.held.add(one.key)
            key = (one.message.number, one.destination)
            jobs.setdefault(key, DeliveryJob([], contents.get(one.message.body))).waiting.append(one)
        for (_, destination), job in jobs.items():
            lane = self.lanes.get(destination)
            if any(one.urgent for one in job.waiting):
                lane.came_up()  # an operator knows better
            self.lanes.add(lane, job)
            self._start_worker(lane)

    def done(self, lane: Lane, job: DeliveryJob) -> None:
        """A message of the lane has its outcomes recorded, or is given up by this process."""
        self.held.difference_update(one.key for one in job.waiting)
        self.lanes.done(lane)
        if lane.more and lane.held <= lane.allowance // 2:
            lane.more = False
            self.wake.set()

    def take_surplus(self) -> list[Key]:
        """Take out what lanes cannot work off: another process may try it, or we later; here it takes others' room."""
        now = self.now()
        keys: list[Key] = []
        for lane in self.lanes:
            for job in lane.surplus(now):
                keys += [one.key for one in job.waiting]
                self.lanes.done(lane)
        self.held.difference_update(keys)
        return keys

    # Whether anything may be sent.

    @property
    def may_send(self) -> bool:
        """Whether an outcome could be recorded, and what is in memory is ours."""
        return self._can_record and self.is_sure and self._outgoing.is_alive and not self.stopping.is_set()

    @property
    def _can_record(self) -> bool:
        """A renewal that succeeds later shows that it was not the disk: one message must not hold up all others."""
        return not self._unrecorded or self._renewed > self._failed

    def recording_failed(self) -> None:
        """An outcome could not be recorded at the first try."""
        self._failed = self.now()
        self._unrecorded += 1

    def recorded_late(self) -> None:
        """It was recorded in the end, or nobody tries to any more."""
        self._unrecorded -= 1

    def renewed(self, at: float) -> None:
        """Our lease was renewed, at that time of the loop."""
        self._renewed = at

    def doubt(self) -> None:
        """Others may have ended our claims."""
        self.is_sure = False
        self.doubts += 1

    def _make_lane(self, destination: str) -> Lane:
        limit = self._rate_limit(destination)
        return Lane(destination, limit.connections, limit.per_minute, self._first_down)

    def _look_soon(self) -> None:
        """What is not claimed on its way in will be in the table in a moment, and there may be room for it by then."""
        if not self._looks_soon:
            self._looks_soon = True
            asyncio.get_running_loop().call_later(_SOON_SECONDS, self._look_now)

    def _look_now(self) -> None:
        self._looks_soon = False
        self.wake.set()
