"""Gives the space of removed messages back.

A blob nobody refers to keeps its bytes for a grace period, for readers that know its place from before. Then a hole is
punched into its pack, and only after that its row is dropped: whenever the machine stops in between, the next run does
it again, and no message ever refers to a hole. A pack without blobs is unlinked, under the lock a writer would need.

A hole reaches as far as the nearest blobs by place that have a row, for only whole blocks give space back and small
messages share them. What a writer adds meanwhile is no concern: it always comes behind all rows of its pack.
"""

import contextlib
import fcntl
import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar

import apsw

from posthouse.mailstore.files import Files
from posthouse.mailstore.pack_reader import PackReader
from posthouse.mailstore.places import place_of
from posthouse.mailstore.records import HEADER_OCTETS, PACK_HEAD_OCTETS
from posthouse.mailstore.sqlite.rows import fetch
from posthouse.mailstore.sqlite.units import DropBlobs, DropDeliveries, DropPacks, Work

T = TypeVar("T")

GRACE_SECONDS = 3600.0
DELIVERY_DAYS = 30  # longer than any queue tries again (RFC 5321 4.5.4.1: 4-5 days)

_BATCH = 1000
# By place: a blob's id is its pack and offset.
_UNUSED = f"""
    SELECT blob_id, pack, offset, offset + {HEADER_OCTETS} + prefixes + octets FROM blob
    WHERE refs = 0 AND freed <= ?1 ORDER BY freed, blob_id LIMIT {_BATCH}
"""
_BEFORE = f"""
    SELECT offset + {HEADER_OCTETS} + prefixes + octets FROM blob
    WHERE blob_id < ?1 AND blob_id >= ?2 ORDER BY blob_id DESC LIMIT 1
"""
_AFTER = "SELECT offset FROM blob WHERE blob_id >= ?1 AND blob_id < ?2 ORDER BY blob_id LIMIT 1"


@dataclass(frozen=True, slots=True)
class Reaped:
    """What was given back."""

    blobs: int
    octets: int
    packs: int
    holes: bool  # whether the file system can punch holes; where not, only whole packs give their space back


class _Hole(NamedTuple):
    pack: int
    start: int
    end: int
    blobs: Sequence[int]


class _Empty(NamedTuple):
    """A pack without bodies: how often it had been opened, and where the last body ended."""

    opened: int
    end: int


class Reaper:
    """`ask` runs a query off the loop, `do` a unit of work, `wait` anything that may take its time."""

    def __init__(
        self,
        ask: Callable[[Callable[[apsw.Connection], Any]], Awaitable[Any]],
        do: Callable[[Work[Any]], Awaitable[Any]],
        wait: Callable[..., Awaitable[Any]],
        files: Files,
        packs: PackReader,
    ) -> None:
        self._ask = ask
        self._do = do
        self._wait = wait
        self._files = files
        self._packs = packs

    async def run(self, now: float, grace: float) -> Reaped:
        """One round. Raises StoreError, OSError."""
        blobs = octets = 0
        supported = True
        while True:
            holes: list[_Hole] = await self._ask(lambda connection: _find_holes(connection, int(now - grace)))
            if not holes:
                break
            supported = await self._wait(self._punch_all, holes) and supported
            dropped: int = await self._do(DropBlobs([blob for hole in holes for blob in hole.blobs]))
            blobs += dropped
            octets += sum(hole.end - hole.start for hole in holes)
        packs = await self._drop_packs()
        before = int((now - DELIVERY_DAYS * 86400) * 1000)
        while before > 0 and await self._do(DropDeliveries(before.to_bytes(6, "big"))):
            continue
        return Reaped(blobs, octets, packs, supported)

    async def _drop_packs(self) -> int:
        gone = []
        for pack, seen in (await self._ask(_find_empty)).items():
            lock = await self._wait(self._lock, pack)
            if lock is None:
                continue
            try:
                # Nobody could append since the lock was ours. Where there is no file, one that is being made right now
                # will be noticed by the row: it is dropped only if nobody has taken the pack up by then.
                if (await self._ask(_find_empty)).get(pack) == seen:
                    if lock >= 0 and not await self._wait(self._remove, pack, lock, seen.end):
                        continue
                    self._packs.forget(pack)
                    gone.append((pack, seen.opened))
            finally:
                if lock >= 0:
                    os.close(lock)
        if gone:
            await self._do(DropPacks(gone))
        return len(gone)

    def _punch_all(self, holes: Iterable[_Hole]) -> bool:
        supported = True
        for pack, group in groupby(holes, attrgetter("pack")):
            try:
                fd = os.open(self._packs.path(pack), os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                continue  # lost, or removed by another process: nothing to give back
            try:
                for hole in group:
                    supported = self._files.punch(fd, hole.start, hole.end - hole.start) and supported
            finally:
                os.close(fd)
        return supported

    def _lock(self, pack: int) -> int | None:
        """The locked file; -1 when there is none, None when a process writes to it."""
        try:
            fd = os.open(self._packs.path(pack), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return -1
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        return fd

    def _remove(self, pack: int, lock: int, end: int) -> bool:
        """Unlink a pack, unless it goes on behind its end: that may be mail which only a younger database knew of."""
        if os.fstat(lock).st_size > max(end, PACK_HEAD_OCTETS):
            return False
        self._files.cut(lock, 0)  # other processes may have it open: the space is to be free all the same
        with contextlib.suppress(FileNotFoundError):
            self._packs.path(pack).unlink()
        return True


def _find_empty(connection: apsw.Connection) -> dict[int, _Empty]:
    """Packs that hold nothing."""
    rows = fetch(connection, "SELECT pack, opened, end FROM pack WHERE live = 0 ORDER BY pack")
    return {pack: _Empty(opened, end) for pack, opened, end in rows}


def _find_holes(connection: apsw.Connection, before: int) -> list[_Hole]:
    """The next blobs to go, by pack, with what lies between them and the nearest ones that have a row; none overlap."""
    unused = sorted(fetch(connection, _UNUSED, (before,)))
    holes = _join(_Hole(pack, start, end, (blob,)) for blob, pack, start, end in unused)
    return _join(_widen(connection, hole) for hole in holes)


def _widen(connection: apsw.Connection, hole: _Hole) -> _Hole:
    pack, start, end, blobs = hole
    previous = fetch(connection, _BEFORE, (blobs[0], place_of(pack, 0)))
    following = fetch(connection, _AFTER, (place_of(pack, end), place_of(pack + 1, 0)))
    start = min(start, previous[0][0] if previous else PACK_HEAD_OCTETS)
    return _Hole(pack, start, max(end, following[0][0]) if following else end, blobs)


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
