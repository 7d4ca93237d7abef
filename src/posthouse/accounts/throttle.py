"""Slows down guessing, for all protocols and all processes together.

Failures are counted three times: for the pair of login name and network, for the network over all names, and for the
name over all networks. Unknown names are counted like known ones. Two things can follow, each growing with the count:

- to be shut: an attempt that comes too early is refused unseen and counts nothing. So it is with a pair that failed
  some times, and with a network that failed at many names;
- to be held back: an attempt is looked at, but some seconds later. So it is with a name at which many networks guess,
  and with a pair that failed from a known network.

A network from which the account has logged in before is known (for 90 days). From there nothing is shut: neither can
a neighbour behind the same address lock its owner out, nor do guesses from anywhere else count. And no number of
networks that guess at a name can shut out its owner who comes from a new one: that takes some seconds longer.

Names and addresses are kept as digests: people type passwords where the name belongs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple, Protocol

from posthouse.message.ip import customer_network

KNOWN_NETWORK_SECONDS = 90 * 86_400.0
_KNOWN_NETWORK_NOTED_AGAIN = 86_400.0
_KEYS_KEPT = 8_192
CLOCK_SLACK = 60.0  # seconds; a clock set back by more was wrong before, and so is what was written down by it


@dataclass(frozen=True, slots=True)
class ThrottleLimit:
    """Fewer than `free` failures cost nothing; then `first` seconds, doubled by each more, up to `longest`.

    All are forgotten `forget` seconds after the last delay.
    """

    free: int
    first: float
    longest: float
    forget: float = 3_600.0

    def delay(self, failures: int) -> float:
        """Seconds to wait after this many failures."""
        over = failures - self.free
        return min(self.longest, self.first * 2.0 ** min(over, 32)) if over >= 0 else 0.0

    def counts_still(self, expires: float, now: float) -> bool:
        """Whether failures that are forgotten at `expires` count; not if only a wrong clock can have written that."""
        return now < expires <= now + self.longest + self.forget + CLOCK_SLACK


PAIR = ThrottleLimit(free=5, first=2.0, longest=900.0)
NETWORK = ThrottleLimit(free=30, first=2.0, longest=900.0)
NAME = ThrottleLimit(free=50, first=1.0, longest=15.0)  # held back, not shut
KNOWN_NETWORK = ThrottleLimit(free=5, first=1.0, longest=15.0)  # the same, for a pair whose network is known
_AT_ONCE_FROM_KNOWN_NETWORK = 8  # attempts that wait there for one another's outcome


@dataclass(frozen=True, slots=True)
class Charge:
    """A failure to be counted under a key."""

    key: bytes
    limit: ThrottleLimit


class Count(NamedTuple):
    """What a key has been charged with."""

    failures: int
    until: float  # the moment until which it must wait


_NONE = Count(0, 0.0)


class ThrottleUnavailableError(Exception):
    """The rows cannot be read or written now."""


class ThrottleRows(Protocol):
    """Where counters live. Each method is atomic; keys are 16 octets; times are seconds since 1970."""

    def counts(self, keys: Sequence[bytes]) -> dict[bytes, Count]:
        """The counts of those of up to three keys that have any; old ones may still be among them."""

    def charge(self, charges: Sequence[Charge], now: float) -> None:
        """Count one failure under each key."""

    def forgive(self, key: bytes) -> None:
        """Forget a key's failures."""

    def note_known_network(self, key: bytes, until: float) -> None:
        """Remember that the network of this pair is known."""

    def is_known_network(self, key: bytes, now: float) -> bool:
        """Whether it is known still."""


@dataclass(frozen=True, slots=True)
class _Keys:
    pair: bytes
    network: bytes
    name: bytes
    all: tuple[bytes, bytes, bytes]


