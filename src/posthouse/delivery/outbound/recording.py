"""Records what became of each attempt, with the report to the sender, and lets go of bodies that nobody needs."""

import asyncio
from collections.abc import Callable, Sequence
from logging import INFO

from structlog.typing import FilteringBoundLogger

from posthouse.delivery.content.queued import QueuedContent
from posthouse.delivery.outbound.active_queue import ActiveQueue
from posthouse.delivery.outbound.lane import DeliveryJob, Lane
from posthouse.delivery.outbound.leases import guarded
from posthouse.delivery.outbound.records import Records, as_kept
from posthouse.delivery.reports.bounces import Bounces
from posthouse.mailstore.interface import Mailstore, StoreError
from posthouse.message.ids import format_id
from posthouse.queue.interface import ACCOUNT, MAILBOX, Outgoing, Waiting
from posthouse.queue.outcome import Delivered, Outcome

_AGAIN_SECONDS = 1.0  # before an outcome is recorded again
_RECORD_AT_LEAST_EVERY = 30.0  # seconds between two tries to record the same outcome
_EXPUNGED_AT_ONCE = 200


class OutcomeRecorder:
    """`clock` gives seconds since 1970."""

    def __init__(
        self,
        outgoing: Outgoing,
        mailstore: Mailstore,
        bounces: Bounces,
        records: Records,
        active: ActiveQueue,
        log: FilteringBoundLogger,
        clock: Callable[[], float],
    ) -> None:
        self._outgoing = outgoing
        self._mailstore = mailstore
        self._bounces = bounces
        self._records = records
        self._active = active
        self._log = log
        self._clock = clock
        self._over: list[int] = []  # bodies nobody needs any more

    async def keep(self, lane: Lane, job: DeliveryJob, outcomes: Sequence[Outcome]) -> None:
        """Record outcomes, however long that takes: what was sent once must not be sent again."""
        at = int(self._clock())
        if self._log.is_enabled_for(INFO):
            self._log_outcomes(job, outcomes)
        stopping = self._active.stopping
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
                    self._log.exception("an outcome could not be reported", destination=lane.destination)
                    content = None  # the news is worth more than the copy
                if not failed:
                    failed = True
                    self._active.recording_failed()
                if stopping.is_set():
                    await asyncio.sleep(pause)
                else:
                    await wait(stopping, pause)
                pause = min(2 * pause, _RECORD_AT_LEAST_EVERY)
        finally:
            if failed:
                self._active.recorded_late()

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
        if len(self._over) >= _EXPUNGED_AT_ONCE:
            await guarded(self._log, self.expunge(), "bodies were not let go")

    def _log_outcomes(self, job: DeliveryJob, outcomes: Sequence[Outcome]) -> None:
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

    async def expunge(self) -> None:
        """Let go of the bodies that nobody needs any more. Raises StoreError; they are tried again then."""
        over, self._over = self._over, []
        if not over:
            return
        try:
            await self._mailstore.expunge(ACCOUNT, MAILBOX, over)
        except BaseException:
            self._over += over
            raise

    async def collect(self) -> None:
        """Bodies that a crash, or an operator who dropped their recipients, has left behind. Raises StoreError."""
        kept = {entry.message for entry in await self._mailstore.entries(ACCOUNT, MAILBOX)}
        if kept:
            # In this order: a body that was there before the rows were read has its rows by then.
            self._over += sorted(kept - await self._outgoing.needed_bodies() - set(self._over))


async def wait(event: asyncio.Event, seconds: float) -> bool:
    """Wait for it, for so long; whether it came."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
