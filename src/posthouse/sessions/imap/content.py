"""The octets of one message, and the parts of it that a client asks for (RFC 9051 6.4.5, RFC 3516)."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from posthouse.mailstore.interface import DamagedError, Entry, Item, Mailstore
from posthouse.message.mime import (
    Part,
    body,
    can_decode,
    decoded,
    header_end,
    header_octets,
    scan,
    section,
    select_fields,
)
from posthouse.protocol.imap.commands import Section
from posthouse.sessions.imap.context import RefusedError

_PIECE = 64 << 10
_HEAD = 8 << 10  # octets in which most headers end
_SLOW = 128 << 10  # octets from which on scanning is not for the event loop


@dataclass(frozen=True, slots=True)
class Long:
    """An answer that is read while it is sent."""

    start: bytes  # the head of the literal
    octets: int
    pieces: AsyncIterator[bytes]


class Content:
    """One message; what was read of it is kept while this lives."""

    __slots__ = ("_data", "_decoded", "_header", "_root", "_store", "entry")

    def __init__(self, store: Mailstore, item: Item) -> None:
        self._store = store
        self.entry: Entry = item.entry
        self._data: bytes | None = None
        self._header: bytes | None = None
        self._root: Part | None = None
        self._decoded: tuple[tuple[int, ...], bytes] | None = None  # the last part that was, by its numbers

    async def section(self, wanted: Section) -> bytes | Long:
        """What stands behind the label, with the space in front: a literal, a number, NIL; or a Long.

        Raises RefusedError and StoreError.
        """
        if wanted.binary:
            return await self._binary(wanted)
        if not wanted.numbers and not wanted.text:
            return await self._whole(wanted.partial)
        octets = await self._octets(wanted)
        if octets is None:
            return b" NIL"  # there is no such part
        return _literal(_cut(octets, wanted.partial))

    async def check(self, wanted: Section) -> None:
        """Raises RefusedError when section() would."""
        if wanted.binary:
            part = await self._part(wanted)
            if part is not None and wanted.numbers:
                _must_be_known(part)

    async def check_whole(self) -> None:
        """Raises DamagedError, StoreError when any octet of it cannot be had."""
        await self._store.check(self.entry)

    async def body_without_extensions(self) -> bytes:
        """BODY, the structure without what later extensions added."""
        data, root = await self._read_all(), await self._tree()
        return await asyncio.to_thread(body, data, root) if len(data) > _SLOW else body(data, root)

    async def _whole(self, partial: tuple[int, int] | None) -> bytes | Long:
        start, count = partial or (0, self.entry.octets)
        count = max(0, min(count, self.entry.octets - start))
        if self._data is None and (count > _PIECE or count < self.entry.octets):
            await self._store.check(self.entry)  # what is read at once is checked on the way
        if count <= _PIECE:
            return _literal(await self._read(start, count) if count else b"")
        first = await self._read(start, _PIECE)  # before the length is said: an ill disk is told in time
        return Long(_head(count), count, self._pieces(start, count, first))

    async def _pieces(self, start: int, count: int, first: bytes) -> AsyncIterator[bytes]:
        yield first
        sent = len(first)
        while sent < count:
            piece = await self._read(start + sent, min(_PIECE, count - sent))
            sent += len(piece)
            yield piece

    async def _octets(self, wanted: Section) -> memoryview | None:
        if not wanted.numbers and wanted.text.startswith("HEADER"):
            return await self._of_header(memoryview(await self._read_header()), wanted)
        part = await self._part(wanted)
        data = memoryview(await self._read_all())
        if part is None:
            return None
        if not wanted.text:
            return data[part.body : part.end]
        if wanted.text == "MIME":
            return data[part.header : part.body]
        if wanted.numbers:  # HEADER and TEXT of a message within the message
            if part.type.lower() != b"message" or not part.parts:
                return None
            part = part.parts[0]
        start, end = header_octets(await self._read_all(), part)
        if wanted.text == "TEXT":
            return data[end : part.end]
        return await self._of_header(data[start:end], wanted)

    @staticmethod
    async def _of_header(header: memoryview, wanted: Section) -> memoryview:
        if wanted.text == "HEADER":
            return header
        octets, fields, exclude = bytes(header), frozenset(wanted.fields), wanted.text.endswith("NOT")
        if len(octets) > _PIECE:
            return memoryview(await asyncio.to_thread(select_fields, octets, fields, exclude))
        return memoryview(select_fields(octets, fields, exclude))

    async def _binary(self, wanted: Section) -> bytes | Long:
        part = await self._part(wanted)
        if part is None:
            return b" NIL"
        octets = await self._decode(part, wanted.numbers) if wanted.numbers else await self._read_all()
        if wanted.size:
            return b" %d" % len(octets)
        start, count = wanted.partial or (0, len(octets))
        binary = octets.find(b"\0", start, start + count) >= 0  # RFC 3516 4.2: NUL only in a literal8
        return _literal(_cut(memoryview(octets), wanted.partial), binary=binary)

    async def _decode(self, part: Part, numbers: tuple[int, ...]) -> bytes:
        if self._decoded is None or self._decoded[0] != numbers:
            _must_be_known(part)
            data = await self._read_all()
            slow = part.end - part.body > _SLOW
            octets = await asyncio.to_thread(decoded, data, part) if slow else decoded(data, part)
            self._decoded = numbers, octets
        return self._decoded[1]

    # Reading.

    async def _read(self, offset: int, length: int) -> bytes:
        if self._data is not None:
            return self._data[offset : offset + length]
        data = await self._store.read(self.entry, offset, length)
        if len(data) < min(length, self.entry.octets - offset):
            raise DamagedError(f"message {self.entry.message} is shorter than it was")
        return data

    async def _read_all(self) -> bytes:
        if self._data is None:
            self._data = await self._read(0, self.entry.octets) if self.entry.octets else b""
        return self._data

    async def _read_header(self) -> bytes:
        if self._header is None:
            length = _HEAD
            while True:
                data = await self._read(0, length)
                end = header_end(data)
                if end or len(data) >= self.entry.octets:
                    self._header = data[: end or len(data)]
                    break
                length *= 4
        return self._header

    async def _part(self, wanted: Section) -> Part | None:
        root = await self._tree()
        return section(root, wanted.numbers) if wanted.numbers else root

    async def _tree(self) -> Part:
        if self._root is None:
            data = await self._read_all()
            self._root = await asyncio.to_thread(scan, data) if len(data) > _SLOW else scan(data)
        return self._root


def _must_be_known(part: Part) -> None:
    if not can_decode(part):
        raise RefusedError("The encoding of this part is not known here", "UNKNOWN-CTE")


def _head(octets: int, *, binary: bool = False) -> bytes:
    return b" %b{%d}\r\n" % (b"~" if binary else b"", octets)


def _literal(octets: bytes | memoryview, *, binary: bool = False) -> bytes | Long:
    head = _head(len(octets), binary=binary)
    if len(octets) <= _PIECE:
        return head + octets
    return Long(head, len(octets), _slices(memoryview(octets)))


async def _slices(octets: memoryview) -> AsyncIterator[bytes]:
    for start in range(0, len(octets), _PIECE):
        yield bytes(octets[start : start + _PIECE])


def _cut(octets: memoryview, partial: tuple[int, int] | None) -> memoryview:
    return octets if partial is None else octets[partial[0] : partial[0] + partial[1]]
