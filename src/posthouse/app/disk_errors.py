"""What a disk can do to a server that starts, each reported in a sentence with a way out."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from posthouse.accounts.errors import DirectoryBusyError
from posthouse.app.errors import CommandError, Exit
from posthouse.database.errors import DatabaseError
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


@contextmanager
def explain_disk_errors(data: Path) -> Iterator[None]:
    """Within the block, trouble of the disk that holds the folder `data` becomes a CommandError."""
    try:
        yield
    except OSError as error:
        told = _told(error, data)
        if told is None:
            raise
        raise told from error
    except (StoreError, DatabaseError, DirectoryBusyError) as error:
        if data.is_dir():
            fix = f"See whether the disk of {data} is full, read-only or damaged: df {data}; dmesg"
            raise CommandError(str(error), fix=fix, code=Exit.UNAVAILABLE) from error
        raise _gone(data, "it does not exist") from error


def _told(error: OSError, data: Path) -> CommandError | None:
    if error.errno == errno.EROFS:
        fix = f"See why: dmesg. Then make it writable again: mount -o remount,rw {mount_of(data)}"
        return CommandError(f"the disk that holds {data} is read-only", fix=fix, code=Exit.UNAVAILABLE)
    if is_full(error):
        text = f"the disk that holds {data} is full, there is not even room to start"
        return CommandError(text, fix=f"Make some room (a few megabytes will do): df {data}", code=Exit.UNAVAILABLE)
    if error.errno in _GONE:
        return _gone(data, error.strerror or str(error))
    return None


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
