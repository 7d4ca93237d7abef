"""Appends records to a pack: bytes first, then the rows that refer to them.

A process appends to one pack at a time and holds a lock (flock) on its file, so no two write to one. The catalogue
(rows of the database) knows where each pack ends; what stands behind that end was never acknowledged and is cut off
when the pack is taken up again. The number of a pack and the place of a record are never given twice, so an old
reference can meet damage but never another person's mail.

After an error of writing or syncing nobody can say what is on the disk: the pack is left as it is, not touched again
while this process lives, and the next batch goes to another.
"""

import fcntl
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from posthouse.mailstore.files import Files, is_full
from posthouse.mailstore.interface import Body, StoreError, StoreFullError
from posthouse.mailstore.records import make_header

PACK_OCTETS = 256 * 1024 * 1024  # a pack longer than this is not appended to
_RUN_OCTETS = 4 * 1024 * 1024  # written in one go, so that a large body is never whole in memory
_RUN_BUFFERS = 1000


class Record(Protocol):
    """A body with its prefixes, and, once written, where they are."""

    body: Body
    prefixes: Sequence[bytes]
    failure: Exception | None
    pack: int
    offset: int  # of the record
    prefix_octets: int  # of all prefixes
    backs: Sequence[int]  # for each prefix: octets from its start to the body's


class Catalogue(Protocol):
    """What the database knows of packs."""

    def adopt(self, pack: int) -> int | None:
        """Take up a pack; where it ends. None when it is not known. Must be a transaction that writes: it overwrites
        what a killed process may have left of its last one in the log, whose bytes are about to be cut off.
        """

    def create(self, make: Callable[[int], None]) -> None:
        """Call `make` with a number that was never given before, and know that pack if it does not raise."""


