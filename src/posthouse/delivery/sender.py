"""The sender: takes what is due out of the queue, has couriers carry it, and writes down what became of it.

A message that has just come in is handed over in memory, claimed already by the transaction that queued it; what a
crash left behind, and what is to be tried again, is claimed from the table. Nothing leaves the queue before its outcome
is durable: a crash between the other server's 250 and our record sends once more, and that is the only double there is.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from logging import INFO
from typing import Any, Protocol

from structlog.typing import FilteringBoundLogger

from posthouse.delivery.bounces import Bounces
from posthouse.delivery.couriers.content import Content
from posthouse.delivery.couriers.parcel import Parcel
from posthouse.delivery.couriers.smtp import UnreachableError
from posthouse.delivery.lane import Job, Lane
from posthouse.delivery.outcome import Delivered, Outcome, Permanent
from posthouse.delivery.schedule import Schedule
from posthouse.mailstore.interface import Entry, Mailstore, StoreError
from posthouse.message.ids import shown
from posthouse.message.reply import Reply
from posthouse.queue.interface import ACCOUNT, MAILBOX, Outgoing, Record, State, Try, Waiting

POLL_SECONDS = 1.0  # between two looks for what is due
RENEW_SECONDS = 20.0
TIDY_SECONDS = 600.0
_CLAIMED_AT_ONCE = 200
_HELD_AT_MOST = 2000  # recipients in memory
_HELD_PER_LANE = 500
_DOWN_SECONDS = 60.0  # a destination that could not be reached is left alone at first
_REPLY_KEPT = 1000  # characters


class Courier(Protocol):
    """See couriers."""

    async def deliver(self, destination: str, parcel: Parcel) -> list[Outcome]:
        """One outcome per recipient. Raises UnreachableError."""

    def sweep(self, now: float) -> None:
        """Close what waits too long."""

    def close(self) -> None:
        """Close everything."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How much at once to one destination: connections, and messages a minute (0: no bound)."""

    connections: int = 20
    per_minute: int = 0


