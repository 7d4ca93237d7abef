"""How TLS went, counted by day, domain and kind, for the reports of RFC 8460."""

import asyncio
from collections import Counter
from collections.abc import Callable

from posthouse.queue.destinations import Destinations, TlsResult

_FLUSH_SECONDS = 5.0
_COUNTED_AT_MOST = 10_000  # while they cannot be written


class TlsResults:
    """Counts in memory, and writes them out every few seconds. `clock` gives seconds since 1970."""

    def __init__(self, destinations: Destinations, clock: Callable[[], float]) -> None:
        self._destinations = destinations
        self._clock = clock
        self._counts: Counter[tuple[int, str, str, str, str]] = Counter()
        self._flushing: asyncio.TimerHandle | None = None
        self._tidied = 0  # the day

    def count(self, domain: str, policy: str, host: str, result: str) -> None:
        """Count one connection; `result` "" is a success. A route has no domain: nobody reports on it."""
        if not domain:
            return
        self._counts[int(self._clock()) // 86400, domain, policy, host, result] += 1
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().call_later(_FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Write the counts out. Done every few seconds while there are any; and to be done at the end."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        counts, self._counts = self._counts, Counter()
        if counts and not self._destinations.add_results([TlsResult(*key, count) for key, count in counts.items()]):
            self._counts = counts if len(counts) < _COUNTED_AT_MOST else Counter()
        now = int(self._clock())
        if now // 86400 != self._tidied:
            self._tidied = now // 86400
            self._destinations.tidy(now)
