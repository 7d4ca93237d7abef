"""Work on the octets of a large message that leaves the other connections of the process their turn."""

import asyncio
from collections.abc import AsyncIterator, Iterable

SLICE = 128 << 10  # octets; to hash so many for DKIM takes less than a millisecond


async def in_slices(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    """The same octets, cut small. Others have their turn after each slice; a message of less than one costs no turn.

    A thread would not do better: what canonicalises holds the interpreter's lock, and for as long as a piece lasts.
    """
    taken = 0
    for piece in pieces:
        for start in range(0, len(piece), SLICE):
            if taken >= SLICE:
                await asyncio.sleep(0)
                taken = 0
            part = piece[start : start + SLICE] if len(piece) > SLICE else piece
            taken += len(part)
            yield part
