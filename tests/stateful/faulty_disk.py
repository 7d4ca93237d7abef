"""A disk that fails where a schedule wants it to, under the packs and under SQLite, in one process.

SQLite meets it as the process's default VFS, the packs as their `Files`; the program under test is unchanged.
"""

import errno
import itertools
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from posthouse.mailstore.files import Files
from tests.stateful.stopped import Gate

PACK_POINTS = ("pack write", "short write", "pack sync", "folder sync", "cut", "reserve", "punch")
DATABASE_POINTS = ("log write", "log sync", "database write", "database sync", "truncate")
POINTS = (*PACK_POINTS, *DATABASE_POINTS)
FULL, BROKEN, KILL = "full", "broken", "kill"
_WRITES = ("pack write", "log write", "database write")
_BASE = "unix"  # SQLite's own VFS, which the faulty one stands before


@dataclass(frozen=True, slots=True)
class Fault:
    """What fails: the call of that kind after `spare` more of them, and with `lasting` all after it."""

    point: str  # of POINTS, or "pages": the database may not grow by more than `spare` pages
    how: str = BROKEN
    spare: int = 0
    lasting: bool = False
    part: bool = False  # whether half of a failing write is on the disk


class Disk:
    """The faults of this process."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._calls: dict[str, int] = {}
        self._connections: list[apsw.Connection] = []
        self.fired: list[str] = []  # since arm()

    def arm(self, faults: Sequence[Fault]) -> None:
        """Add faults; their counting begins now. Those that do not last are dropped."""
        self._faults = [fault for fault in self._faults if fault.lasting and fault.spare == 0] + list(faults)
        self._calls.clear()
        self.fired = []
        for fault in faults:
            if fault.point == "pages":
                self._limit(fault.spare)
                self.fired.append("pages: full")  # nobody says when it happens

    def rest(self) -> None:
        """The group is over: what should not last is over, too; what lasts goes on from the first call."""
        kept = [fault for fault in self._faults if fault.lasting]
        self._faults = [Fault(fault.point, fault.how, 0, True, fault.part) for fault in kept]
        if not any(fault.point == "pages" for fault in kept):
            self._limit(None)

    def heal(self) -> None:
        """All is well again."""
        self._faults = []
        self._limit(None)

    def meet(self, connection: apsw.Connection) -> None:
        """A hook of apsw: every connection that is opened."""
        self._connections.append(connection)

    def check(self, point: str) -> Fault | None:
        """Whether this call is to fail. Does not return when the process is to die here, unless it shall write half."""
        self._calls[point] = calls = self._calls.get(point, 0) + 1
        for fault in self._faults:
            if fault.point == point and (calls == fault.spare + 1 or (fault.lasting and calls > fault.spare)):
                self.fired.append(f"{point}: {fault.how}")
                if fault.how == KILL and not (fault.part and point in _WRITES):
                    die()
                return fault
        return None

    def _limit(self, pages: int | None) -> None:
        for connection in self._connections:
            try:
                if connection.pragma("query_only"):
                    continue
                limit = 0xFFFFFFFE if pages is None else connection.pragma("page_count") + pages
                connection.pragma("max_page_count", limit)
            except apsw.Error:
                continue  # it was closed


def die() -> None:
    """As if the machine's power were cut for this process alone."""
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()


class FaultyFiles(Files):
    """The disk of packs and reserve."""

    def __init__(self, disk: Disk, gate: Gate) -> None:
        super().__init__()
        self._disk = disk
        self._gate = gate

    def write(self, fd: int, buffers: Sequence[bytes], offset: int) -> None:
        fault = self._disk.check("pack write")
        if fault is not None:
            if fault.part:
                data = b"".join(buffers)
                os.pwrite(fd, data[: len(data) // 2], offset)
            _raise(fault)
        super().write(fd, buffers, offset)

    def sync(self, fd: int) -> None:
        self._try("pack sync")
        super().sync(fd)

    def sync_folder(self, folder: Path) -> None:
        self._try("folder sync")
        super().sync_folder(folder)

    def cut(self, fd: int, length: int) -> None:
        if length == 0:
            self._gate.meet("cut")
        self._try("cut")
        super().cut(fd, length)

    def reserve(self, fd: int, octets: int) -> None:
        self._try("reserve")
        super().reserve(fd, octets)

    def punch(self, fd: int, offset: int, length: int) -> bool:
        self._gate.meet("punch")
        self._try("punch")
        return super().punch(fd, offset, length)

    def _try(self, point: str) -> None:
        fault = self._disk.check(point)
        if fault is not None:
            _raise(fault)


def _raise(fault: Fault) -> None:
    if fault.how == KILL:
        die()
    number = errno.ENOSPC if fault.how == FULL else errno.EIO
    raise OSError(number, os.strerror(number))


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: str | apsw.URIFilename, flags: list[int]) -> None:
        super().__init__(_BASE, name, flags)
        self._disk = disk
        self._kind = "log" if flags[0] & apsw.SQLITE_OPEN_WAL else "database"

    def xWrite(self, data: bytes, offset: int) -> None:
        fault = self._disk.check(f"{self._kind} write")
        if fault is not None:
            if fault.part:
                super().xWrite(data[: len(data) // 2], offset)
            if fault.how == KILL:
                die()
            raise apsw.exception_for(apsw.SQLITE_FULL if fault.how == FULL else apsw.SQLITE_IOERR_WRITE)
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        if self._disk.check(f"{self._kind} sync"):
            raise apsw.exception_for(apsw.SQLITE_IOERR_FSYNC)
        super().xSync(flags)

    def xTruncate(self, size: int) -> None:
        if self._disk.check("truncate"):
            raise apsw.exception_for(apsw.SQLITE_IOERR_TRUNCATE)
        super().xTruncate(size)

    def excepthook(self, *failure: Any) -> bool:
        """Failures that SQLite passes over (a checkpoint on closing) are nobody's."""
        return True


class _Vfs(apsw.VFS):
    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        super().__init__("faulty", _BASE, makedefault=True)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        if name is None or not flags[0] & (apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_DB):
            return super().xOpen(name, flags)
        return _File(self._disk, name, flags)

    def excepthook(self, *failure: Any) -> bool:
        """As with files."""
        return True


def _share_reads() -> None:
    """Have every other read that must not wait find its octets in memory. File systems in memory refuse such reads."""
    reads = itertools.count()
    whole = os.preadv

    def preadv(fd: int, buffers: Sequence[bytearray], offset: int, flags: int = 0) -> int:
        if flags and next(reads) % 2:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return whole(fd, buffers, offset)

    os.preadv = preadv  # type: ignore[assignment]


def install(disk: Disk) -> object:
    """Make it the disk of all SQLite databases of this process that are opened from now on, as long as it is kept, and
    have the system write less than it is asked to, as it may.
    """
    whole = os.pwritev

    def pwritev(fd: int, buffers: Sequence[bytes], offset: int) -> int:
        if not disk.check("short write"):
            return whole(fd, buffers, offset)
        data = b"".join(buffers)
        return os.pwrite(fd, data[: (len(data) + 1) // 2], offset)

    os.pwritev = pwritev  # type: ignore[assignment]
    _share_reads()
    apsw.connection_hooks.append(disk.meet)
    return _Vfs(disk)
