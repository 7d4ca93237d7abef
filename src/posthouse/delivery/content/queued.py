"""The octets of a queued message on their way out, and whether SMTP may carry them as they are."""

import asyncio
from collections.abc import AsyncIterator

from posthouse.mailstore.interface import MessageReader, MessageRef, StoreError, Traits
from posthouse.message.coding import LineCheck
from posthouse.message.header import header_end
from posthouse.message.seven_bit import to_seven_bit

PIECE = 256 << 10  # octets read at once
SMALL = 1 << 20  # octets up to which a message is held whole: nearly all are
_CONVERTED_AT_MOST = 32 << 20


class ContentError(Exception):
    """The message cannot be sent to this server in any form; `status` is the enhanced status that says why."""

    def __init__(self, status: str, text: str) -> None:
        super().__init__(text)
        self.status = status


class QueuedContent:
    """One queued message. Read once for all the destinations of a moment, if it is small."""

    def __init__(self, mailstore: MessageReader, entry: MessageRef) -> None:
        self._mailstore = mailstore
        self._entry = entry
        self._whole: bytes | None = None
        self.octets = entry.octets
        self.eight_bit = bool(entry.traits & Traits.EIGHT_BIT)
        self.has_leading_dots = bool(entry.traits & Traits.HAS_LEADING_DOTS)
        self.no_final_crlf = bool(entry.traits & Traits.NO_FINAL_CRLF)
        self.bare_cr_or_lf = bool(entry.traits & Traits.BARE_CR_OR_LF)

    async def head(self) -> bytes:
        """The header section, its first 256 KiB. Raises StoreError."""
        data = self._whole if self._whole is not None else await self._mailstore.read(self._entry, 0, PIECE)
        return data[: header_end(data)]

    async def whole(self) -> bytes:
        """All of it; kept when small. Raises StoreError."""
        if self._whole is not None:
            return self._whole
        data = b"".join([piece async for piece in self.pieces()])
        if len(data) <= SMALL:
            self._whole = data
        return data

    async def pieces(self) -> AsyncIterator[bytes]:
        """All of it, piece by piece. Raises StoreError."""
        if self._whole is not None:
            yield self._whole
            return
        if self.octets > PIECE:
            await self._mailstore.check(self._entry)  # as a short one is when it is read: no damage goes out as mail
        offset = 0
        while offset < self.octets:
            data = await self._mailstore.read(self._entry, offset, PIECE)
            if not data:  # half a message must not go out for a whole one
                raise StoreError(f"a queued message ends after {offset:,} of {self.octets:,} octets")
            offset += len(data)
            yield data
            if offset < self.octets:
                await asyncio.sleep(0)  # what the kernel has cached is read without a wait

    async def is_presentable(self) -> bool:
        """Whether no line is too long and no octet forbidden: what RFC 5321 2.3.8 and 4.5.3.1.6 let through."""
        if self.bare_cr_or_lf:
            return False
        if self.octets <= SMALL:
            await self.whole()  # read once, for this and for sending
        check = LineCheck()
        async for piece in self.pieces():
            check.feed(piece)
            if not check.fits:
                return False
        return True

    async def as_seven_bit(self) -> bytes:
        """All of it, coded so that any server can take it (RFC 6152 3). Raises ContentError, StoreError."""
        if self.octets > _CONVERTED_AT_MOST:
            raise ContentError("5.6.3", "The message would have to be converted to be sent, and is too large for that")
        whole = await self.whole()
        converted = await asyncio.to_thread(to_seven_bit, whole) if self.octets > SMALL else to_seven_bit(whole)
        if converted is None:
            raise ContentError("5.6.3", "The message would have to be converted to be sent, and it cannot be")
        return converted