class Throttle:
    """Decides who must wait. Calls come from the event loop's thread; each costs microseconds."""

    def __init__(
        self,
        rows: ThrottleRows,
        clock: Callable[[], float],
        *,
        pair: ThrottleLimit = PAIR,
        network: ThrottleLimit = NETWORK,
        name: ThrottleLimit = NAME,
        known_network: ThrottleLimit = KNOWN_NETWORK,
    ) -> None:
        self._rows = rows
        self._clock = clock
        self._pair, self._network, self._name, self._known_network = pair, network, name, known_network
        self._keys: dict[tuple[str, str], _Keys] = {}
        self._known_networks: dict[bytes, float] = {}  # pair -> when it was last noted by this process
        self._pending: dict[bytes, int] = {}  # pair -> attempts begun and not ended
        # What could not be written: a full disk must neither stop logins nor free guessers.
        self._own = MemoryThrottleRows()

    def wait(self, name: str, ip: str) -> float:
        """Seconds for which attempts are shut out; 0: they are looked at."""
        keys = self._keys_of(name, ip)
        counts = self._read(keys.all)
        if not counts:
            return 0.0
        now = self._clock()
        left = max(
            _left(counts.get(keys.pair, _NONE), now, self._pair),
            _left(counts.get(keys.network, _NONE), now, self._network),
        )
        return 0.0 if left and self._is_known_network(keys.pair, now) else left

    def held_back(self, name: str, ip: str) -> float:
        """Seconds that an attempt which is not shut out is to wait before it is looked at; 0: none."""
        keys = self._keys_of(name, ip)
        counts = self._read(keys.all)
        if not counts:
            return 0.0
        now = self._clock()
        if self._is_known_network(keys.pair, now):
            return self._known_network.delay(_counted(counts.get(keys.pair, _NONE), now, self._pair))
        return self._name.delay(_counted(counts.get(keys.name, _NONE), now, self._name))

    def begin(self, name: str, ip: str) -> bool:
        """Enter an attempt that takes time; False when, would those under way fail, it had to wait.

        So a guesser who sends a thousand at once gets no further than one who sends them in turn.
        """
        pair = self._keys_of(name, ip).pair
        pending = self._pending.get(pair, 0)
        too_many = pending and pending + self._read((pair,)).get(pair, _NONE).failures >= self._pair.free
        if too_many and (pending >= _AT_ONCE_FROM_KNOWN_NETWORK or not self._is_known_network(pair, self._clock())):
            return False
        self._pending[pair] = pending + 1
        return True

    def end(self, name: str, ip: str) -> None:
        """Leave an attempt that was begun."""
        pair = self._keys_of(name, ip).pair
        pending = self._pending.pop(pair, 1) - 1
        if pending > 0:
            self._pending[pair] = pending

    def failed(self, name: str, ip: str) -> None:
        """Count a failure."""
        keys = self._keys_of(name, ip)
        now = self._clock()
        charges = [Charge(keys.pair, self._pair)]
        if not self._is_known_network(keys.pair, now):
            charges += [Charge(keys.network, self._network), Charge(keys.name, self._name)]
        try:
            self._rows.charge(charges, now)
        except ThrottleUnavailableError:
            self._own.charge(charges, now)

    def guessed(self, ip: str) -> float:
        """Count a recipient that does not exist against the network that named it, as a failed login counts.

        Returns the seconds for which the network is slowed down, 0 while it is not. Known networks are no excuse:
        who sends mail to a user's address has not logged in.
        """
        key, now = _key("net", customer_network(ip)), self._clock()
        left = _left(self._read((key,)).get(key, _NONE), now, self._network)
        charges = [Charge(key, self._network)]
        try:
            self._rows.charge(charges, now)
        except ThrottleUnavailableError:
            self._own.charge(charges, now)
        return left

    def succeeded(self, name: str, ip: str) -> None:
        """Forgive the pair, and remember its network as known. Mostly writes nothing."""
        pair = self._keys_of(name, ip).pair
        now = self._clock()
        self._own.forgive(pair)
        try:
            if self._rows.counts((pair,)):
                self._rows.forgive(pair)
            if not 0 <= now - self._known_networks.get(pair, float("-inf")) < _KNOWN_NETWORK_NOTED_AGAIN:
                self._rows.note_known_network(pair, now + KNOWN_NETWORK_SECONDS)
        except ThrottleUnavailableError:
            self._own.note_known_network(pair, now + KNOWN_NETWORK_SECONDS)
        if len(self._known_networks) >= _KEYS_KEPT:
            self._known_networks.clear()
        self._known_networks[pair] = now

    def _read(self, keys: Sequence[bytes]) -> dict[bytes, Count]:
        own = self._own.counts(keys)
        try:
            counts = self._rows.counts(keys)
        except ThrottleUnavailableError:
            return own
        for key, count in own.items():
            written = counts.get(key, _NONE)
            counts[key] = Count(written.failures + count.failures, max(written.until, count.until))
        return counts

    def _is_known_network(self, pair: bytes, now: float) -> bool:
        try:
            return self._own.is_known_network(pair, now) or self._rows.is_known_network(pair, now)
        except ThrottleUnavailableError:
            return False

    def _keys_of(self, name: str, ip: str) -> _Keys:
        keys = self._keys.get((name, ip))
        if keys is None:
            if len(self._keys) >= _KEYS_KEPT:
                self._keys.clear()
            pair, net, who = (
                _key(*parts)
                for parts in (("pair", name, customer_network(ip)), ("net", customer_network(ip)), ("name", name))
            )
            keys = _Keys(pair, net, who, (pair, net, who))
            if len(name) <= 320:
                self._keys[(name, ip)] = keys
        return keys


