"""Memory of destinations: a host that has shown a valid certificate must show one again (trust on first use)."""

from collections.abc import Callable

from posthouse.delivery.outbound.tls.policy import Proof, TlsRequirement
from posthouse.queue.destinations import Destinations

_YIELD_SECONDS = 86400.0  # that a message waits for a host to be what it was
_NOTED_AT_MOST = 10_000


class CertificateMemory:
    """`seconds`: for how long a valid certificate counts; 0: nothing is remembered. `clock`: seconds since 1970."""

    def __init__(self, destinations: Destinations, seconds: float, clock: Callable[[], float]) -> None:
        self._destinations = destinations
        self._seconds = seconds
        self._clock = clock
        self._noted: set[tuple[str, str, int]] = set()

    def requirement(self, domain: str, host: str, waited: float) -> TlsRequirement:
        """What a host must show, that had a valid certificate before."""
        seen = self._destinations.valid_since(domain, host) if self._seconds else 0
        if not seen or self._clock() - seen > self._seconds:
            return TlsRequirement()
        yields = waited > _YIELD_SECONDS
        proof = Proof("memory", soft=yields)
        return TlsRequirement(required=True, single_use=yields, reason="it had before", proof=proof)

    def remember(self, domain: str, host: str) -> None:
        """Note a valid certificate. Once a day is enough."""
        if not self._seconds or not domain:
            return
        now = int(self._clock())
        key = (domain, host, now // 86400)
        if key not in self._noted:
            if len(self._noted) > _NOTED_AT_MOST:
                self._noted.clear()
            self._noted.add(key)
            self._destinations.keep_valid(domain, host, now)
