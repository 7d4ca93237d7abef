"""The sender: takes what is due out of the queue, has couriers carry it, and writes down what became of it.

A message that has just come in is handed over in memory, claimed already by the transaction that queued it; what a
crash left behind, and what is to be tried again, is claimed from the table. Nothing leaves the queue before its outcome
is durable: a crash between the other server's 250 and our record sends once more, and that is the only double there is.

Theory of operation. `_mine` has every recipient in this process's hands, from the claim to the record. Three things can
go wrong with it, and each comes right by itself:
- an outcome cannot be recorded: it stays in memory and is recorded later, and nothing new is sent meanwhile;
- our claims may have been ended, for our lease was renewed too late: nothing is sent before the tables were read, and
  what another has by then is let go;
- the tables say that we hold what we do not hold (a task that failed after its claim): seen twice, it is given back.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from logging import INFO
from typing import TypeVar

from structlog.typing import FilteringBoundLogger

from posthouse.delivery.content.queued import QueuedContent
from posthouse.delivery.outbound.couriers.interface import Courier, UnreachableError
from posthouse.delivery.outbound.couriers.message import OutboundMessage
from posthouse.delivery.outbound.lane import DeliveryJob, Lane
from posthouse.delivery.outbound.lanes import Lanes
from posthouse.delivery.outbound.records import OWN_FAULT, Records, as_kept, as_tried
from posthouse.delivery.outbound.schedule import Schedule
from posthouse.delivery.reports.bounces import Bounces
from posthouse.mailstore.interface import Mailstore, MessageRef, StoreError
from posthouse.message.ids import format_id
from posthouse.message.reply import Reply
from posthouse.net.supervisor import Supervisor
from posthouse.queue.interface import ACCOUNT, MAILBOX, Key, Outgoing, Waiting
from posthouse.queue.outcome import Delivered, Outcome, Permanent, Transient

T = TypeVar("T")

POLL_SECONDS = 1.0  # between two looks for what is due
RENEW_SECONDS = 20.0
_SOON_SECONDS = 0.05
_RENEW_AGAIN_SECONDS = 5.0
_AGAIN_SECONDS = 1.0  # before what failed is tried again
WATCH_SECONDS = 1.0  # between two looks at the other claimers, and at what operators want
COMPARE_SECONDS = 10.0  # between two comparisons of what is in memory with the tables
TIDY_SECONDS = 600.0
_RECORD_AT_LEAST_EVERY = 30.0  # seconds between two tries to record the same outcome
_CLAIMED_AT_ONCE = 200
_POSTPONED_AT_ONCE = 500
_DOWN_AT_ONCE = 20  # destinations
_DOWN_SECONDS = 60.0  # a destination that could not be reached is left alone at first
_CLOCK_SLACK = 60.0  # seconds that the clock may step without anything being put right
_GONE = Permanent(Reply(554, "5.3.0", "The message is no longer in our store"), spoken=False)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How much at once to one destination: connections, and messages a minute (0: no bound)."""

    connections: int = 20
    per_minute: int = 0