class PackWriter:
    """Used by one thread."""

    def __init__(self, folder: Path, files: Files, *, pack_octets: int = PACK_OCTETS) -> None:
        self._folder = folder
        self._files = files
        self._limit = pack_octets
        self._fd = -1
        self._pack = 0
        self._end = 0
        self._batch_start = 0
        self._spoilt: list[int] = []  # fds, kept for their locks

    def append(self, catalogue: Catalogue, records: Sequence[Record]) -> None:
        """Make the records durable. Each gets its place or its failure (StoreError, StoreFullError)."""
        try:
            self._ready(catalogue)
            self._write(records)
        except OSError as error:
            kind = StoreFullError if is_full(error) else StoreError
            for record in records:
                record.failure = record.failure or kind(f"pack {self._pack}: {error}")
                record.failure.__cause__ = error

    def take_back(self) -> None:
        """The last batch got no rows, and certainly never will: use its space again."""
        if self._fd >= 0 and self._end > self._batch_start:
            self._end = self._batch_start
            self._cut()

    def close(self) -> None:
        """Give the pack to whoever wants to go on with it."""
        for fd in (*self._spoilt, self._fd):
            if fd >= 0:
                os.close(fd)
        self._spoilt.clear()
        self._fd = -1

    def _write(self, records: Sequence[Record]) -> None:
        self._batch_start = self._end
        run = _Run(self._files, self._fd, self._end)
        try:
            for record in records:
                run.lay(record, self._pack)
            run.flush()
        except OSError as error:
            if is_full(error):
                self._cut()
            else:
                self._spoil()
            raise
        try:
            self._files.sync(self._fd)
        except OSError:
            self._spoil()
            raise
        self._end = run.position

    def _cut(self) -> None:
        """A full disk needs the space of what was not kept. The pack's end is known, so failing is no harm."""
        try:
            self._files.cut(self._fd, self._end)
        except OSError:
            self._spoil()

    def _spoil(self) -> None:
        fd, self._fd = self._fd, -1
        if self._end == 0:  # nothing in it that anybody refers to
            os.close(fd)
            (self._folder / f"{self._pack}.pack").unlink(missing_ok=True)
        else:
            self._spoilt.append(fd)

    def _ready(self, catalogue: Catalogue) -> None:
        if self._fd >= 0 and self._end >= self._limit:
            os.close(self._fd)
            self._fd = -1
        if self._fd < 0 and not any(self._adopt(catalogue, pack) for pack in self._candidates()):
            catalogue.create(self._make)

    def _candidates(self) -> Iterable[int]:
        """Packs with room, the youngest first."""
        with os.scandir(self._folder) as files:
            packs = [int(file.name[:-5]) for file in files if is_pack(file.name) and file.stat().st_size < self._limit]
        return sorted(packs, reverse=True)

    def _adopt(self, catalogue: Catalogue, pack: int) -> bool:
        fd = os.open(self._folder / f"{pack}.pack", os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            state = os.fstat(fd)
            end = catalogue.adopt(pack) if state.st_nlink else None  # it may have been removed before the lock was ours
            if end is None or end > state.st_size or end >= self._limit:
                os.close(fd)
                return False
            if end < state.st_size:
                self._files.cut(fd, end)
        except BlockingIOError:  # another process writes to it
            os.close(fd)
            return False
        except BaseException:
            os.close(fd)
            raise
        self._fd, self._pack, self._end = fd, pack, end
        return True

    def _make(self, pack: int) -> None:
        """Locked before it has its name, so that no other process can be quicker. A file of that name is replaced: it
        was made by a process that died before the catalogue knew of it.
        """
        path, unnamed = self._folder / f"{pack}.pack", self._folder / f"{pack}.new"
        fd = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            unnamed.rename(path)
            self._files.sync_folder(self._folder)
        except BaseException:
            os.close(fd)
            unnamed.unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            raise
        self._fd, self._pack, self._end = fd, pack, 0


def is_pack(name: str) -> bool:
    """Whether a file of that name is a pack."""
    return name.endswith(".pack") and name[:-5].isdecimal()


class _Run:
    """Buffers laid one after the other, written in few calls."""

    def __init__(self, files: Files, fd: int, start: int) -> None:
        self._files = files
        self._fd = fd
        self._start = start  # where the first buffer goes
        self._buffers: list[bytes] = []
        self.position = start  # behind the last buffer

    def lay(self, record: Record, pack: int) -> None:
        """Add a record. When its body cannot be read, the record gets the failure and its space goes to the next."""
        start, mark, flushed = self.position, len(self._buffers), self._start
        self._lay_prefixes(record)
        record.pack, record.offset = pack, start
        octets = 0
        chunks = iter(record.body.chunks())
        while True:
            try:
                chunk = next(chunks, None)
            except Exception as error:
                record.failure = StoreError(f"the body could not be read: {error}")
                record.failure.__cause__ = error
                break
            if chunk is None:
                break
            octets += len(chunk)
            self._add(chunk)
        if record.failure is None and octets != record.body.octets:
            record.failure = StoreError(f"the body has {octets} octets and not {record.body.octets}")
        if record.failure is not None:
            if self._start == flushed:
                del self._buffers[mark:]
            else:
                self._buffers.clear()
                self._start = start
            self.position = start

    def flush(self) -> None:
        """Write what is buffered."""
        if self._buffers:
            self._files.write(self._fd, self._buffers, self._start)
            self._buffers = []
            self._start = self.position

    def _lay_prefixes(self, record: Record) -> None:
        prefixes = record.prefixes
        if len(prefixes) == 1:
            record.prefix_octets = len(prefixes[0])
            record.backs = (record.prefix_octets,)
            written = prefixes
        else:
            distances: dict[bytes, int] = {}
            octets = 0
            for prefix in prefixes:
                if prefix not in distances:
                    octets += len(prefix)
                    distances[prefix] = octets
            record.prefix_octets = octets
            record.backs = [distances[prefix] for prefix in prefixes]
            written = list(reversed(distances))
        self._add(make_header(written, record.body.octets, record.body.sha256))
        for prefix in written:
            self._add(prefix)

    def _add(self, buffer: bytes) -> None:
        self._buffers.append(buffer)
        self.position += len(buffer)
        if self.position - self._start >= _RUN_OCTETS or len(self._buffers) >= _RUN_BUFFERS:
            self.flush()
