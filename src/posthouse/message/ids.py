"""Envelope ids: 16 bytes that ascend in time, and how they are written."""

import functools
import os
import time
from collections.abc import Callable

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # base 32 without look-alikes
_PAIRS = [one + two for one in _ALPHABET for two in _ALPHABET]
_SHIFTS = range(120, -1, -10)


def id_factory(
    clock: Callable[[], float] = time.time, random: Callable[[int], bytes] = os.urandom
) -> Callable[[], bytes]:
    """Makes ids: 6 bytes of milliseconds since 1970, 10 random ones."""

    def make() -> bytes:
        return int(clock() * 1000).to_bytes(6, "big") + random(10)

    return make


def parse_id(text: str) -> tuple[bytes, bytes]:
    """The first and the last id whose text begins with `text`. Raises ValueError."""
    if not 0 < len(text) <= 26:
        raise ValueError(text)
    number = 0
    for letter in text.lower():
        number = number << 5 | _ALPHABET.index(letter)
    rest = 130 - 5 * len(text)
    low, high = number << rest, (number + 1 << rest) - 1
    if low >> 128:
        raise ValueError(text)
    return low.to_bytes(16, "big"), min(high, (1 << 128) - 1).to_bytes(16, "big")


@functools.lru_cache(256)  # the trace, the log and the reply all show it
def format_id(envelope: bytes) -> str:
    """26 characters, ascending like the bytes."""
    number = int.from_bytes(envelope, "big")
    return "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])
