"""The octets of one message, and the parts of it that a client asks for (RFC 9051 6.4.5, RFC 3516)."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from posthouse.mailstore.interface import Entry, Item, Mailstore, StoreError
from posthouse.message.mime import (
    Part,
    UnknownEncodingError,
    body,
    decoded,
    header_octets,
    scan,
    section,
    select_fields,
)
from posthouse.protocol.imap.commands import Section
from posthouse.sessions.imap.context import RefusedError

_PIECE = 64 << 10
_HEAD = 8 << 10  # octets in which most headers end
_SLOW = 1 << 20  # octets from which on scanning is not for the event loop


@dataclass(frozen=True, slots=True)
class Long:
    """An answer that is read while it is sent."""

    octets: int
    pieces: AsyncIterator[bytes]


class Content:
    """One message; what was read of it is kept while this lives."""

    __slots__ = ("_data", "_header", "_root", "_store", "entry")

    def __init__(self, store: Mailstore, item: Item) -> None:
        self._store = store
        self.entry: Entry = item.entry
        self._data: bytes | None = None
        self._header: bytes | None = None
        self._root: Part | None = None

    async def section(self, wanted: Section) -> bytes | Long:
        """What stands behind the label, with the space in front: a literal, a number, NIL; or a Long."""
        if wanted.binary:
            return await self._binary(wanted)
        if not wanted.numbers and not wanted.text:
            return await self._whole(wanted.partial)
        octets = await self._octets(wanted)
        if octets is None:
            return b" NIL"  # there is no such part
        return _literal(_cut(octets, wanted.partial))

    async def body_without_extensions(self) -> bytes:
        """BODY, the structure without what later extensions added."""
        return body(await self._read_all(), await self._tree())

    async def _whole(self, partial: tuple[int, int] | None) -> bytes | Long:
        start, count = partial or (0, self.entry.octets)
        count = max(0, min(count, self.entry.octets - start))
        if count <= _PIECE:
            return _literal(await self._read(start, count) if count else b"")
        first = await self._read(start, _PIECE)  # before the length is said: a damaged message is told in time
        return Long(count, self._pieces(start, count, first))

    async def _pieces(self, start: int, count: int, first: bytes) -> AsyncIterator[bytes]:
        yield first
        sent = len(first)
        while sent < count:
            piece = await self._read(start + sent, min(_PIECE, count - sent))
            sent += len(piece)
            yield piece

    async def _octets(self, wanted: Section) -> bytes | None:
        if not wanted.numbers and wanted.text.startswith("HEADER"):
            return self._of_header(await self._read_header(), wanted)
        data, root = await self._read_all(), await self._tree()
        part = section(root, wanted.numbers) if wanted.numbers else root
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
        start, end = header_octets(data, part)
        if wanted.text == "TEXT":
            return data[end : part.end]
        return self._of_header(data[start:end], wanted)

    @staticmethod
    def _of_header(header: bytes, wanted: Section) -> bytes:
        if wanted.text == "HEADER":
            return header
        return select_fields(header, wanted.fields, wanted.text.endswith("NOT"))

    async def _binary(self, wanted: Section) -> bytes:
        data, root = await self._read_all(), await self._tree()
        part = section(root, wanted.numbers) if wanted.numbers else root
        if part is None:
            return b" NIL"
        if not wanted.numbers:
            octets = data
        else:
            try:
                octets = await asyncio.to_thread(decoded, data, part) if len(data) > _SLOW else decoded(data, part)
            except UnknownEncodingError:
                raise RefusedError("The encoding of this part is not known here", "UNKNOWN-CTE") from None
        if wanted.size:
            return b" %d" % len(octets)
        octets = _cut(octets, wanted.partial)
        return b" ~{%d}\r\n%b" % (len(octets), octets) if b"\0" in octets else _literal(octets)

    # Reading.

    async def _read(self, offset: int, length: int) -> bytes:
        if self._data is not None:
            return self._data[offset : offset + length]
        data = await self._store.read(self.entry, offset, length)
        if len(data) < min(length, self.entry.octets - offset):
            raise StoreError(f"message {self.entry.message} is shorter than it was")
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
                end = _header_end(data)
                if end or len(data) >= self.entry.octets:
                    self._header = data[: end or len(data)]
                    break
                length *= 4
        return self._header

    async def _tree(self) -> Part:
        if self._root is None:
            data = await self._read_all()
            self._root = await asyncio.to_thread(scan, data) if len(data) > _SLOW else scan(data)
        return self._root


def _header_end(data: bytes) -> int:
    """Behind the empty line; 0 when there is none."""
    if data.startswith(b"\r\n"):
        return 2
    if data.startswith(b"\n"):
        return 1
    ends = [at + len(mark) for mark in (b"\n\r\n", b"\n\n") if (at := data.find(mark)) >= 0]
    return min(ends, default=0)


def _literal(octets: bytes) -> bytes:
    return b" {%d}\r\n%b" % (len(octets), octets)


def _cut(octets: bytes, partial: tuple[int, int] | None) -> bytes:
    return octets if partial is None else octets[partial[0] : partial[0] + partial[1]]
