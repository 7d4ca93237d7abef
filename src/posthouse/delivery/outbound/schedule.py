"""When a message is tried again, when its sender gets a report, and when it is given up.

The first retries come quickly and ever slower, then every hour or so: after 5 minutes, 20, 45, 80, and on by the hour.
Jitter keeps the messages of one failure from coming back as one wave.
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

_LONGEST = 3600.0


@dataclass(frozen=True, slots=True)
class Schedule:
    """Times in seconds. RFC 5321 4.5.4.1: at least 30 minutes between tries as a rule, and 4-5 days in all."""

    first_retry: float = 300.0
    delay_warning: float = 4 * 3600.0  # 0: never
    expire: float = 5 * 86400.0
    least_attempts: int = 12  # before giving up: a clock that jumped, or a server that was off for a week, is no reason
    least_before_warning: int = 4  # attempts before the sender gets a notice of delay, for the same reason
    chance: Callable[[], float] = field(default=random.SystemRandom().random)

    def retry_in(self, attempts: int) -> float:
        """Seconds until the next try, after so many."""
        pause = min(self.first_retry * max(1, 2 * attempts - 1), max(_LONGEST, self.first_retry))
        return pause * (0.8 + 0.2 * self.chance())

    def is_over(self, *, age: float, left: float, attempts: int) -> bool:
        """Whether a failed try was the last one. `left`: seconds until the message expires."""
        # The attempts asked for are those that fit its life, where an operator has made that short.
        wanted = min(self.least_attempts, int((age + left) / max(self.first_retry, 1.0)) or 1)
        return left <= 0 and attempts >= wanted

    def is_late(self, *, age: float, attempts: int) -> bool:
        """Whether the sender should know by now, after so many failed tries."""
        if self.delay_warning <= 0 or age < self.delay_warning:
            return False
        # The n-th try comes after about (n - 1)² first pauses: where the warning comes early there are few before it.
        usual = math.isqrt(int(self.delay_warning / max(self.first_retry, 1.0))) + 1
        return attempts >= min(self.least_before_warning, usual)
