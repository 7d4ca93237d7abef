"""What a disk can do to a server that starts, each reported in a sentence with a way out."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from posthouse.accounts.errors import DirectoryBusyError
from posthouse.app.errors import CommandError, Exit
from posthouse.database.errors import DatabaseError
from posthouse.database.faults import DISK_FAULTS, is_disk_fault, is_out_of_space
from posthouse.mailstore.files import is_full
from posthouse.mailstore.interface import StoreError

_GONE = (
    errno.ENOENT,
    errno.ENOTDIR,
    errno.ENOTCONN,
    errno.EIO,
    errno.ENXIO,
    errno.ENODEV,
    errno.ESTALE,
    errno.ESHUTDOWN,
)

_LEAST = 64 << 10  # octets


@contextmanager
def explain_disk_errors(data: Path) -> Iterator[None]:
    """Within the block, trouble of the disk that holds the folder `data` becomes a CommandError."""
    try:
        yield
    except OSError as error:
        explained = _explain(error, data)
        if explained is None:
            raise
        raise explained from error
    except (StoreError, DatabaseError, DirectoryBusyError, *DISK_FAULTS) as error:
        if not data.is_dir():
            raise _gone(data, "it does not exist") from error
        if is_out_of_space(error) or _is_full(data):
            raise _full(data) from error
        fix = f"See whether the disk of {data} is full, read-only or damaged: df {data}; dmesg"
        raise CommandError(str(error), fix=fix, code=Exit.UNAVAILABLE) from error


def disk_refusal(failure: BaseException) -> CommandError | None:
    """How a command ends by a fault of the disk that nobody has explained; None when it is something else."""
    if not is_disk_fault(failure) and not isinstance(failure, DatabaseError):
        return None
    text = "the disk that holds the data folder is full" if is_out_of_space(failure) else str(failure)
    return CommandError(text, fix=disk_fix(failure), code=Exit.UNAVAILABLE)


def disk_fix(failure: BaseException) -> str:
    """What to do about a fault of the disk; "" about anything else."""
    return "See whether the disk is full, read-only or damaged: df -h; dmesg" if is_disk_fault(failure) else ""


def _is_full(data: Path) -> bool:
    """Whether there is no room for the files that SQLite needs beside a database: it says "disk I/O error" of that."""
    try:
        status = os.statvfs(data)
    except OSError:
        return False
    return status.f_bavail * status.f_frsize < _LEAST


def _explain(error: OSError, data: Path) -> CommandError | None:
    if error.errno == errno.EROFS:
        fix = f"See why: dmesg. Then make it writable again: mount -o remount,rw {mount_of(data)}"
        return CommandError(f"the disk that holds {data} is read-only", fix=fix, code=Exit.UNAVAILABLE)
    if is_full(error):
        return _full(data)
    if error.errno in _GONE:
        return _gone(data, error.strerror or str(error))
    return None


def _full(data: Path) -> CommandError:
    text = f"the disk that holds {data} is full, there is not even room to start"
    return CommandError(text, fix=f"Make some room (a few megabytes will do): df {data}", code=Exit.UNAVAILABLE)


def _gone(data: Path, reason: str) -> CommandError:
    fix = "Is its disk there and mounted? See: findmnt; dmesg"
    return CommandError(f"the data folder {data} cannot be used: {reason}", fix=fix, code=Exit.UNAVAILABLE)


def mount_of(path: Path) -> Path:
    """Where the file system of `path` is mounted."""
    for place in (path, *path.parents):
        try:
            if place.is_mount():
                return place
        except OSError:
            continue
    return path
