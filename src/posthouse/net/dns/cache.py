"""Answers, and failures, for as long as they hold. Bounded; the one not asked for longest goes first."""

from collections import OrderedDict
from collections.abc import Callable

from posthouse.net.dns.interface import Answer, DnsError, RecordType

Key = tuple[str, RecordType]


class Cache:
    """`clock` gives the loop's time in seconds."""

    def __init__(self, entries: int, clock: Callable[[], float]) -> None:
        self._entries = entries
        self._clock = clock
        self._held: OrderedDict[Key, tuple[float, Answer | DnsError]] = OrderedDict()

    def get(self, key: Key) -> Answer | DnsError | None:
        """What is known; None: nothing, or no longer."""
        found = self._held.get(key)
        if found is None:
            return None
        if found[0] <= self._clock():
            del self._held[key]
            return None
        self._held.move_to_end(key)
        return found[1]

    def put(self, key: Key, what: Answer | DnsError, until: float) -> None:
        """Know it until then."""
        self._held[key] = (until, what)
        self._held.move_to_end(key)
        if len(self._held) > self._entries:
            self._held.popitem(last=False)
