"""Gives the space of removed messages back.

A blob nobody refers to keeps its bytes for a grace period, for readers that know its place from before. Then a hole is
punched into its pack, and only after that its row is dropped: whenever the machine stops in between, the next run does
it again, and no message ever refers to a hole. A pack without blobs is unlinked, under the lock a writer would need.

Only whole blocks give space back, and small messages share them. So a hole is made wider over what is zero already, to
the bounds of its first and last block: that changes no octet of anybody, whether a row knows of it or not. It never
reaches beyond the next record that has a row: the zeros behind the last one are where a writer goes on. Before a file
is touched it is checked to be the pack that the rows mean; where old bodies overlap nothing is punched.
A pack that cannot be used is left for another round, and keeps nobody else's space.
"""

import contextlib
import errno
import fcntl
import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import apsw
import msgspec

from posthouse.mailstore.files import Files
from posthouse.mailstore.pack_reader import PackReader
from posthouse.mailstore.places import place_of, split_place
from posthouse.mailstore.records import HEADER_OCTETS, PACK_HEAD_OCTETS, PackHead, parse_pack_head
from posthouse.mailstore.sqlite.rows import fetch
from posthouse.mailstore.sqlite.units import DropBlobs, DropDeliveries, DropPacks, Work

T = TypeVar("T")

GRACE_SECONDS = 3600.0
DELIVERY_DAYS = 30  # longer than any queue tries again (RFC 5321 4.5.4.1: 4-5 days)

_BATCH = 1000
_CHUNK = 1 << 20
_BLOCK = 4096  # octets; larger blocks give back what they can
_CLOCK_SLACK = 60  # seconds; what was freed later than now was freed while the clock was ahead
_UNUSED = f"""
    SELECT blob_id, pack, offset, offset + {HEADER_OCTETS} + prefixes + octets FROM blob
    WHERE refs = 0 AND (freed <= ?1 OR freed > ?2) AND pack NOT IN (SELECT value FROM json_each(?3))
    ORDER BY freed, blob_id LIMIT {_BATCH}
"""
# By place: a blob's id is its pack and offset.
_BEFORE = f"""
    SELECT offset + {HEADER_OCTETS} + prefixes + octets FROM blob
    WHERE blob_id < ?1 AND blob_id >= ?2 ORDER BY blob_id DESC LIMIT 1
"""
_AFTER = "SELECT offset FROM blob WHERE blob_id > ?1 AND blob_id < ?2 ORDER BY blob_id LIMIT 1"
_HEADED = "SELECT headed FROM pack WHERE pack = ?"
_OVERLAP = f"""
    SELECT 1 FROM (SELECT offset, max(offset + {HEADER_OCTETS} + prefixes + octets) OVER
            (ORDER BY blob_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reached
        FROM blob WHERE blob_id >= ?1 AND blob_id < ?2)
    WHERE reached > offset LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Reaped:
    """What was given back."""

    blobs: int
    octets: int
    packs: int
    holes: bool  # whether the file system can punch holes; where not, only whole packs give their space back


class _Hole(NamedTuple):
    """A range of a pack in which all blobs are unused. It may be empty: then only the rows go."""

    pack: int
    start: int
    end: int
    blobs: Sequence[int]
    headed: bool = False  # whether the pack begins with a head
    limit: int = 0  # up to here nobody writes any more


class _Empty(NamedTuple):
    """A pack without bodies: how often it had been opened, where the last body ended, whether it has a head."""

    opened: int
    end: int
    headed: int


class _PackLock:
    """The lock that a writer to the pack would need. close() must be called, whatever becomes of it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.fd = -1  # of the file, once it is ours

    def take(self) -> bool:
        """Whether nobody writes to the pack from now on: it is ours, or there is no file."""
        try:
            self.fd = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Give it back."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


