"""A lane: what waits for one destination, how many go at once, and what is known of its being down or silent.

How many messages of a lane may be in memory follows what its destination has shown. It begins with one, each answer
allows some more, and what had to wait for its turn halves it: so a host that accepts connections and says nothing holds
one place, and a fast one as many as it works off in seconds.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import Enum

from posthouse.delivery.content.queued import QueuedContent
from posthouse.queue.interface import Waiting
from posthouse.queue.outcome import Permanent, Transient

MOST = 1000  # messages of one lane in memory
QUIET_SECONDS = 10.0  # without any answer, while some are waited for
_DOWN_AT_ONCE = 50  # messages to a destination that is down, for which nothing is waited for
_GROWTH = 4  # with each answer
_REMEMBERED_SECONDS = 60.0  # how much a destination may be sent, after its last answer
_LONGER = 15  # at most so many times longer, in the end
_ROUND = 0.2  # seconds; pauses shorter than this are not slept one by one


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How much at once to one destination: connections, and messages a minute (0: no bound)."""

    connections: int = 20
    per_minute: int = 0


class LaneState(Enum):
    """What is to be expected of a lane."""

    NEW = "new"  # nobody knows yet
    LIVE = "live"  # it answers
    QUIET = "quiet"  # it has kept us waiting


@dataclass(slots=True)
class DeliveryJob:
    """Recipients of one message for one destination. `content` is None when its octets are gone."""

    waiting: list[Waiting]
    content: QueuedContent | None = None
    since: float = 0.0  # when it came into memory, in the loop's seconds


@dataclass(slots=True)
class Lane:
    """Times are the loop's, in seconds."""

    destination: str
    connections: int
    per_minute: int = 0  # messages; 0: no bound
    first_down: float = 60.0  # how long a destination that could not be reached is left alone
    jobs: deque[DeliveryJob] = field(default_factory=deque)
    active: int = 0  # workers
    held: int = 0  # jobs, waiting and at work
    asked: int = 0  # attempts under way
    allowance: int = 1  # jobs that may be held
    state: LaneState = LaneState.NEW
    more: bool = False  # more may wait in the queue than is in memory
    down_until: float = 0.0
    failure: Transient | Permanent | None = None
    _heard: float = 0.0  # when it last answered, or when we began to wait for an answer
    _proven: bool = False
    _unanswered: int = 0  # attempts in a row
    _next_at: float = 0.0
    _down_for: float = 0.0

    @property
    def is_idle(self) -> bool:
        """Nothing waits and nobody works."""
        return not self.held and not self.active

    def wants_worker(self) -> bool:
        """Whether another worker would have something to do. A rate needs but one."""
        return bool(self.jobs) and self.active < (1 if self.per_minute else self.connections)

    def pause(self, now: float) -> float:
        """Seconds to wait before the next message, which is counted."""
        if not self.per_minute:
            return 0.0
        self._next_at = max(self._next_at, now - _ROUND) + 60.0 / self.per_minute
        return max(0.0, self._next_at - now)

    # How much of it may be in memory.

    def began(self, now: float) -> None:
        """An attempt begins."""
        if not self.asked:
            self._heard = now
        self.asked += 1

    def ended(self, now: float, *, answered: bool, waited: float) -> None:
        """An attempt has ended. `waited`: seconds that its message was in memory before the attempt."""
        self.asked -= 1
        self._heard = now
        self._proven = answered
        self._unanswered = 0 if answered else self._unanswered + 1
        if not answered:
            self.allowance = 1
        elif waited < QUIET_SECONDS:
            self.allowance = min(MOST, self.allowance + _GROWTH)
        elif self.allowance > self.connections:
            self.allowance = max(self.connections, self.allowance // 2)

    @property
    def is_mute(self) -> bool:
        """Whether it takes connections, and twice in a row nothing has come of them."""
        return self._unanswered > 1

    def current_state(self, now: float) -> LaneState:
        """What is to be expected of it now."""
        if self.asked and now - self._heard >= QUIET_SECONDS:
            return LaneState.QUIET
        if self._proven:
            return LaneState.LIVE
        # One that was silent before is no new one before it answers.
        return LaneState.QUIET if self.state is LaneState.QUIET and self.asked else LaneState.NEW

    def room(self, now: float) -> int:
        """How many more messages it may hold."""
        if self.is_down(now):
            return _DOWN_AT_ONCE - self.held if isinstance(self.failure, Permanent) else 0
        return 0 if self.state is LaneState.QUIET else self.allowance - self.held

    def surplus(self, now: float) -> list[DeliveryJob]:
        """Takes out the jobs that wait beyond what may be held, the last first."""
        if self.is_down(now):
            return []  # they are about to fail with it
        bound = self.asked if self.state is LaneState.QUIET else self.allowance
        found: list[DeliveryJob] = []
        while self.jobs and self.held - len(found) > bound:
            found.append(self.jobs.pop())
        return found

    # Being down.

    def went_down(self, now: float, failure: Transient | Permanent) -> None:
        """Nobody could be reached: what comes within the next minutes has the same fate without a try."""
        self._down_for = min(max(self.first_down, self._down_for * 2), self.first_down * _LONGER)
        self.down_until = now + self._down_for
        self.failure = failure

    def came_up(self) -> None:
        """Somebody answered."""
        self.down_until = self._down_for = 0.0
        self.failure = None

    def is_down(self, now: float) -> bool:
        """Whether to leave it alone now."""
        return now < self.down_until

    def is_forgettable(self, now: float) -> bool:
        """Whether nothing would be lost with it: for how long it is left alone next time is worth keeping a while."""
        return self.is_idle and now >= max(self.down_until + self._down_for, self._heard + _REMEMBERED_SECONDS)
