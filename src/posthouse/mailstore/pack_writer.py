"""Appends records to a pack: bytes first, then the rows that refer to them.

A process appends to one pack at a time and holds a lock (flock) on its file, so no two write to one. The catalogue
(rows of the database) knows which packs there are and where each ends. Three rules keep committed mail safe:

- The number of a pack and the place of a record are never given twice. A pack is continued behind whatever stands in
  its file; what was written and synced is passed over even if its rows were not committed; a number whose file exists
  is not taken.
- A pack belongs to the writer only once its row is committed. Whatever fails on the way is let go of as a whole.
- Octets are cut off or given back only where no row can ever refer to them: those of a batch that could not be written
  to its end, and those of a batch whose rows were rolled back, once a later commit has overwritten what the failed one
  may have left in the database's log.

Behind a small batch zeros are written, which the next ones overwrite: a sync that makes a file longer costs the file
system a commit of its journal, too, and takes twice as long. They are cut off when the pack is closed. After a crash
they stay, and the pack is continued behind them, like behind anything else.

After an error of writing or syncing nobody can say what is on the disk: the pack is left as it is, not touched again
while this process lives, and the next batch goes to another.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from posthouse.mailstore.files import Files, is_full
from posthouse.mailstore.interface import Body, StoreError, StoreFullError
from posthouse.mailstore.records import (
    PACK_HEAD_OCTETS,
    PackHead,
    identities,
    make_header,
    make_pack_head,
    parse_pack_head,
)

PACK_OCTETS = 256 * 1024 * 1024  # a pack longer than this is not appended to
_RUN_OCTETS = 4 * 1024 * 1024  # written in one go, so that a large body is never whole in memory
_RUN_BUFFERS = 1000
_AHEAD = bytes(1 << 20)  # the zeros
_SMALL_BATCH = len(_AHEAD) // 8  # octets; the time of a larger one goes into its own writing
_TRIES = 5  # to make a pack whose number nobody else takes meanwhile


class PackRecord(Protocol):
    """A body with its prefixes, and, once written, where they are."""

    body: Body
    prefixes: Sequence[bytes]
    failure: Exception | None
    pack: int
    offset: int  # of the record
    identity: int  # of the record
    prefix_octets: int  # of all prefixes
    offsets: Sequence[int]  # for each prefix: octets from its start to the body's


class Catalogue(Protocol):
    """What the database knows of packs. Each call is a committed transaction when it returns."""

    def reopen(self, pack: int) -> int | None:
        """Reopen a pack to append to it; where it ends. None when it is not known, or may not be appended to."""

    def add(self, above: int) -> int:
        """A number higher than `above` and than any that was given before; that pack is known from now on."""

    def note_end(self, pack: int, end: int) -> None:
        """Note that a pack does not end before that.

        It is a change: so it overwrites what a transaction that failed may have left in the database's log.
        """


@dataclass(frozen=True, slots=True)
class Extent:
    """A range of octets of a pack."""

    pack: int
    start: int
    end: int


class PackWriter:
    """Used by one thread. `store` is the id of the store, 16 octets, which every pack of it carries."""

    def __init__(self, folder: Path, files: Files, store: bytes, *, pack_octets: int = PACK_OCTETS) -> None:
        self._folder = folder
        self._files = files
        self._store = store
        self._limit = pack_octets
        self._fd = -1
        self._pack = 0
        self._end = 0  # where the next batch goes
        self._length = 0  # of the file: from the end to there are zeros
        self._identities = identities()
        self._failed_fds: list[int] = []  # fds, kept for their locks
        self._abandoned: list[Extent] = []  # their rows were rolled back

    def append(self, catalogue: Catalogue, records: Sequence[PackRecord]) -> Extent | None:
        """Make the records durable; where they are. Each gets its place or its failure (StoreError, StoreFullError)."""
        try:
            self._ready(catalogue)
            return self._write(records)
        except OSError as error:
            kind = StoreFullError if is_full(error) else StoreError
            for record in records:
                if record.failure is None:
                    record.failure = kind(f"pack {self._pack}: {error}")
                    record.failure.__cause__ = error
            return None

    def abandon(self, extent: Extent) -> None:
        """Nothing refers to these octets, for their rows were rolled back. reclaim() gives their space back."""
        self._abandoned.append(extent)

    def reclaim(self, catalogue: Catalogue) -> None:
        """Give the space of what was abandoned back.

        SQLite may have written a whole transaction, its end too, before it failed. Until another one overwrites that, a
        crash would bring its rows back.
        """
        for extent in self._abandoned:
            catalogue.note_end(extent.pack, extent.end)
        while self._abandoned:
            extent = self._abandoned.pop()
            with contextlib.suppress(OSError):  # it is lost space, and no more than that
                fd = os.open(self._path(extent.pack), os.O_RDWR | os.O_CLOEXEC)
                try:
                    self._files.punch(fd, extent.start, extent.end - extent.start)
                finally:
                    os.close(fd)

    def close(self) -> None:
        """Let go of all files. Raises nothing."""
        self._let_go()
        failed, self._failed_fds = self._failed_fds, []
        for fd in failed:
            _close(fd)

    def _write(self, records: Sequence[PackRecord]) -> Extent:
        start = self._end
        run = _Run(self._files, self._fd, start, self._identities)
        try:
            for record in records:
                run.lay(record, self._pack)
            run.flush()
            self._write_ahead(run.position)
        except OSError as error:
            if is_full(error):
                self._cut()
            else:
                self._mark_failed()
            raise
        try:
            self._files.sync(self._fd)
        except OSError:
            self._mark_failed()
            raise
        self._end = run.position
        return Extent(self._pack, start, self._end)

    def _write_ahead(self, end: int) -> None:
        """Write zeros behind a batch that ends there, where there are none left."""
        if end <= self._length:
            return
        self._length = end
        if end - self._end > _SMALL_BATCH:
            return
        try:
            self._files.write(self._fd, [_AHEAD], end)
        except OSError as error:
            if not is_full(error):
                raise
            self._files.cut(self._fd, end)  # it goes without; others need the space that some of them may have taken
        else:
            self._length = end + len(_AHEAD)

    def _cut(self) -> None:
        """A full disk needs the space of a batch that was not written to its end. No row knows of it yet."""
        try:
            self._files.cut(self._fd, self._end)
            self._length = self._end
        except OSError:
            self._mark_failed()

    def _let_go(self) -> None:
        """Close the pack, without the zeros behind its end: we have written them, and nothing else was there."""
        fd, self._fd = self._fd, -1
        if fd >= 0 and self._length > self._end:
            with contextlib.suppress(OSError):  # it is lost space, and no more than that
                self._files.cut(fd, self._end)
        _close(fd)

    def _mark_failed(self) -> None:
        fd, self._fd = self._fd, -1
        if self._end == PACK_HEAD_OCTETS:  # nothing in it that anybody refers to
            self._path(self._pack).unlink(missing_ok=True)
            _close(fd)
        else:
            self._failed_fds.append(fd)

    def _ready(self, catalogue: Catalogue) -> None:
        if self._fd >= 0 and (self._end >= self._limit or not os.fstat(self._fd).st_nlink):
            self._let_go()  # it is full, or somebody has removed it: what went there would be gone
        if self._fd < 0 and not any(self._reopen(catalogue, pack) for pack in self._candidates()):
            self._make(catalogue)

    def _candidates(self) -> Iterable[int]:
        """Packs with room, the youngest first."""
        with os.scandir(self._folder) as files:
            packs = [int(file.name[:-5]) for file in files if is_pack(file.name) and file.stat().st_size < self._limit]
        return sorted(packs, reverse=True)

    def _reopen(self, catalogue: Catalogue, pack: int) -> bool:
        """Lock a pack that is there and go on behind its last octet. False when it is not for us."""
        try:
            fd = os.open(self._path(pack), os.O_RDWR | os.O_CLOEXEC)
        except OSError:  # removed meanwhile, or on a bad part of the disk: another one will do
            return False
        try:
            end = self._lock(fd, pack)
            known = catalogue.reopen(pack) if end else None
        except BaseException:
            _close(fd)
            raise
        if known is None or known > end or end >= self._limit:
            _close(fd)
            return False
        self._begin(fd, pack, end)
        return True

    def _begin(self, fd: int, pack: int, end: int) -> None:
        self._fd, self._pack, self._end, self._length = fd, pack, end, end

    def _lock(self, fd: int, pack: int) -> int:
        """The length of the file, once it is ours; 0 when another process has it, or it is no pack of this store."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            state = os.fstat(fd)
            head = os.pread(fd, PACK_HEAD_OCTETS, 0)
        except OSError:
            return 0
        # It may have been removed before the lock was ours.
        sound = state.st_nlink and parse_pack_head(head) == PackHead(self._store, pack)
        return state.st_size if sound else 0

    def _make(self, catalogue: Catalogue) -> None:
        """The row first, then a file that was not there, then the pack is taken up like any other."""
        for _ in range(_TRIES):
            pack = catalogue.add(self._highest_file())
            try:
                fd = os.open(self._path(pack), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            except FileExistsError:
                continue
            try:
                ours = self._write_head(fd, pack) and catalogue.reopen(pack) is not None
            except BaseException:
                self._remove(pack, fd)
                raise
            if ours:
                self._begin(fd, pack, PACK_HEAD_OCTETS)
                return
            self._remove(pack, fd)  # its row may have been dropped as that of an empty pack, before we had the lock
        raise OSError(f"no number for a new pack in {self._folder}")

    def _write_head(self, fd: int, pack: int) -> bool:
        """Lock a new file and make it a pack. False when another process, looking for a pack, has locked it first."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        self._files.write(fd, [make_pack_head(self._store, pack)], 0)
        self._files.sync(fd)
        self._files.sync_folder(self._folder)
        return True

    def _remove(self, pack: int, fd: int) -> None:
        """A pack that we have made and that holds nothing."""
        with contextlib.suppress(OSError):  # then it stays, as a file that nobody refers to
            self._path(pack).unlink(missing_ok=True)
        _close(fd)

    def _highest_file(self) -> int:
        with os.scandir(self._folder) as files:
            return max((int(file.name[:-5]) for file in files if is_pack(file.name)), default=0)

    def _path(self, pack: int) -> Path:
        return pack_path(self._folder, pack)


def pack_path(folder: Path, pack: int) -> Path:
    """The file of a pack."""
    return folder / f"{pack}.pack"


def is_pack(name: str) -> bool:
    """Whether a file of that name is a pack."""
    return name.endswith(".pack") and name[:-5].isdecimal()


def _close(fd: int) -> None:
    if fd >= 0:
        with contextlib.suppress(OSError):  # what mattered was synced before
            os.close(fd)


class _Run:
    """Buffers laid one after the other, written in few calls."""

    def __init__(self, files: Files, fd: int, start: int, identities: Iterator[int]) -> None:
        self._files = files
        self._identities = identities
        self._fd = fd
        self._start = start  # where the first buffer goes
        self._buffers: list[bytes] = []
        self.position = start  # behind the last buffer

    def lay(self, record: PackRecord, pack: int) -> None:
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

    def _lay_prefixes(self, record: PackRecord) -> None:
        prefixes = record.prefixes
        if len(prefixes) == 1:
            record.prefix_octets = len(prefixes[0])
            record.offsets = (record.prefix_octets,)
            written = prefixes
        else:
            distances: dict[bytes, int] = {}
            octets = 0
            for prefix in prefixes:
                if prefix not in distances:
                    octets += len(prefix)
                    distances[prefix] = octets
            record.prefix_octets = octets
            record.offsets = [distances[prefix] for prefix in prefixes]
            written = list(reversed(distances))
        record.identity = next(self._identities)
        self._add(make_header(written, record.body.octets, record.body.digest, record.identity))
        for prefix in written:
            self._add(prefix)

    def _add(self, buffer: bytes) -> None:
        self._buffers.append(buffer)
        self.position += len(buffer)
        if self.position - self._start >= _RUN_OCTETS or len(self._buffers) >= _RUN_BUFFERS:
            self.flush()
