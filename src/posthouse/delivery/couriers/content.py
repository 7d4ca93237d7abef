"""The octets of a queued message on their way out, and whether SMTP may carry them as they are."""

import re
from collections.abc import AsyncIterator

from posthouse.mailstore.interface import Entry, Mailstore, Traits
from posthouse.message.header import header_end
from posthouse.message.seven_bit import to_seven_bit

PIECE = 256 << 10  # octets read at once
SMALL = 1 << 20  # octets up to which a message is held whole: nearly all are
_CONVERTED_AT_MOST = 32 << 20
_LONG_LINE = re.compile(rb"[^\n]{999}")  # RFC 5321 4.5.3.1.6: 998 and CRLF
_BARE = re.compile(rb"(?<!\r)\n|\r(?!\n)")


class ContentError(Exception):
    """The message cannot be sent to this server in any form; `status` is the enhanced status that says why."""

    def __init__(self, status: str, text: str) -> None:
        super().__init__(text)
        self.status = status


class Content:
    """One queued message. Read once for all the destinations of a moment, if it is small."""

    def __init__(self, mailstore: Mailstore, entry: Entry) -> None:
        self._mailstore = mailstore
        self._entry = entry
        self._whole: bytes | None = None
        self.octets = entry.octets
        self.eight_bit = bool(entry.traits & Traits.EIGHT_BIT)
        self.dot_lines = bool(entry.traits & Traits.DOT_LINES)
        self.open_end = bool(entry.traits & Traits.OPEN_END)
        self.bare_breaks = bool(entry.traits & Traits.BARE_BREAKS)

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
        offset = 0
        while offset < self.octets:
            data = await self._mailstore.read(self._entry, offset, PIECE)
            if not data:
                return
            offset += len(data)
            yield data

    async def is_presentable(self) -> bool:
        """Whether no line is too long and no octet forbidden: what RFC 5321 2.3.8 and 4.5.3.1.6 let through."""
        if self.bare_breaks:
            return False
        tail = b""
        async for piece in self.pieces():
            data = tail + piece
            if b"\0" in piece or _LONG_LINE.search(data):
                return False
            tail = data[-999:]
        return True

    async def as_seven_bit(self) -> bytes:
        """All of it, coded so that any server can take it (RFC 6152 3). Raises ContentError, StoreError."""
        if self.octets > _CONVERTED_AT_MOST:
            raise ContentError("5.6.3", "The message is too large to be converted for the recipient's server")
        converted = to_seven_bit(await self.whole())
        if converted is None or _LONG_LINE.search(converted) or _BARE.search(converted) or b"\0" in converted:
            raise ContentError("5.6.3", "The recipient's server cannot take this message, and it cannot be converted")
        return converted
