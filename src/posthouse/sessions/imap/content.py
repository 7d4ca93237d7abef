"""The octets of one message, and the parts of it that a client asks for (RFC 9051 6.4.5, RFC 3516)."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from posthouse.mailstore.interface import DamagedError, MailboxMessage, MessageReader, MessageRef
from posthouse.message.header import header_end
from posthouse.message.mime import (
    Part,
    body,
    can_decode,
    decoded,
    scan,
    section,
    select_fields,
)
from posthouse.protocol.imap.commands import Section
from posthouse.sessions.imap.errors import RefusedError
from posthouse.sessions.imap.trees import LastTree

_PIECE = 64 << 10
_HEAD = 8 << 10  # octets in which most headers end
_SLOW = 128 << 10  # octets from which on scanning is not for the event loop


@dataclass(frozen=True, slots=True)
class Long:
    """An answer that is read while it is sent."""

    start: bytes  # the head of the literal
    octets: int
    pieces: AsyncIterator[bytes]


class MessageSections:
    """One message; what was read of it is kept while this lives, but for the parts of a long one."""

    __slots__ = ("_data", "_decoded", "_header", "_root", "_store", "_trees", "entry")

    def __init__(self, store: MessageReader, item: MailboxMessage, trees: LastTree) -> None:
        self._store = store
        self._trees = trees
        self.entry: MessageRef = item.entry
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
            return await self._span(0, self.entry.octets, wanted.partial)
        if not wanted.numbers and wanted.text.startswith("HEADER"):
            header = await self._of_header(await self._read_header(), wanted)
            return _literal(_cut(memoryview(header), wanted.partial))
        found = await self._range(wanted)
        if found is None:
            return b" NIL"  # there is no such part
        if not wanted.text.startswith("HEADER."):
            return await self._span(*found, wanted.partial)
        header = await self._of_header(await self._read(found[0], found[1] - found[0]), wanted)
        return _literal(_cut(memoryview(header), wanted.partial))

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

    async def _span(self, first: int, end: int, partial: tuple[int, int] | None) -> bytes | Long:
        """The octets from `first` to `end`, or a part of them. What is long is read while it is sent."""
        start, count = partial or (0, end - first)
        start, count = first + start, max(0, min(count, end - first - start))
        if self._data is None and (count > _PIECE or count < self.entry.octets):
            await self._store.check(self.entry)  # what is read at once is checked on the way
        if count <= _PIECE:
            return _literal(await self._read(start, count) if count else b"")
        piece = await self._read(start, _PIECE)  # before the length is sent: a disk error can still be answered
        return Long(_head(count), count, self._pieces(start, count, piece))

    async def _pieces(self, start: int, count: int, first: bytes) -> AsyncIterator[bytes]:
        yield first
        sent = len(first)
        while sent < count:
            piece = await self._read(start + sent, min(_PIECE, count - sent))
            sent += len(piece)
            yield piece

    async def _range(self, wanted: Section) -> tuple[int, int] | None:
        """Where the octets stand; None when there is no such part."""
        part = await self._part(wanted)
        if part is None:
            return None
        if not wanted.text:
            return part.body, part.end
        if wanted.text == "MIME":
            return part.header, part.body
        if wanted.numbers:  # HEADER and TEXT of a message within the message
            if part.type.lower() != b"message" or not part.parts:
                return None
            part = part.parts[0]
        return (part.body, part.end) if wanted.text == "TEXT" else (part.header, part.body)

    @staticmethod
    async def _of_header(header: bytes, wanted: Section) -> bytes:
        if wanted.text == "HEADER":
            return header
        fields, exclude = frozenset(wanted.fields), wanted.text.endswith("NOT")
        if len(header) > _PIECE:
            return await asyncio.to_thread(select_fields, header, fields, exclude)
        return select_fields(header, fields, exclude)

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
            data = await self._read(part.body, part.end - part.body)
            alone = replace(part, header=0, body=0, end=len(data))
            octets = await asyncio.to_thread(decoded, data, alone) if len(data) > _SLOW else decoded(data, alone)
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
                end = header_end(data, bare_lf=True)
                if end < len(data) or len(data) >= self.entry.octets:
                    self._header = data[:end]
                    break
                length *= 4
        return self._header

    async def _part(self, wanted: Section) -> Part | None:
        root = await self._tree()
        return section(root, wanted.numbers) if wanted.numbers else root

    async def _tree(self) -> Part:
        if self._root is None:
            self._root = self._trees.find(self.entry.message)
        if self._root is None:
            if self.entry.octets <= _SLOW:
                self._root = scan(await self._read_all())
            else:
                self._root = await self._scan_long()
                self._trees.note(self.entry.message, self._root)
        return self._root

    async def _scan_long(self) -> Part:
        """Where the parts are. The octets are not kept: what is asked for of them is read when its turn comes."""
        data = self._data if self._data is not None else await self._read(0, self.entry.octets)
        return await asyncio.to_thread(scan, data)


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