class DeliveryAgent:
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
        pace: Callable[[str], RateLimit],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._outgoing = outgoing
        self._mailstore = mailstore
        self._courier = courier
        self._bounces = bounces
        self._log = log
        self._schedule = schedule
        self._records = Records(schedule, clock, outgoing.now_for)
        self._pace = pace
        self._clock = clock
        self._lanes = Lanes(self._make_lane, self._now)
        self._mine: set[Key] = set()
        self._orphans: set[Key] = set()  # ours by the tables, in nobody's hands, when we looked last
        self._is_sure = True  # what is in `_mine` is ours by the tables too, as far as we know
        self._doubts = 0  # how often we were not
        self._unrecorded = 0  # outcomes in memory that could not be recorded yet
        self._failed = self._renewed = 0.0  # when recording one failed first; when a renewal succeeded: the loop's time
        self._over: list[int] = []  # bodies nobody needs any more
        self._wake = asyncio.Event()
        self._looks_soon = False
        self._stop = asyncio.Event()
        self._tidy_now = asyncio.Event()
        # Started again soon, however often it failed: without it the queue would stand still.
        self._supervisor = Supervisor(log, pauses=(_AGAIN_SECONDS, _AGAIN_SECONDS), stopping=self._stop)
        self._workers: set[asyncio.Task[None]] = set()  # of the lanes

    def has_room_for(self, destinations: Iterable[str]) -> bool:
        """Whether a message that comes in now may be claimed on the way; else it waits in the table."""
        if not self._may_send:
            return False
        for destination in destinations:
            if self._lanes.room(destination) <= 0:
                self._lanes.get(destination).more = True
                self._look_soon()
                return False
        return True

    async def start(self) -> None:
        """Begin. Where the disk is full nothing can be claimed, so nothing is sent until a renewal succeeds."""
        try:
            await self._outgoing.renew()
        except StoreError as error:
            self._log.error("nothing is sent until the queue can be written", error=error)
        for name, work in (("poll", self._poll), ("claims", self._keep_claims), ("tidy", self._keep_tidy)):
            self._supervisor.run(name, work)

    async def stop(self, grace: float) -> None:
        """Let what is on the wire finish for up to `grace` seconds; the rest stays queued."""
        self._stop.set()
        self._wake.set()
        for lane in self._lanes:
            lane.jobs.clear()
        if self._workers:
            await asyncio.wait(self._workers, timeout=grace)
        for worker in self._workers:
            worker.cancel()
        await self._supervisor.stop()
        await asyncio.gather(*self._workers, return_exceptions=True)
        self._courier.close()
        try:
            await self._expunge()
            await self._outgoing.leave()
        except StoreError as error:
            self._log.error("the queue was not left tidy", error=error)

    def offer(self, waiting: Sequence[Waiting], entry: MessageRef) -> None:
        """Send a message that was queued and claimed this very moment."""
        self._enqueue(waiting, {entry.message: QueuedContent(self._mailstore, entry)})

    def look(self) -> None:
        """Something may be due: look now instead of at the next poll."""
        self._wake.set()

    def _look_soon(self) -> None:
        """What is not claimed on its way in will be in the table in a moment, and there may be room for it by then."""
        if not self._looks_soon:
            self._looks_soon = True
            asyncio.get_running_loop().call_later(_SOON_SECONDS, self._look_now)

    def _look_now(self) -> None:
        self._looks_soon = False
        self._wake.set()

    @property
    def _may_send(self) -> bool:
        """Whether an outcome could be recorded, and what is in memory is ours."""
        return self._can_record and self._is_sure and self._outgoing.is_alive and not self._stop.is_set()

    @property
    def _can_record(self) -> bool:
        """A renewal that succeeds later shows that it was not the disk: one message must not hold up all others."""
        return not self._unrecorded or self._renewed > self._failed

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    # Filling the lanes.

    def _enqueue(self, waiting: Iterable[Waiting], contents: Mapping[int, QueuedContent]) -> None:
        jobs: dict[tuple[int, str], DeliveryJob] = {}
        for one in waiting:
            self._mine.add(one.key)
            key = (one.message.number, one.destination)
            jobs.setdefault(key, DeliveryJob([], contents.get(one.message.body))).waiting.append(one)
        for (_, destination), job in jobs.items():
            lane = self._lanes.get(destination)
            if any(one.urgent for one in job.waiting):
                lane.came_up()  # an operator knows better
            self._lanes.add(lane, job)
            self._man(lane)

    def _man(self, lane: Lane) -> None:
        if lane.wants_worker():
            lane.active += 1
            worker = asyncio.get_running_loop().create_task(self._work(lane), name="lane")
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)

    def _make_lane(self, destination: str) -> Lane:
        pace = self._pace(destination)
        first_down = min(_DOWN_SECONDS, self._schedule.first_retry)
        return Lane(destination, pace.connections, pace.per_minute, first_down)

    async def _poll(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            found = await self._guarded(self._look(), "the queue cannot be read")
            self._courier.sweep(self._now())
            if not found:
                await _wait(self._wake, POLL_SECONDS)

    async def _look(self) -> int:
        """Claim what there is room for; how many recipients."""
        self._lanes.judge_all()
        self._lanes.forget()
        await self._give_back()
        for lane in list(self._lanes):
            self._man(lane)  # should its workers have failed
        if not self._may_send:
            return 0
        found = 0
        open_ = self._lanes.open()
        if open_:
            found += await self._claim((), open_)
        if self._lanes.new_room() > 0:
            found += await self._claim(self._lanes.names(), None)
        await self._postpone()
        return found

    async def _claim(self, busy: Collection[str], only: Collection[str] | None) -> int:
        doubts = self._doubts
        claimed = await self._outgoing.claim(
            busy, _CLAIMED_AT_ONCE, only=only, share=self._lanes.shares(), holding=frozenset(self._mine)
        )
        await self._take(claimed, doubts)
        return len(claimed)

    async def _postpone(self) -> None:
        """Nobody is tried at a destination that is down; but those who have waited for long are told."""
        down = self._lanes.down()
        for destination in await self._outgoing.due_among(down, _DOWN_AT_ONCE) if down else ():
            lane = self._lanes.get(destination)
            if lane.failure is None or not self._may_send:
                continue
            now = int(self._clock())
            doubts = self._doubts
            claimed = await self._outgoing.postpone(
                destination,
                as_tried(lane.failure, now),
                self._records.later(now),
                _POSTPONED_AT_ONCE,
                holding=frozenset(self._mine),
            )
            await self._take(claimed, doubts)

    async def _take(self, claimed: Sequence[Waiting], doubts: int) -> None:
        """Enqueue what was just claimed; `doubts` is from before the claim."""
        if not claimed:
            return
        keys = [one.key for one in claimed]
        self._mine.update(keys)
        try:
            # All at once: a look-up for each would cost a hop to another thread for each.
            bodies = {one.message.body for one in claimed}
            found = await self._mailstore.find(ACCOUNT, MAILBOX, sorted(bodies))
            if self._stop.is_set() or doubts != self._doubts:
                raise StoreError("the claims may have been ended meanwhile")
        except BaseException:
            self._mine.difference_update(keys)
            await self._guarded(self._outgoing.release(keys), "claims were not given back")
            raise
        contents = {entry.message: QueuedContent(self._mailstore, entry) for entry in found}
        self._enqueue(claimed, contents)
        for one in claimed:
            self._lanes.get(one.destination).more = True

    async def _give_back(self) -> None:
        """What a lane cannot work off is somebody else's to try, or ours later; in memory it takes others' room."""
        now = self._now()
        keys: list[Key] = []
        for lane in self._lanes:
            for job in lane.surplus(now):
                keys += [one.key for one in job.waiting]
                self._lanes.done(lane)
        if keys:
            self._mine.difference_update(keys)
            await self._outgoing.release(keys)

    # Working a lane off.

    async def _work(self, lane: Lane) -> None:
        try:
            while lane.jobs and not self._stop.is_set():
                pause = lane.pause(self._now())
                if pause:
                    await asyncio.sleep(pause)
                while not self._may_send and not self._stop.is_set():
                    await _wait(self._stop, WATCH_SECONDS / 4)
                if lane.jobs:
                    await self._do(lane, lane.jobs.popleft())
        except Exception:
            self._log.exception("sending failed", destination=lane.destination)
        finally:
            lane.active -= 1

    async def _do(self, lane: Lane, job: DeliveryJob) -> None:
        try:
            try:
                outcomes = await self._attempt(lane, job)
            except Exception as error:
                # What was sent we cannot know; what is sure is that no outcome may be lost, nor tried without end.
                self._log.exception("sending failed", destination=lane.destination, error=error)
                outcomes = [OWN_FAULT] * len(job.waiting)
            await self._keep(lane, job, outcomes)
        finally:
            self._mine.difference_update(one.key for one in job.waiting)
            self._lanes.done(lane)
            if lane.more and lane.held <= lane.allowance // 2:
                lane.more = False
                self._wake.set()

    async def _attempt(self, lane: Lane, job: DeliveryJob) -> list[Outcome]:
        if lane.is_down(self._now()) and lane.failure is not None:
            return [lane.failure] * len(job.waiting)
        if job.content is None:
            return [_GONE] * len(job.waiting)
        message = job.waiting[0].message
        recipients = tuple(one.recipient for one in job.waiting)
        age = self._outgoing.now_for(message) - message.created
        parcel = OutboundMessage(message.id, message.sender, recipients, job.content, age)
        began, answered = self._now(), False
        lane.began(began)
        try:
            outcomes = await self._courier.deliver(lane.destination, parcel)
            if len(outcomes) != len(recipients):
                raise ValueError(f"{len(outcomes)} outcomes for {len(recipients)} recipients")
            answered = any(isinstance(each, Delivered | Permanent) or each.spoken for each in outcomes)
        except UnreachableError as error:
            lane.went_down(self._now(), error.outcome)
            return [error.outcome] * len(job.waiting)
        finally:
            lane.ended(self._now(), answered=answered, waited=began - job.since)
            self._lanes.judge(lane)
        if answered:
            lane.came_up()
        elif lane.is_mute and isinstance(outcomes[0], Transient):
            lane.went_down(self._now(), outcomes[0])
        return outcomes

    # Writing down what became of it.

    async def _keep(self, lane: Lane, job: DeliveryJob, outcomes: Sequence[Outcome]) -> None:
        """Record outcomes, however long that takes: what was sent once must not be sent again."""
        at = int(self._clock())
        if self._log.is_enabled_for(INFO):
            self._tell(job, outcomes)
        pause, failed, content = _AGAIN_SECONDS, False, job.content
        try:
            while True:
                try:
                    await self._record(job.waiting, outcomes, content, at)
                    return
                except StoreError as error:
                    text = "an outcome could not be recorded, and is kept in memory"
                    self._log.error(text, destination=lane.destination, error=error)
                except Exception:
                    self._log.exception("an outcome could not be told", destination=lane.destination)
                    content = None  # the news is worth more than the copy
                if not failed:
                    failed, self._failed = True, self._now()
                    self._unrecorded += 1
                if self._stop.is_set():
                    await asyncio.sleep(pause)
                else:
                    await _wait(self._stop, pause)
                pause = min(2 * pause, _RECORD_AT_LEAST_EVERY)
        finally:
            self._unrecorded -= failed

    async def _record(
        self, waiting: Sequence[Waiting], outcomes: Sequence[Outcome], content: QueuedContent | None, at: int
    ) -> None:
        records = self._records.settle_all(waiting, outcomes, at)
        notices = {
            position: notice
            for position, (record, outcome) in enumerate(zip(records, outcomes, strict=True))
            if (notice := self._bounces.notice(record, outcome)) is not None
        }
        if notices:
            over = await self._bounces.send(notices, records, content)
        else:
            over = await self._outgoing.record(records)
        self._over += over
        if len(self._over) >= _CLAIMED_AT_ONCE:
            await self._guarded(self._expunge(), "bodies were not let go")

    def _tell(self, job: DeliveryJob, outcomes: Sequence[Outcome]) -> None:
        for one, outcome in zip(job.waiting, outcomes, strict=True):
            self._log.info(
                "sent" if isinstance(outcome, Delivered) else "not sent",
                id=format_id(one.message.id),
                to=str(one.recipient.address),
                result=type(outcome).__name__.lower(),
                host=outcome.remote.host,
                ip=outcome.remote.ip,
                tls=outcome.remote.tls,
                reply=f"{outcome.reply.code} {as_kept(outcome.reply)[:200]}",
            )

    async def _expunge(self) -> None:
        over, self._over = self._over, []
        if not over:
            return
        try:
            await self._mailstore.expunge(ACCOUNT, MAILBOX, over)
        except BaseException:
            self._over += over
            raise

    # Chores.

    async def _keep_claims(self) -> None:
        compared = renewed = self._now()
        ahead = self._clock() - compared
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            now = self._now()
            if now - renewed >= RENEW_SECONDS or not self._outgoing.is_alive or not self._is_sure:
                if await self._guarded(self._renew(), "the claims were not renewed"):
                    renewed = self._renewed = now
                else:
                    renewed = now - RENEW_SECONDS + _RENEW_AGAIN_SECONDS
            if await self._guarded(self._outgoing.watch(), "the claimers cannot be read"):
                compared = now - COMPARE_SECONDS
            due = now - compared >= COMPARE_SECONDS
            if due and await self._guarded(self._compare(), "the claims cannot be read"):
                compared = now
            before, ahead = ahead, self._clock() - now
            if abs(ahead - before) > _CLOCK_SLACK:
                self._tidy_now.set()

    async def _renew(self) -> bool:
        """Hold on to what is ours. True: it was done."""
        if not self._outgoing.is_alive:
            self._doubt()
        if not await self._outgoing.renew():
            self._doubt()
        if not self._is_sure:
            await self._compare()
            self._is_sure = True
        return True

    def _doubt(self) -> None:
        if self._is_sure:
            self._log.warning("the claims were renewed too late; what others have by now is let go")
        self._is_sure = False
        self._doubts += 1

    async def _compare(self) -> bool:
        """Let go of what is ours no more, and give back what is in nobody's hands. True: it was done."""
        before = set(self._mine)
        owned = await self._outgoing.claimed()
        lost = before - owned.keys()
        held = {key for key, is_held in owned.items() if is_held}
        struck = self._lanes.take_out(lost | held)
        self._mine -= struck
        orphans = owned.keys() - self._mine - struck
        given_back = (orphans & self._orphans) | (struck & held)
        self._orphans = orphans - given_back
        if given_back:
            await self._outgoing.release(given_back)
        return True

    async def _keep_tidy(self) -> None:
        while True:
            self._tidy_now.clear()
            await self._guarded(self._collect(), "bodies cannot be looked through")
            await self._guarded(self._outgoing.tidy(), "the queue was not tidied")
            for _ in range(int(TIDY_SECONDS)):
                if await _wait(self._tidy_now, 1.0):
                    break
                await self._guarded(self._expunge(), "bodies were not let go")

    async def _collect(self) -> None:
        """Bodies that a crash, or an operator who dropped their recipients, has left behind."""
        kept = {entry.message for entry in await self._mailstore.entries(ACCOUNT, MAILBOX)}
        if kept:
            # In this order: a body that was there before the rows were read has its rows by then.
            self._over += sorted(kept - await self._outgoing.needed_bodies() - set(self._over))

    async def _guarded(self, work: Awaitable[T], text: str) -> T | None:
        """What it returns; None, and a line in the log, when the store cannot do it now."""
        try:
            return await work
        except StoreError as error:
            self._log.error(text, error=error)
            return None


async def _wait(event: asyncio.Event, seconds: float) -> bool:
    """Wait for it, for so long; whether it came."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