class Reaper:
    """`read` runs a query off the loop, `submit` commits a unit of work, `finish` runs what may take its time to its
    end, even when the task is cancelled meanwhile: a file that is closed under a thread may be another one by the time
    it is cut.

    `store` is the id of the store, which its packs carry.
    """

    def __init__(
        self,
        read: Callable[[Callable[[apsw.Connection], Any]], Awaitable[Any]],
        submit: Callable[[Work[Any]], Awaitable[Any]],
        finish: Callable[..., Awaitable[Any]],
        files: Files,
        packs: PackReader,
        store: bytes,
    ) -> None:
        self._read = read
        self._submit = submit
        self._finish = finish
        self._files = files
        self._packs = packs
        self._store = store

    async def run(self, now: float, grace: float) -> Reaped:
        """One round. Raises StoreError; OSError when some of it could not be done, and the rest was."""
        blobs = octets = 0
        supported = True
        failures: dict[int, OSError] = {}  # packs that cannot be used
        while True:
            job = partial(_find_holes, before=int(now - grace), now=int(now), skipped=sorted(failures))
            holes: list[_Hole] = await self._read(job)
            if not holes:
                break
            supported = await self._finish(self._punch_all, holes, failures) and supported
            done = [hole for hole in holes if hole.pack not in failures]
            if done:
                blobs += await self._submit(DropBlobs([blob for hole in done for blob in hole.blobs]))
            octets += sum(hole.end - hole.start for hole in done)
        packs = await self._drop_packs()
        before = int((now - DELIVERY_DAYS * 86400) * 1000)
        while before > 0 and await self._submit(DropDeliveries(before.to_bytes(6, "big"))):
            continue
        for failure in failures.values():
            raise failure
        return Reaped(blobs, octets, packs, supported)

    async def _drop_packs(self) -> int:
        gone = []
        for pack, seen in (await self._read(_find_empty)).items():
            lock = _PackLock(self._packs.path(pack))
            try:
                # Nobody could append since the lock was ours. Where there is no file, one that is being made right now
                # will be noticed by the row: it is dropped only if nobody has taken the pack up by then.
                if await self._finish(lock.take) and (await self._read(_find_empty)).get(pack) == seen:
                    if lock.fd >= 0 and not await self._finish(self._remove, pack, lock.fd, seen):
                        continue
                    self._packs.forget(pack)
                    gone.append((pack, seen.opened))
            finally:
                lock.close()
        if gone:
            await self._submit(DropPacks(gone))
        return len(gone)

    def _punch_all(self, holes: Iterable[_Hole], failures: dict[int, OSError]) -> bool:
        supported = True
        for pack, group in groupby(holes, attrgetter("pack")):
            try:
                supported = self._punch(pack, list(group)) and supported
            except FileNotFoundError:
                continue  # lost, or removed by another process: nothing to give back
            except OSError as error:
                failures[pack] = error
        return supported

    def _punch(self, pack: int, holes: Sequence[_Hole]) -> bool:
        supported = True
        fd = os.open(self._packs.path(pack), os.O_RDWR | os.O_CLOEXEC)
        try:
            if parse_pack_head(os.pread(fd, PACK_HEAD_OCTETS, 0)) != self._head(pack, headed=holes[0].headed):
                raise OSError(errno.ESTALE, f"{pack}.pack is not the pack that the database speaks of")
            for hole in holes:
                if hole.start < hole.end and not self._punch_one(fd, hole):
                    supported = False
        finally:
            os.close(fd)
        return supported

    def _punch_one(self, fd: int, hole: _Hole) -> bool:
        start, end = _to_blocks(fd, hole)
        if self._files.punch(fd, start, end - start):
            return True
        for blob in hole.blobs:  # without their headers no search takes these octets for records any more
            offset = split_place(blob)[1]
            if hole.start <= offset < hole.end:
                self._files.write(fd, [bytes(HEADER_OCTETS)], offset)
        return False

    def _head(self, pack: int, *, headed: bool) -> PackHead | None:
        """What the file must begin with to be the pack that the rows speak of."""
        return PackHead(self._store, pack) if headed else None

    def _remove(self, pack: int, lock: int, seen: _Empty) -> bool:
        """Unlink a pack, if it is ours and ends where it should.

        What it has behind its end may be mail which only a younger database knew of; zeros a writer has left there.
        """
        try:
            size = _octets_used(lock, max(seen.end, PACK_HEAD_OCTETS))
            head = parse_pack_head(os.pread(lock, PACK_HEAD_OCTETS, 0))
        except OSError:  # one bad disk keeps nobody else's space
            return False
        torn = head is None and size <= PACK_HEAD_OCTETS  # its maker died before it could hold anything
        if size > max(seen.end, PACK_HEAD_OCTETS) or not (torn or head == self._head(pack, headed=bool(seen.headed))):
            return False
        self._files.cut(lock, 0)  # other processes may have it open: the space is to be free all the same
        with contextlib.suppress(FileNotFoundError):
            self._packs.path(pack).unlink()
        return True


