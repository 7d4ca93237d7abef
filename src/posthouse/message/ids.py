"""Envelope ids: 16 bytes that ascend in time, and how they are written."""

import os
import time
from collections.abc import Callable

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # base 32 without look-alikes


def id_factory(
    clock: Callable[[], float] = time.time, random: Callable[[int], bytes] = os.urandom
) -> Callable[[], bytes]:
    """Makes ids: 6 bytes of milliseconds since 1970, 10 random ones."""

    def make() -> bytes:
        return int(clock() * 1000).to_bytes(6, "big") + random(10)

    return make


def shown(envelope: bytes) -> str:
    """26 characters, ascending like the bytes."""
    number = int.from_bytes(envelope, "big")
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))
