"""What is written down about a recipient after an attempt: settled, given up, or when it is tried again."""

from collections.abc import Callable, Sequence

from posthouse.delivery.outbound.schedule import Schedule
from posthouse.message.reply import Reply
from posthouse.queue.interface import AttemptRecord, Delay, QueuedMessage, RecipientState, Try, Waiting
from posthouse.queue.outcome import Delivered, Outcome, Permanent, Transient

OWN_FAULT = Transient(Reply(451, "4.3.0", "This server could not try it; it will do so again"), spoken=False)
_OWN_FAULT_SECONDS = 45  # until the next try, within a lease; longer each time
_REPLY_KEPT = 1000  # characters


class Records:
    """`clock` gives seconds since 1970; `now_for` see Outgoing."""

    def __init__(self, schedule: Schedule, clock: Callable[[], float], now_for: Callable[[QueuedMessage], int]) -> None:
        self._schedule = schedule
        self._clock = clock
        self._now_for = now_for

    def settle_all(self, waiting: Sequence[Waiting], outcomes: Sequence[Outcome], at: int) -> list[AttemptRecord]:
        """The records of an attempt made at that time: one message's recipients at one destination.

        Those that were tried as often are due again together, and leave in one transaction again.
        """
        pauses: dict[int, float] = {}
        return [self._settle(one, outcome, at, pauses) for one, outcome in zip(waiting, outcomes, strict=True)]

    def _settle(self, waiting: Waiting, outcome: Outcome, at: int, pauses: dict[int, float]) -> AttemptRecord:
        tried = as_tried(outcome, at)
        if isinstance(outcome, Delivered):
            return AttemptRecord(waiting, RecipientState.DELIVERED, tried, warned=waiting.warned)
        if isinstance(outcome, Permanent):
            return AttemptRecord(waiting, RecipientState.FAILED, tried, warned=waiting.warned)
        message, attempts = waiting.message, waiting.attempts + 1
        now = self._now_for(message)
        age, left = now - message.created, message.expires - now
        if self._schedule.is_over(age=age, left=left, attempts=attempts):
            return AttemptRecord(waiting, RecipientState.EXPIRED, tried, warned=waiting.warned)
        if attempts not in pauses:
            pauses[attempts] = self._schedule.retry_in(attempts)
        pause = round(pauses[attempts])
        if outcome is OWN_FAULT:
            pause = min(pause, _OWN_FAULT_SECONDS * attempts)
        warned = waiting.warned or self._schedule.is_late(age=age, attempts=attempts)
        return AttemptRecord(waiting, RecipientState.WAITING, tried, int(self._clock()) + pause, warned)

    def later(self, now: int) -> Callable[[Delay], int | None]:
        """When one that counts as tried now is due again; None: it is given up, or its sender gets a report."""

        def due(delay: Delay) -> int | None:
            attempts, age = delay.attempts + 1, now - delay.created
            if self._schedule.is_over(age=age, left=delay.expires - now, attempts=attempts):
                return None
            if not delay.warned and self._schedule.is_late(age=age, attempts=attempts):
                return None
            return now + round(self._schedule.retry_in(attempts))

        return due


def as_tried(outcome: Outcome, at: int) -> Try:
    """An attempt as it is kept."""
    reply, remote = outcome.reply, outcome.remote
    return Try(at, reply.code, as_kept(reply), remote.host, remote.ip, remote.tls)


def as_kept(reply: Reply) -> str:
    """The words of a reply as they are kept, on one line."""
    text = reply.text.replace("\n", " ")
    return f"{reply.enhanced} {text}".strip()[:_REPLY_KEPT]