def _left(count: Count, now: float, limit: ThrottleLimit) -> float:
    left = count.until - now
    if left > limit.longest + CLOCK_SLACK:
        return 0.0  # a moment of a clock that was ahead: it would ask for the longest delay until that day comes
    return min(max(0.0, left), limit.longest)


def _counted(count: Count, now: float, limit: ThrottleLimit) -> int:
    """The failures that count still."""
    return count.failures if limit.counts_still(count.until + limit.forget, now) else 0


class MemoryThrottleRows:
    """Counters of one process, bounded in number: for tests, and for what could not be written."""

    def __init__(self, bound: int = 10_000) -> None:
        self._bound = bound
        self._counts: dict[bytes, tuple[int, float, float]] = {}  # failures, until, expires
        self._known_networks: dict[bytes, float] = {}

    def counts(self, keys: Sequence[bytes]) -> dict[bytes, Count]:
        """See ThrottleRows."""
        return {key: Count(*self._counts[key][:2]) for key in keys if key in self._counts} if self._counts else {}

    def charge(self, charges: Sequence[Charge], now: float) -> None:
        """See ThrottleRows."""
        for charge in charges:
            failures, _until, expires = self._counts.pop(charge.key, (0, 0.0, 0.0))
            failures = failures + 1 if charge.limit.counts_still(expires, now) else 1
            until = now + charge.limit.delay(failures)
            self._counts[charge.key] = (failures, until, until + charge.limit.forget)
        while len(self._counts) > self._bound:
            del self._counts[next(iter(self._counts))]  # the one charged longest ago

    def forgive(self, key: bytes) -> None:
        """See ThrottleRows."""
        self._counts.pop(key, None)

    def note_known_network(self, key: bytes, until: float) -> None:
        """See ThrottleRows."""
        self._known_networks.pop(key, None)
        self._known_networks[key] = until
        while len(self._known_networks) > self._bound:
            del self._known_networks[next(iter(self._known_networks))]

    def is_known_network(self, key: bytes, now: float) -> bool:
        """See ThrottleRows."""
        return self._known_networks.get(key, 0.0) > now


def _key(*parts: str) -> bytes:
    return blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).digest()
