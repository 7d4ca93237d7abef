"""The delivery agent: takes what is due out of the queue, has couriers carry it, and has the outcome recorded.

A message that has just come in is handed over in memory (see ActiveQueue); what a crash left behind, and what is to be
tried again, is claimed from the table. Nothing leaves the queue before its outcome is durable: a crash between the
other server's 250 and our record sends once more, and that is the only case in which a message is sent twice.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Sequence

from structlog.typing import FilteringBoundLogger

from posthouse.delivery.content.queued import QueuedContent
from posthouse.delivery.outbound.active_queue import ActiveQueue
from posthouse.delivery.outbound.couriers.interface import Courier, UnreachableError
from posthouse.delivery.outbound.couriers.message import OutboundMessage
from posthouse.delivery.outbound.lane import DeliveryJob, Lane
from posthouse.delivery.outbound.leases import WATCH_SECONDS, LeaseKeeper, guarded
from posthouse.delivery.outbound.recording import OutcomeRecorder, wait
from posthouse.delivery.outbound.records import OWN_FAULT, Records, as_tried
from posthouse.delivery.outbound.schedule import Schedule
from posthouse.delivery.reports.bounces import Bounces
from posthouse.mailstore.interface import Mailstore, StoreError
from posthouse.message.reply import Reply
from posthouse.net.supervisor import Supervisor
from posthouse.queue.interface import ACCOUNT, MAILBOX, Outgoing, Waiting
from posthouse.queue.outcome import Delivered, Outcome, Permanent, Transient

POLL_SECONDS = 1.0  # between two looks for what is due
_AGAIN_SECONDS = 1.0  # before what failed is tried again
TIDY_SECONDS = 600.0
_CLAIMED_AT_ONCE = 200
_POSTPONED_AT_ONCE = 500
_DOWN_AT_ONCE = 20  # destinations
_GONE = Permanent(Reply(554, "5.3.0", "The message is no longer in our store"), spoken=False)


class DeliveryAgent:
    """One per process; start(), then stop()."""

    def __init__(
        self,
        active: ActiveQueue,
        outgoing: Outgoing,
        mailstore: Mailstore,
        courier: Courier,
        bounces: Bounces,
        log: FilteringBoundLogger,
        *,
        schedule: Schedule,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._active = active
        self._outgoing = outgoing
        self._mailstore = mailstore
        self._courier = courier
        self._log = log
        self._clock = clock
        self._records = Records(schedule, clock, outgoing.now_for)
        self._recorder = OutcomeRecorder(outgoing, mailstore, bounces, self._records, active, log, clock)
        self._tidy_now = asyncio.Event()
        self._leases = LeaseKeeper(outgoing, active, log, clock=clock, on_step=self._tidy_now.set)
        # Started again soon, however often it failed: without it the queue would stand still.
        self._supervisor = Supervisor(log, pauses=(_AGAIN_SECONDS, _AGAIN_SECONDS), stopping=active.stopping)
        self._workers: set[asyncio.Task[None]] = set()  # of the lanes
        active.attach(self._start_worker)

    async def start(self) -> None:
        """Begin. Where the disk is full nothing can be claimed, so nothing is sent until a renewal succeeds."""
        try:
            await self._outgoing.renew()
        except StoreError as error:
            self._log.error("nothing is sent until the queue can be written", error=error)
        for name, work in (("poll", self._poll), ("claims", self._leases.run), ("tidy", self._keep_tidy)):
            self._supervisor.run(name, work)

    async def stop(self, grace: float) -> None:
        """Let what is on the wire finish for up to `grace` seconds; the rest stays queued."""
        self._active.stopping.set()
        self._active.wake.set()
        for lane in self._active.lanes:
            lane.jobs.clear()
        if self._workers:
            await asyncio.wait(self._workers, timeout=grace)
        for worker in self._workers:
            worker.cancel()
        await self._supervisor.stop()
        await asyncio.gather(*self._workers, return_exceptions=True)
        self._courier.close()
        try:
            await self._recorder.expunge()
            await self._outgoing.leave()
        except StoreError as error:
            self._log.error("the queue was not left tidy", error=error)

    def look(self) -> None:
        """Something may be due: look now instead of at the next poll."""
        self._active.wake.set()

    # Filling the lanes.

    async def _poll(self) -> None:
        while not self._active.stopping.is_set():
            self._active.wake.clear()
            found = await guarded(self._log, self._look(), "the queue cannot be read")
            self._courier.sweep(self._active.now())
            if not found:
                await wait(self._active.wake, POLL_SECONDS)

    async def _look(self) -> int:
        """Claim what there is room for; how many recipients."""
        lanes = self._active.lanes
        lanes.update_states()
        lanes.forget()
        surplus = self._active.take_surplus()
        if surplus:
            await self._outgoing.release(surplus)
        for lane in list(lanes):
            self._start_worker(lane)  # should its workers have failed
        if not self._active.may_send:
            return 0
        found = 0
        open_ = lanes.open()
        if open_:
            found += await self._claim((), open_)
        if lanes.new_room() > 0:
            found += await self._claim(lanes.names(), None)
        await self._postpone()
        return found

    async def _claim(self, busy: Collection[str], only: Collection[str] | None) -> int:
        active = self._active
        doubts = active.doubts
        claimed = await self._outgoing.claim(
            busy, _CLAIMED_AT_ONCE, only=only, share=active.lanes.shares(), holding=frozenset(active.held)
        )
        await self._take(claimed, doubts)
        return len(claimed)

    async def _postpone(self) -> None:
        """Nobody is tried at a destination that is down; but those who have waited for long get a report."""
        active = self._active
        down = active.lanes.down()
        for destination in await self._outgoing.due_among(down, _DOWN_AT_ONCE) if down else ():
            lane = active.lanes.get(destination)
            if lane.failure is None or not active.may_send:
                continue
            now = int(self._clock())
            doubts = active.doubts
            claimed = await self._outgoing.postpone(
                destination,
                as_tried(lane.failure, now),
                self._records.later(now),
                _POSTPONED_AT_ONCE,
                holding=frozenset(active.held),
            )
            await self._take(claimed, doubts)

    async def _take(self, claimed: Sequence[Waiting], doubts: int) -> None:
        """Put what was just claimed into the lanes; `doubts` is from before the claim."""
        if not claimed:
            return
        active = self._active
        keys = [one.key for one in claimed]
        active.held.update(keys)
        try:
            # All at once: a look-up for each would cost a hop to another thread for each.
            bodies = {one.message.body for one in claimed}
            found = await self._mailstore.find(ACCOUNT, MAILBOX, sorted(bodies))
            if active.stopping.is_set() or doubts != active.doubts:
                raise StoreError("the claims may have been ended meanwhile")
        except BaseException:
            active.held.difference_update(keys)
            await guarded(self._log, self._outgoing.release(keys), "claims were not given back")
            raise
        active.add(claimed, {entry.message: QueuedContent(self._mailstore, entry) for entry in found})
        for one in claimed:
            active.lanes.get(one.destination).more = True

    # Working a lane off.

    def _start_worker(self, lane: Lane) -> None:
        if lane.wants_worker():
            lane.active += 1
            worker = asyncio.get_running_loop().create_task(self._work(lane), name="lane")
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)

    async def _work(self, lane: Lane) -> None:
        active = self._active
        try:
            while lane.jobs and not active.stopping.is_set():
                pause = lane.pause(active.now())
                if pause:
                    await asyncio.sleep(pause)
                while not active.may_send and not active.stopping.is_set():
                    await wait(active.stopping, WATCH_SECONDS / 4)
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
            await self._recorder.keep(lane, job, outcomes)
        finally:
            self._active.done(lane, job)

    async def _attempt(self, lane: Lane, job: DeliveryJob) -> list[Outcome]:
        now = self._active.now
        if lane.is_down(now()) and lane.failure is not None:
            return [lane.failure] * len(job.waiting)
        if job.content is None:
            return [_GONE] * len(job.waiting)
        message = self._outbound_message(job, job.content)
        began, answered = now(), False
        lane.began(began)
        try:
            outcomes = await self._courier.deliver(lane.destination, message)
            if len(outcomes) != len(message.recipients):
                raise ValueError(f"{len(outcomes)} outcomes for {len(message.recipients)} recipients")
            answered = any(isinstance(each, Delivered | Permanent) or each.spoken for each in outcomes)
        except UnreachableError as error:
            lane.went_down(now(), error.outcome)
            return [error.outcome] * len(job.waiting)
        finally:
            lane.ended(now(), answered=answered, waited=began - job.since)
            self._active.lanes.update_state(lane)
        if answered:
            lane.came_up()
        elif lane.is_mute and isinstance(outcomes[0], Transient):
            lane.went_down(now(), outcomes[0])
        return outcomes

    def _outbound_message(self, job: DeliveryJob, content: QueuedContent) -> OutboundMessage:
        message = job.waiting[0].message
        recipients = tuple(one.recipient for one in job.waiting)
        age = self._outgoing.now_for(message) - message.created
        return OutboundMessage(message.id, message.sender, recipients, content, age)

    async def _keep_tidy(self) -> None:
        while True:
            self._tidy_now.clear()
            await guarded(self._log, self._recorder.collect(), "bodies cannot be looked through")
            await guarded(self._log, self._outgoing.tidy(), "the queue was not tidied")
            for _ in range(int(TIDY_SECONDS)):
                if await wait(self._tidy_now, 1.0):
                    break
                await guarded(self._log, self._recorder.expunge(), "bodies were not let go")
