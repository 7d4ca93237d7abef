"""Finds whole records in a pack that no message refers to: behind its known end, between its records, in unknown packs.

They were written and never acknowledged, or the database is older than the pack, or has lost rows. Only what is whole
counts: a sound header, the CRC over the trace headers, the digest of the body. Records that are removed lose their
header first.

One bad sector must not hide the rest: what the disk does not give is reported and passed over, a block at a time.
"""

import errno
import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from posthouse.mailstore.pack_check import damage_of
from posthouse.mailstore.records import (
    HEADER_OCTETS,
    PACK_HEAD_OCTETS,
    Header,
    PackHead,
    make_header,
    parse_header,
    parse_pack_head,
)

Range = tuple[int, int]  # of octets in a pack: start, end

_MAGIC = make_header((), 0, bytes(32), 1)[:4]
_CHUNK = 1 << 20
_MAX_PREFIXES = 64 << 20  # octets; no message has trace headers as long as that
_BLOCK = 4096  # octets passed over where the disk gives none
_EFFORT = 8  # octets read for candidates that turn out to be none, for each octet searched


@dataclass(frozen=True, slots=True)
class Loose:
    """A whole record without a row."""

    pack: int
    offset: int
    header: Header

    @property
    def prefixes_at(self) -> int:
        """Where its trace headers start in the pack."""
        return self.offset + HEADER_OCTETS

    @property
    def body_at(self) -> int:
        """Where its body starts in the pack."""
        return self.prefixes_at + self.header.prefixes

    @property
    def end(self) -> int:
        """Where it ends in the pack."""
        return self.body_at + self.header.body


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A place in a pack that the disk does not give."""

    pack: int
    offset: int
    reason: str

    @classmethod
    def because(cls, error: OSError, pack: int, offset: int) -> "Unreadable":
        """For what the system said."""
        return cls(pack, offset, error.strerror or str(error))


Report = Callable[[Unreadable], None]


def loose_records(
    path: Path, pack: int, occupied: Callable[[], Iterable[Range]], unreadable: Report
) -> Iterator[Loose]:
    """The loose records of a pack, by place; none while a process appends to it, for those are on their way.

    `occupied` gives where records with rows lie; it is asked once the length of the file is known. `unreadable` is
    called for each block that cannot be read. Raises OSError when nothing of the file can be.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = _settled_size(fd)
        # Where there is a head, its octets are searched with the rest: it is no record.
        for start, end in _gaps(occupied(), 0, size):
            yield from _search(fd, pack, start, end, unreadable)
    finally:
        os.close(fd)


def head_at(path: Path) -> PackHead | None:
    """What the head of a pack says, None without a sound one, or without the file. Raises OSError."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return parse_pack_head(os.pread(fd, PACK_HEAD_OCTETS, 0))
    finally:
        os.close(fd)


def _settled_size(fd: int) -> int:
    """The length of a pack nobody appends to, else 0. What is in it then has its row already, or never gets one."""
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return 0
    size = os.fstat(fd).st_size
    fcntl.flock(fd, fcntl.LOCK_UN)
    return size


def _gaps(occupied: Iterable[Range], start: int, end: int) -> Iterator[Range]:
    for first, last in sorted(occupied):
        if first > start:
            yield start, min(first, end)
        start = max(start, last)
    if start < end:
        yield start, end


def _search(fd: int, pack: int, position: int, end: int, unreadable: Report) -> Iterator[Loose]:
    effort = _EFFORT * (end - position) + _CHUNK
    while (position := _next_data(fd, position)) < end and effort > 0:
        try:
            chunk = _chunk(fd, position, end)
        except OSError as error:
            unreadable(Unreadable.because(error, pack, position))
            position += _BLOCK - position % _BLOCK
            continue
        if not chunk:
            return
        following = position + max(len(chunk) - len(_MAGIC) + 1, 1)
        at = chunk.find(_MAGIC)
        while at >= 0 and effort > 0:
            found, read = _whole(fd, pack, position + at, end, unreadable)
            effort -= read
            if found is not None:
                yield found
                following = found.end
                break
            at = chunk.find(_MAGIC, at + 1)
        position = following


def _chunk(fd: int, position: int, end: int) -> bytes:
    """The octets from there on, as many as can be had at once. Raises OSError when the first block cannot be read."""
    try:
        return os.pread(fd, min(_CHUNK, end - position), position)
    except OSError:  # somewhere in it
        return os.pread(fd, min(_BLOCK - position % _BLOCK, end - position), position)


def _whole(fd: int, pack: int, offset: int, end: int, unreadable: Report) -> tuple[Loose | None, int]:
    """The record that starts there, if it is one and whole, and what it cost to find that it is none."""
    cost = 0
    try:
        header = parse_header(os.pread(fd, HEADER_OCTETS, offset))
        if header is None or header.prefixes > _MAX_PREFIXES:
            return None, 0
        record = Loose(pack, offset, header)
        if record.end > end:
            return None, 0
        cost = record.end - offset
        if damage_of(fd, offset, header.prefixes, header.body, header.digest, header.identity):
            return None, cost
    except OSError as error:
        unreadable(Unreadable.because(error, pack, offset))
        return None, cost
    return record, 0


def _next_data(fd: int, position: int) -> int:
    """The next octet that is not in a hole. Where holes are not known, the same: reading tells what is wrong."""
    try:
        return os.lseek(fd, position, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:  # nothing but holes up to the end
            return os.fstat(fd).st_size
        return position
