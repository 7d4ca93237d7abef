"""A lane: what waits for one destination, how many go at once, and what is known of its being down."""

from collections import deque
from dataclasses import dataclass, field

from posthouse.delivery.couriers.content import Content
from posthouse.delivery.outcome import Permanent, Transient
from posthouse.queue.interface import Waiting

_LONGER = 15  # at most so many times longer, in the end
_ROUND = 0.2  # seconds; pauses shorter than this are not slept one by one


@dataclass(slots=True)
class Job:
    """Recipients of one message for one destination. `content` is None when its octets are gone."""

    waiting: list[Waiting]
    content: Content | None = None


@dataclass(slots=True)
class Lane:
    """Times are the loop's, in seconds."""

    destination: str
    connections: int
    per_minute: int = 0  # messages; 0: no bound
    first_down: float = 60.0  # how long a destination that could not be reached is left alone
    jobs: deque[Job] = field(default_factory=deque)
    active: int = 0  # workers
    held: int = 0  # recipients in jobs and at work
    down_until: float = 0.0
    failure: Transient | Permanent | None = None
    _next_at: float = 0.0
    _down_for: float = 0.0

    @property
    def is_idle(self) -> bool:
        """Nothing waits and nobody works."""
        return not self.jobs and not self.active

    def wants_worker(self) -> bool:
        """Whether another worker would have something to do. A rate needs but one."""
        return bool(self.jobs) and self.active < (1 if self.per_minute else self.connections)

    def pause(self, now: float) -> float:
        """Seconds to wait before the next message, which is counted."""
        if not self.per_minute:
            return 0.0
        self._next_at = max(self._next_at, now - _ROUND) + 60.0 / self.per_minute
        return max(0.0, self._next_at - now)

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
