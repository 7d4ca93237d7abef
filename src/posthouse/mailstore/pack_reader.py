"""Reads messages out of packs. What the kernel has in memory is read at once, the rest must be fetched in a thread.

Every read checks the record's header: the identity there must be the one that the database has. A read of a whole
message compares every octet with the digest it was kept under. A caller that sends a long message in pieces has it
checked first, so that nothing damaged goes out as if it were sound.
"""

import contextlib
import os
from pathlib import Path

from posthouse.mailstore.digests import digest_of, hasher_like
from posthouse.mailstore.interface import DamagedError, MessageRef, StoreError
from posthouse.mailstore.pack_writer import pack_path
from posthouse.mailstore.places import RecordLocation, parse_place, split_place
from posthouse.mailstore.records import HEADER_OCTETS, Header, crc_of, is_start, parse_header

_MAX_OPEN = 64  # packs kept open for reading
_NOWAIT = getattr(os, "RWF_NOWAIT", 0)  # Linux
_AT_ONCE = 256 << 10  # octets that are read and compared on the event loop
_CHECKED_AT_ONCE = 1 << 20  # octets that are compared there before they are read in pieces: some 600 us
_CHUNK = 1 << 20
_CHECKED_AT_MOST = 1024  # long messages remembered as sound


class PackReader:
    """`cached` is for one thread (the event loop's), the others for any. All raise StoreError; DamagedError for what is
    there and not what was kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[int, int] = {}  # pack -> fd, the oldest first
        self._nowait = bool(_NOWAIT) and hasattr(os, "preadv")
        self._checked: dict[tuple[object, int], None] = {}  # (place, identity) of long messages, the oldest first

    def cached(self, entry: MessageRef, offset: int, length: int) -> bytes | None:
        """The octets asked for, when they can be had without waiting for the disk and without doubt; else None."""
        place = entry.place
        length = min(length, entry.octets - offset)
        if type(place) is not int or not self._nowait or length > _AT_ONCE:
            return None
        pack, record = split_place(place)
        if length <= 0:
            return b""
        fd = self._open.get(pack) or self._open_pack(pack)
        try:
            if offset:
                return _piece_in_memory(fd, record, entry, offset, length)
            start = _start_in_memory(fd, record, entry, length)
            return None if start is None else bytes(start)
        except OSError:  # not cached; or there are no such reads here, or the disk fails: fetch() finds out
            return None

    def fetch(self, entry: MessageRef, offset: int, length: int) -> bytes:
        """The octets asked for, however long the disk takes."""
        length = min(length, entry.octets - offset)
        if length <= 0:
            return b""
        try:
            return self._fetch(entry, offset, length)
        except OSError as error:
            raise self._unusable(f"message {entry.message}", error) from error

    def is_checked(self, entry: MessageRef) -> bool:
        """Whether it was found sound before, or is so and in memory. For one thread, as cached()."""
        if (entry.place, entry.identity) in self._checked:
            return True
        if type(entry.place) is not int or not self._nowait or entry.octets > _CHECKED_AT_ONCE:
            return False
        pack, record = split_place(entry.place)
        fd = self._open.get(pack) or self._open_pack(pack)
        try:
            sound = _start_in_memory(fd, record, entry, entry.octets) is not None
        except OSError:
            return False
        if sound:
            self._remember(entry)
        return sound

    def check(self, entry: MessageRef) -> None:
        """Compare the whole message with what was kept, without handing it out."""
        place = _located(entry)
        try:
            fd = os.open(self.path(place.pack), os.O_RDONLY | os.O_CLOEXEC)
            try:
                self._check(fd, entry, place)
            finally:
                os.close(fd)
        except OSError as error:
            raise self._unusable(f"message {entry.message}", error) from error
        self._remember(entry)

    def _remember(self, entry: MessageRef) -> None:
        if len(self._checked) >= _CHECKED_AT_MOST:
            with contextlib.suppress(StopIteration, RuntimeError):  # another thread was quicker
                self._checked.pop(next(iter(self._checked)), None)
        self._checked[entry.place, entry.identity] = None

    def forget(self, pack: int) -> None:
        """Close a pack that was removed, so that its space is given back."""
        fd = self._open.pop(pack, None)
        if fd is not None:
            os.close(fd)

    def close(self) -> None:
        """Close all packs."""
        for pack in tuple(self._open):
            self.forget(pack)

    def path(self, pack: int) -> Path:
        """The file of a pack."""
        return pack_path(self._folder, pack)

    def _unusable(self, what: str, error: OSError) -> StoreError:
        """A pack that is gone while the others are there does not come back by itself."""
        lost = isinstance(error, FileNotFoundError) and self._folder.is_dir()
        return DamagedError(f"{what}: its pack is gone") if lost else StoreError(f"{what}: {error.strerror}")

    def _open_pack(self, pack: int) -> int:
        try:
            fd = os.open(self.path(pack), os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise self._unusable(f"pack {pack} cannot be opened", error) from error
        if len(self._open) >= _MAX_OPEN:
            self.forget(next(iter(self._open)))
        self._open[pack] = fd
        return fd

    def _fetch(self, entry: MessageRef, offset: int, length: int) -> bytes:
        place = _located(entry)
        fd = os.open(self.path(place.pack), os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = bytearray()
            if offset < place.prefix_octets:
                data += os.pread(fd, min(length, place.prefix_octets - offset), place.prefix + offset)
            if offset + length > place.prefix_octets:
                start = max(offset, place.prefix_octets)
                data += os.pread(fd, offset + length - start, place.body + start - place.prefix_octets)
            # After the octets: what was given back meanwhile has lost its header by now.
            header, start_octets = _header(fd, entry, place)
        finally:
            os.close(fd)
        if len(data) != length:
            raise DamagedError(f"message {entry.message}: pack {place.pack} is too short")
        if length == entry.octets:
            if type(entry.place) is int:
                own = memoryview(data)[header.prefixes :]
                prefixes = memoryview(data)[: header.prefixes]
            else:
                own = memoryview(data)[place.prefix_octets :]
                prefixes = memoryview(start_octets)[HEADER_OCTETS:]
            if crc_of(start_octets, prefixes) != header.crc or digest_of(own, header.digest) != header.digest:
                raise _damaged(entry, place)
        return bytes(data)

    def _check(self, fd: int, entry: MessageRef, place: RecordLocation) -> None:
        header, start = _header(fd, entry, place)
        if type(entry.place) is int:
            start += os.pread(fd, header.prefixes, place.record + HEADER_OCTETS)
        hasher = hasher_like(header.digest)
        offset, end = place.record + HEADER_OCTETS + header.prefixes, header.body
        while end > 0 and (chunk := os.pread(fd, min(end, _CHUNK), offset)):
            hasher.update(chunk)
            offset += len(chunk)
            end -= len(chunk)
        if crc_of(start, memoryview(start)[HEADER_OCTETS:]) != header.crc or hasher.digest() != header.digest:
            raise _damaged(entry, place)


def _start_in_memory(fd: int, record: int, entry: MessageRef, length: int) -> memoryview | None:
    """The first octets of a message, with the header that stands before them: it is looked at in passing."""
    data = bytearray(HEADER_OCTETS + length)
    if os.preadv(fd, (data,), record, _NOWAIT) != len(data):
        return None
    view = memoryview(data)
    if not is_start(view, entry.octets, entry.identity):
        return None
    if length == entry.octets:
        header = parse_header(data)
        if header is None or digest_of(view[HEADER_OCTETS + header.prefixes :], header.digest) != header.digest:
            return None
    return view[HEADER_OCTETS:]


def _piece_in_memory(fd: int, record: int, entry: MessageRef, offset: int, length: int) -> bytes | None:
    """Octets from the middle, and then the header: what was given back meanwhile has lost it by now."""
    data, header = bytearray(length), bytearray(HEADER_OCTETS)
    if os.preadv(fd, (data,), record + HEADER_OCTETS + offset, _NOWAIT) != length:
        return None
    if os.preadv(fd, (header,), record, _NOWAIT) != HEADER_OCTETS:
        return None
    return bytes(data) if is_start(memoryview(header), entry.octets, entry.identity) else None


def _header(fd: int, entry: MessageRef, place: RecordLocation) -> tuple[Header, bytes]:
    """The record's header, and the octets it was read from: with all prefixes where the place says how many there are.

    Raises DamagedError unless it is the record that is wanted.
    """
    prefixes = place.body - place.record - HEADER_OCTETS
    octets = os.pread(fd, HEADER_OCTETS + prefixes, place.record)
    header = parse_header(octets)
    if header is None or header.identity != entry.identity:
        raise _damaged(entry, place)
    if type(entry.place) is int:
        sound = header.prefixes + header.body == entry.octets
    else:
        sound = header.prefixes == prefixes and header.body == entry.octets - place.prefix_octets
    if not sound:
        raise _damaged(entry, place)
    return header, octets


def _damaged(entry: MessageRef, place: RecordLocation) -> DamagedError:
    return DamagedError(f"message {entry.message}: the record at {place.record} of pack {place.pack} is damaged")


def _located(entry: MessageRef) -> RecordLocation:
    """Where its octets are. Of a message alone in its record, prefixes and body are taken as one."""
    if type(entry.place) is int:
        pack, record = split_place(entry.place)
        return RecordLocation(pack, record, record + HEADER_OCTETS, 0, record + HEADER_OCTETS)
    if type(entry.place) is str:
        return parse_place(entry.place)
    raise DamagedError(f"message {entry.message}: its body is not known to the store")