class Sender:
    """One per process; start(), then stop(). `pace` tells how fast a destination may be served."""

    def __init__(
        self,
        outgoing: Outgoing,
        mailstore: Mailstore,
        courier: Courier,
        bounces: Bounces,
        log: FilteringBoundLogger,
        *,
        schedule: Schedule,
        pace: Callable[[str], Pace],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._outgoing = outgoing
        self._mailstore = mailstore
        self._courier = courier
        self._bounces = bounces
        self._log = log
        self._schedule = schedule
        self._pace = pace
        self._clock = clock
        self._lanes: dict[str, Lane] = {}
        self._held = 0
        self._over: list[int] = []  # bodies nobody needs any more
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    @property
    def has_room(self) -> bool:
        """Whether a message that comes in now may be claimed on the way; else it waits in the table."""
        return self._held < _HELD_AT_MOST and not self._stopping

    async def start(self) -> None:
        """Begin. Raises StoreError."""
        await self._outgoing.renew()
        for chore in (self._poll, self._keep_claims, self._keep_tidy):
            self._start(chore())

    async def stop(self, grace: float) -> None:
        """Let what is on the wire finish for up to `grace` seconds; the rest stays queued."""
        self._stopping = True
        self._wake.set()
        for lane in self._lanes.values():
            lane.jobs.clear()
        working = {task for task in self._tasks if task.get_name() == "lane"}
        if working:
            await asyncio.wait(working, timeout=grace)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._courier.close()
        try:
            await self._expunge()
            await self._outgoing.leave()
        except StoreError as error:
            self._log.error("the queue was not left tidy", error=str(error))

    def offer(self, waiting: Sequence[Waiting], entry: Entry) -> None:
        """Send a message that was queued and claimed this very moment."""
        self._enqueue(waiting, {entry.message: Content(self._mailstore, entry)})

    def look(self) -> None:
        """Something may be due: look now instead of at the next poll."""
        self._wake.set()

    # Filling the lanes.

    def _enqueue(self, waiting: Iterable[Waiting], contents: Mapping[int, Content]) -> None:
        jobs: dict[tuple[int, str], Job] = {}
        for one in waiting:
            key = (one.message.number, one.destination)
            jobs.setdefault(key, Job([], contents.get(one.message.body))).waiting.append(one)
        for (_, destination), job in jobs.items():
            lane = self._lane(destination)
            if any(one.urgent for one in job.waiting):
                lane.came_up()  # an operator knows better
            lane.jobs.append(job)
            lane.held += len(job.waiting)
            self._held += len(job.waiting)
            if lane.wants_worker():
                lane.active += 1
                self._start(self._work(lane), "lane")

    def _lane(self, destination: str) -> Lane:
        lane = self._lanes.get(destination)
        if lane is None:
            pace = self._pace(destination)
            lane = self._lanes[destination] = Lane(
                destination, pace.connections, pace.per_minute, min(_DOWN_SECONDS, self._schedule.first_retry)
            )
        return lane

    async def _poll(self) -> None:
        while not self._stopping:
            found = 0
            try:
                found = await self._claim()
            except StoreError as error:
                self._log.error("the queue cannot be read", error=str(error))
            self._courier.sweep(asyncio.get_running_loop().time())
            self._drop_idle_lanes()
            if found and self._held < _HELD_AT_MOST:
                continue
            self._wake.clear()
            try:
                async with asyncio.timeout(POLL_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _claim(self) -> int:
        if not self.has_room:
            return 0
        busy = [name for name, lane in self._lanes.items() if lane.held >= _HELD_PER_LANE]
        claimed = await self._outgoing.claim(busy, _CLAIMED_AT_ONCE)
        if self._stopping or not claimed:
            return 0
        # All at once: a look-up for each would cost a hop to another thread for each.
        bodies = {one.message.body for one in claimed}
        found = await self._mailstore.find(ACCOUNT, MAILBOX, sorted(bodies))
        contents = {entry.message: Content(self._mailstore, entry) for entry in found}
        self._enqueue(claimed, contents)
        return len(claimed)

    def _drop_idle_lanes(self) -> None:
        now = asyncio.get_running_loop().time()
        for name in [name for name, lane in self._lanes.items() if lane.is_idle and not lane.is_down(now)]:
            del self._lanes[name]

    # Working a lane off.

    async def _work(self, lane: Lane) -> None:
        loop = asyncio.get_running_loop()
        try:
            while lane.jobs and not self._stopping:
                pause = lane.pause(loop.time())
                if pause:
                    await asyncio.sleep(pause)
                if not lane.jobs:
                    return
                await self._do(lane, lane.jobs.popleft())
        finally:
            lane.active -= 1
            if self._held < _HELD_AT_MOST // 2:
                self._wake.set()

    async def _do(self, lane: Lane, job: Job) -> None:
        try:
            outcomes = await self._attempt(lane, job)
            await self._record(job, outcomes)
        except StoreError as error:
            # The claims lapse in a minute, and then somebody tries again.
            self._log.error("an outcome could not be recorded", destination=lane.destination, error=str(error))
        except Exception:
            self._log.exception("sending failed", destination=lane.destination)
            await asyncio.sleep(1.0)
        finally:
            lane.held -= len(job.waiting)
            self._held -= len(job.waiting)

    async def _attempt(self, lane: Lane, job: Job) -> list[Outcome]:
        loop = asyncio.get_running_loop()
        if lane.is_down(loop.time()) and lane.failure is not None:
            return [lane.failure] * len(job.waiting)
        message = job.waiting[0].message
        if job.content is None:
            reply = Reply(554, "5.3.0", "The message is no longer in our store")
            return [Permanent(reply, spoken=False)] * len(job.waiting)
        recipients = tuple(one.recipient for one in job.waiting)
        parcel = Parcel(message.id, message.sender, recipients, job.content, self._clock() - message.created)
        try:
            outcomes = await self._courier.deliver(lane.destination, parcel)
        except UnreachableError as error:
            lane.went_down(loop.time(), error.outcome)
            return [error.outcome] * len(job.waiting)
        lane.came_up()
        return outcomes

    # Writing down what became of it.

    async def _record(self, job: Job, outcomes: Sequence[Outcome]) -> None:
        now = int(self._clock())
        records = [self._settle(one, outcome, now) for one, outcome in zip(job.waiting, outcomes, strict=True)]
        notices = [
            notice
            for record, outcome in zip(records, outcomes, strict=True)
            if (notice := self._bounces.notice(record, outcome)) is not None
        ]
        if self._log.is_enabled_for(INFO):
            self._tell(records)
        if notices:
            over = await self._bounces.send(notices, records, job.content)
        else:
            over = await self._outgoing.record(records)
        self._over += over
        if len(self._over) >= _CLAIMED_AT_ONCE:
            await self._expunge()

    def _settle(self, waiting: Waiting, outcome: Outcome, now: int) -> Record:
        remote = outcome.remote
        reply = outcome.reply
        tried = Try(now, reply.code, _kept(reply), remote.host, remote.ip, remote.tls)
        if isinstance(outcome, Delivered):
            return Record(waiting, State.DELIVERED, tried, warned=waiting.warned)
        if isinstance(outcome, Permanent):
            return Record(waiting, State.FAILED, tried, warned=waiting.warned)
        message, attempts = waiting.message, waiting.attempts + 1
        age = now - message.created
        if self._schedule.is_over(age=age, left=message.expires - now, attempts=attempts):
            return Record(waiting, State.EXPIRED, tried, warned=waiting.warned)
        due = now + round(self._schedule.retry_in(attempts))
        return Record(waiting, State.WAITING, tried, due, waiting.warned or self._schedule.is_late(age))

    def _tell(self, records: Sequence[Record]) -> None:
        for record in records:
            tried = record.tried
            assert tried is not None
            self._log.info(
                "sent" if record.state is State.DELIVERED else "not sent",
                id=shown(record.waiting.message.id),
                to=str(record.waiting.recipient.address),
                state=record.state.name.lower(),
                host=tried.host,
                ip=tried.ip,
                tls=tried.tls,
                reply=f"{tried.code} {tried.reply[:200]}",
            )

    async def _expunge(self) -> None:
        over, self._over = self._over, []
        if over:
            await self._mailstore.expunge(ACCOUNT, MAILBOX, over)

    # Chores.

    async def _keep_claims(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            await self._guarded(self._outgoing.renew())

    async def _keep_tidy(self) -> None:
        while True:
            await self._guarded(self._collect())
            await self._guarded(self._outgoing.tidy())
            for _ in range(int(TIDY_SECONDS)):
                await asyncio.sleep(1.0)
                await self._guarded(self._expunge())

    async def _collect(self) -> None:
        """Bodies that a crash, or an operator who dropped their recipients, has left behind."""
        kept = {entry.message for entry in await self._mailstore.entries(ACCOUNT, MAILBOX)}
        if kept:
            # In this order: a body that was there before the rows were read has its rows by then.
            self._over += sorted(kept - await self._outgoing.needed_bodies())

    async def _guarded(self, work: Awaitable[None]) -> None:
        try:
            await work
        except StoreError as error:
            self._log.error("a chore of the queue failed", error=str(error))

    def _start(self, work: Coroutine[Any, Any, None], name: str = "chore") -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _kept(reply: Reply) -> str:
    text = reply.text.replace("\n", " ")
    return f"{reply.enhanced} {text}".strip()[:_REPLY_KEPT]
