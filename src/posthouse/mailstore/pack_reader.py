"""Reads messages out of packs. What the kernel has in memory is read at once, the rest must be fetched in a thread."""

import os
from pathlib import Path

from posthouse.mailstore.interface import Entry, StoreError
from posthouse.mailstore.places import Place, alone, unfold
from posthouse.mailstore.records import HEADER_OCTETS, is_start, parse_header

_MAX_OPEN = 64  # packs kept open for reading
_NOWAIT = getattr(os, "RWF_NOWAIT", 0)  # Linux


class PackReader:
    """`cached` is for one thread (the event loop's), `fetch` for any. Both raise StoreError for what is damaged."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[int, int] = {}  # pack -> fd, the oldest first
        self._nowait = bool(_NOWAIT) and hasattr(os, "preadv")

    def cached(self, entry: Entry, offset: int, length: int) -> bytes | None:
        """The octets asked for, when they can be had without waiting for the disk and without doubt; else None."""
        place = entry.place
        if type(place) is not int or not self._nowait:
            return None
        pack, record = alone(place)
        length = min(length, entry.octets - offset)
        if length <= 0:
            return b""
        fd = self._open.get(pack) or self._open_pack(pack)
        # The header stands before the first octet: it is looked at in passing.
        before = 0 if offset else HEADER_OCTETS
        data = bytearray(before + length)
        try:
            read = os.preadv(fd, (data,), record + HEADER_OCTETS + offset - before, _NOWAIT)
        except OSError:  # not cached; or there are no such reads here, or the disk is ill: fetch() will tell
            return None
        # A range whose space was given back reads as zeros.
        if read != before + length or not data[before] or not data[-1]:
            return None
        if offset:
            return bytes(data)
        view = memoryview(data)
        return bytes(view[before:]) if is_start(view, entry.octets) else None

    def fetch(self, entry: Entry, offset: int, length: int) -> bytes:
        """The octets asked for, however long the disk takes."""
        length = min(length, entry.octets - offset)
        if length <= 0:
            return b""
        try:
            return self._fetch(entry, offset, length)
        except OSError as error:
            raise StoreError(f"message {entry.message}: {error}") from error

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
        return self._folder / f"{pack}.pack"

    def _open_pack(self, pack: int) -> int:
        try:
            fd = os.open(self.path(pack), os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise StoreError(f"pack {pack} cannot be opened: {error}") from error
        if len(self._open) >= _MAX_OPEN:
            self.forget(next(iter(self._open)))
        self._open[pack] = fd
        return fd

    def _fetch(self, entry: Entry, offset: int, length: int) -> bytes:
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
            header = os.pread(fd, HEADER_OCTETS, place.record)
        finally:
            os.close(fd)
        if len(data) != length:
            raise StoreError(f"message {entry.message}: pack {place.pack} is too short")
        if type(entry.place) is int:
            known = bytes(header if offset else header + data)
            sound = len(header) == HEADER_OCTETS and is_start(memoryview(known), entry.octets)
        else:
            found = parse_header(header)
            sound = found is not None and found.body == entry.octets - place.prefix_octets
        if not sound:
            raise StoreError(f"message {entry.message}: the record at {place.record} of pack {place.pack} is damaged")
        return bytes(data)


def _located(entry: Entry) -> Place:
    if type(entry.place) is int:
        pack, record = alone(entry.place)
        return Place(pack, record, record + HEADER_OCTETS, 0, record + HEADER_OCTETS)
    if type(entry.place) is str:
        return unfold(entry.place)
    raise StoreError(f"message {entry.message}: its body is not known to the store")
