"""Tells the operator that connections are refused: the first at once, then once a minute, however many there are."""

from collections.abc import Callable

from structlog.typing import FilteringBoundLogger

from posthouse.net.limits import Limits

PERIOD = 60.0  # seconds between two lines about one bound
_SHARED = "if all your clients show this address (a container's gateway, a load balancer), raise it or use [proxy]"


class RefusalLog:
    """One per server. `clock` gives seconds, steadily."""

    def __init__(self, limits: Limits, log: FilteringBoundLogger, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._log = log
        self._clock = clock
        self._untold: dict[str, int] = {}  # by setting: refused since the last line
        self._due: dict[str, float] = {}

    def note_full(self, ip: str) -> None:
        """A connection was refused because there are so many in all."""
        self._note("limits.connections", self._limits.connections, ip)

    def note_share(self, ip: str) -> None:
        """A connection was refused because its address has so many."""
        self._note("limits.per_address", self._limits.per_address, ip, fix=_SHARED)

    def _note(self, setting: str, bound: int, ip: str, **more: str) -> None:
        count = self._untold.get(setting, 0) + 1
        now = self._clock()
        if now < self._due.get(setting, now):
            self._untold[setting] = count
            return
        self._untold[setting], self._due[setting] = 0, now + PERIOD
        self._log.warning("connections refused", client=ip, refused=count, setting=setting, bound=bound, **more)
