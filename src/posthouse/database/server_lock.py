"""One server per data folder, and a way to ask whether there is one."""

import contextlib
import fcntl
import os
import stat
import time
from pathlib import Path

_PROBES = 10  # a server start looks this often, so that somebody who only asks does not turn it away
_PROBE_PAUSE = 0.02  # seconds


class ServerRunningError(Exception):
    """A server runs on this data already. `pid` is its process, 0 when it did not say."""

    def __init__(self, pid: int) -> None:
        super().__init__(f"a server runs on this data already (process {pid})" if pid else "a server runs on this data")
        self.pid = pid


class ServerLock:
    """Says that a server runs on a data folder. Children made by fork hold it too, until the last of them is gone."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @classmethod
    def acquire(cls, folder: Path) -> "ServerLock":
        """Become the server of `folder`. Raises ServerRunningError."""
        fd = os.open(_path(folder), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _close_to_others(fd)
            for _ in range(_PROBES):
                if _try(fd, fcntl.LOCK_EX):
                    _write(fd, b"%d\n" % os.getpid())
                    return cls(fd)
                time.sleep(_PROBE_PAUSE)
            raise ServerRunningError(_written(fd))
        except BaseException:
            os.close(fd)
            raise

    def release(self) -> None:
        """No longer be the server."""
        os.close(self._fd)


def running_server(folder: Path) -> int | None:
    """The process id of the server of `folder` (0: it runs, but did not say); None when none runs. Takes nothing."""
    try:
        fd = os.open(_path(folder), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return None if _try(fd, fcntl.LOCK_SH) else _written(fd)
    finally:
        os.close(fd)


def _path(folder: Path) -> Path:
    return folder / "server.lock"


def _try(fd: int, how: int) -> bool:
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _close_to_others(fd: int) -> None:
    """A process that may open the file may hold the lock, and so keep the server from starting."""
    status = os.fstat(fd)
    if stat.S_IMODE(status.st_mode) & 0o077 and status.st_uid == os.geteuid():
        os.fchmod(fd, 0o600)


def _write(fd: int, text: bytes) -> None:
    """Overwrite first, then cut: a full disk has no block for a file that was emptied. It is for people only."""
    with contextlib.suppress(OSError):
        os.pwrite(fd, text, 0)
        os.ftruncate(fd, len(text))


def _written(fd: int) -> int:
    text = os.pread(fd, 20, 0).partition(b"\n")[0]
    return int(text) if text.isdigit() else 0
