"""Long lists in pieces: between two of them others get their turn (net/turns.py)."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

T = TypeVar("T")
PIECE = 500  # messages, for which something is looked up or written down


async def in_pieces(items: Sequence[T], size: int = PIECE) -> AsyncIterator[Sequence[T]]:
    """The same, cut. What fits one piece costs no turn."""
    for start in range(0, len(items), size):
        if start:
            await asyncio.sleep(0)
        yield items[start : start + size] if len(items) > size else items
