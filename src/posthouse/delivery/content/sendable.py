"""Makes messages such that every mail server takes them, and finds those that none would take.

What a user submits is converted before it is signed (RFC 6376 5.3): long lines, 8-bit text and forbidden octets would
have to be converted on the way, which breaks the signature. What only passes through keeps its form as long as it can,
for the signatures of others; but what could not be converted when it must be is refused, not accepted and then bounced
(docs/decisions/024).
"""

import asyncio

from posthouse.delivery.content.memory_body import MemoryBody
from posthouse.delivery.content.slices import in_slices
from posthouse.mailstore.interface import Body, Traits
from posthouse.message.coding import LineCheck
from posthouse.message.header import header_end
from posthouse.message.reply import Reply
from posthouse.message.seven_bit import to_seven_bit

UNSENDABLE = Reply(
    554,
    "5.6.3",
    "No server takes this message as it is (lines of more than 998 octets, or octets that mail must not hold), and it"
    " cannot be converted",
)
MAX_CONVERTED = 32 << 20  # octets
_AT_ONCE = 1 << 20  # octets; larger ones are converted on a thread


class UnsendableError(Exception):
    """The message must be converted to be sent, and cannot be."""


class Converter:
    """One per process: large messages are converted one after the other, since each takes several times its size."""

    def __init__(self) -> None:
        self._large = asyncio.Lock()

    async def make_sendable(self, body: Body, head: bytes, *, smtputf8: bool) -> tuple[Body, bytes]:
        """The body and its header section in a form that any server takes.

        `smtputf8`: its sender asked for it; a header in UTF-8 then stays, and servers that take it take 8-bit text
        (RFC 6531 3.1). 8-bit text that cannot be converted, such as what is signed, stays as well: nearly all servers
        take that. Raises UnsendableError, StoreError.
        """
        fits = await _fits(body)
        if fits and (not body.traits & Traits.EIGHT_BIT or (smtputf8 and not head.isascii())):
            return body, head
        converted = await self._converted(body)
        if converted is not None:
            data, made = converted
            return made, data[: header_end(data)]
        if not fits:
            raise UnsendableError
        return body, head

    async def can_be_sent(self, body: Body) -> bool:
        """Whether most servers take it as it is, or it can be converted. Raises StoreError."""
        return await _fits(body) or await self._converted(body) is not None

    async def _converted(self, body: Body) -> tuple[bytes, MemoryBody] | None:
        if body.octets > MAX_CONVERTED:
            return None
        if body.octets <= _AT_ONCE:
            return _convert(body)
        async with self._large:
            return await asyncio.to_thread(_convert, body)


def _convert(body: Body) -> tuple[bytes, MemoryBody] | None:
    data = to_seven_bit(b"".join(body.chunks()))
    return None if data is None else (data, MemoryBody(data))


async def _fits(body: Body) -> bool:
    """Whether every server with 8BITMIME takes it."""
    if body.traits & Traits.BARE_CR_OR_LF:
        return False
    check = LineCheck()
    async for piece in in_slices(body.chunks()):
        check.feed(piece)
    return check.fits
