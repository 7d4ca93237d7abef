"""Passwords that were right a moment ago, so that a polling client does not pay for argon2 each time.

Kept as digests under a key that only this process knows and that dies with it; bound to the account's credential
generation, so a changed password is forgotten without being told.
"""

import os
from collections.abc import Callable
from hashlib import blake2b


class Remembered:
    """A bounded set of digests, each for some seconds. `clock` is monotonic."""

    def __init__(self, clock: Callable[[], float], *, seconds: float = 600.0, bound: int = 16_384) -> None:
        self._clock = clock
        self._seconds = seconds
        self._bound = bound
        self._key = os.urandom(32)
        self._until: dict[bytes, float] = {}

    def mark(self, name: str, generation: int, password: str) -> bytes:
        """What stands for this password of this account."""
        text = f"{generation}:{len(name)}:{name}{password}"
        return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16, key=self._key).digest()

    def holds(self, mark: bytes) -> bool:
        """Whether this was right less than `seconds` ago."""
        until = self._until.get(mark)
        return until is not None and self._clock() < until

    def add(self, mark: bytes) -> None:
        """Remember it from now on."""
        self._until.pop(mark, None)
        self._until[mark] = self._clock() + self._seconds
        while len(self._until) > self._bound:
            del self._until[next(iter(self._until))]  # the oldest: all live equally long
