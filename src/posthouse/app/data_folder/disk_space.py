"""Room on the disk for a start: a server on a full disk must come up, for else nobody can delete anything.

SQLite needs a few files beside each database that is open, and a clean stop has given their space away. So a start that
finds no room takes what was kept for that day: the reserve. Where that was not enough either, what can be made anew is
thrown away, and stands in memory until the next start.
"""

import contextlib
import dataclasses
import errno
import os
import shutil
import tempfile
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from posthouse.app.data_folder.data_paths import DataPaths
from posthouse.database.connection import files_of
from posthouse.mailstore.files import is_full

START_OCTETS = 4 << 20  # what the files beside the databases and their logs take, with room to spare
_CANNOT_RESERVE = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)  # a file system that knows of no such thing
_MEMORY = Path("/dev/shm")
_PREFIX = "posthouse-"
_LINK = "scratch"  # leads from the data folder to where things are: a symbolic link needs no space of its own


def make_room(paths: DataPaths, log: FilteringBoundLogger) -> DataPaths:
    """See that a start finds room, if it can be had; returns where things stand then. Raises OSError.

    To be called under the server lock, before anything is open. give_back() is for the end.
    """
    _clear(paths.data)
    if _has_room(paths.data):
        return paths
    reserve = paths.data / "reserve"
    if reserve.exists():
        os.truncate(reserve, 0)
    if _has_room(paths.data):
        log.warning("the disk is full: the reserve was given up to start", data=str(paths.data))
        return paths
    for path in (paths.index, paths.leases, paths.volatile):  # made anew from the mail, or by what happens next
        for file in files_of(path):
            file.unlink(missing_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_MEMORY if _MEMORY.is_dir() else None))
    with contextlib.suppress(OSError):  # then it will be left behind if this server is killed
        (paths.data / _LINK).symlink_to(scratch)
    log.warning(
        "the disk is full, and the reserve was used up: what can be made anew is kept elsewhere until the next start",
        data=str(paths.data),
        scratch=str(scratch),
    )
    return dataclasses.replace(paths, scratch=scratch)


def give_back(paths: DataPaths) -> None:
    """Remove what make_room() has made."""
    if paths.scratch is not None:
        shutil.rmtree(paths.scratch, ignore_errors=True)
        (paths.data / _LINK).unlink(missing_ok=True)


def _clear(data: Path) -> None:
    """Remove what a server that was killed left elsewhere."""
    link = data / _LINK
    if link.is_symlink():
        left = link.readlink()
        if left.name.startswith(_PREFIX) and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)
        link.unlink()


def _has_room(folder: Path) -> bool:
    """By trying, for a user's share of the disk shows nowhere else."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            os.posix_fallocate(probe.fileno(), 0, START_OCTETS)
    except OSError as error:
        if is_full(error):
            return False
        if error.errno not in _CANNOT_RESERVE:
            raise
    return True