def _octets_used(fd: int, end: int) -> int:
    """The length of the file, or `end` when there is nothing but zeros behind that."""
    size = position = os.fstat(fd).st_size
    while position > end:
        start = max(end, position - _CHUNK)
        if os.pread(fd, position - start, start).strip(b"\0"):
            return size
        position = start
    return min(size, end)


def _to_blocks(fd: int, hole: _Hole) -> tuple[int, int]:
    """The range made wider over zeros, to the bounds of its first and last block, where nobody writes any more."""
    start, end = hole.start, hole.end
    before = os.pread(fd, start % _BLOCK, start - start % _BLOCK)
    after = os.pread(fd, min(-end % _BLOCK, max(hole.limit - end, 0)), end)
    zeros_before = len(before) - len(before.rstrip(b"\0"))
    zeros_after = len(after) - len(after.lstrip(b"\0"))
    return start - zeros_before, end + zeros_after


def _find_empty(connection: apsw.Connection) -> dict[int, _Empty]:
    """Packs that hold nothing."""
    rows = fetch(connection, "SELECT pack, opened, end, headed FROM pack WHERE live = 0 ORDER BY pack")
    return {pack: _Empty(*numbers) for pack, *numbers in rows}


def _find_holes(connection: apsw.Connection, before: int, now: int, skipped: Sequence[int]) -> list[_Hole]:
    """The next blobs to go, by pack, those that touch made one. None of a pack in `skipped`."""
    unused = sorted(fetch(connection, _UNUSED, (before, now + _CLOCK_SLACK, msgspec.json.encode(skipped).decode())))
    found: list[_Hole] = []
    for pack, group in groupby(unused, itemgetter(1)):
        headed = any(value for (value,) in fetch(connection, _HEADED, (pack,)))
        holes = _join(_Hole(pack, start, end, (blob,), headed) for blob, _, start, end in group)
        if not headed and fetch(connection, _OVERLAP, (place_of(pack, 0), place_of(pack + 1, 0))):
            # An old fault gave a place twice: who knows whose octets these are.
            found += [hole._replace(end=hole.start) for hole in holes]
        else:
            found += [_clipped(connection, hole) for hole in holes]
    return found


def _clipped(connection: apsw.Connection, hole: _Hole) -> _Hole:
    """Without what its neighbours have, should they lie over it; and how far it may be made wider."""
    previous = fetch(connection, _BEFORE, (hole.blobs[0], place_of(hole.pack, 0)))
    following = fetch(connection, _AFTER, (hole.blobs[-1], place_of(hole.pack + 1, 0)))
    start = max([hole.start, *(end for (end,) in previous)])
    end = min([hole.end, *(offset for (offset,) in following)])
    limit = following[0][0] if following else end
    return hole._replace(start=start, end=max(start, end), limit=limit)


def _join(holes: Iterable[_Hole]) -> list[_Hole]:
    """Holes in the order of their places, those that touch or overlap made one."""
    joined: list[_Hole] = []
    blobs: list[int] = []  # of the last one
    for hole in holes:
        last = joined[-1] if joined else None
        if last and last.pack == hole.pack and hole.start <= last.end:
            blobs += hole.blobs
            joined[-1] = last._replace(end=max(last.end, hole.end))
        else:
            blobs = list(hole.blobs)
            joined.append(hole._replace(blobs=blobs))
    return joined
