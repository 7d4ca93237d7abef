"""The key under which passwords that were found right are remembered, kept where it outlives a restart of the server.

It stands in memory alone: in the processes, and in a file of a file system that has no disk (/dev/shm). So the data
folder, a backup and a disk that is stolen have digests without their key, with which nothing can be tried out, and a
machine that starts has a new key. Decision 032.
"""

import contextlib
import os
import stat
from hashlib import blake2b
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from posthouse.accounts.verified_passwords import KEY_OCTETS

_MEMORY = Path("/dev/shm")
_WITHOUT_DISK = ("tmpfs", "ramfs")


def kept_key(data: Path, log: FilteringBoundLogger, *, folder: Path = _MEMORY) -> bytes:
    """The key of the server of this data folder: the one of before, or a new one, kept if it can be.

    To be called under the server lock, by the user that the server runs as.
    """
    key = os.urandom(KEY_OCTETS)
    try:
        if not _is_without_disk(folder):
            raise OSError(f"{folder} is not in memory")
        path = folder / _name(data)
        return _read(path) or _write(path, key)
    except OSError as error:
        log.info("passwords are not remembered over a restart", reason=str(error))
        return key


def _name(data: Path) -> str:
    """One for each folder and user. Not secret: what is there counts only if it is ours."""
    return f"posthouse-login-key-{os.geteuid()}-{blake2b(bytes(data.resolve()), digest_size=8).hexdigest()}"


def _read(path: Path) -> bytes | None:
    """The key that is there; None when there is none. Raises OSError when what stands there cannot be trusted."""
    try:
        # Anybody may write in that folder: no link is followed, and what another user made or may read is no key.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        found = os.fstat(fd)
        ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and found.st_nlink == 1
        if not ours or stat.S_IMODE(found.st_mode) & 0o077:
            raise OSError(f"{path} is not the server's alone")
        key = os.read(fd, KEY_OCTETS + 1)
    finally:
        os.close(fd)
    if len(key) == KEY_OCTETS:
        return key
    path.unlink()  # its writer was killed
    return None


def _write(path: Path, key: bytes) -> bytes:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        if os.write(fd, key) != len(key):
            raise OSError(f"no room in {path.parent}")
    except OSError:
        with contextlib.suppress(OSError):
            path.unlink()
        raise
    finally:
        os.close(fd)
    return key


def _is_without_disk(folder: Path) -> bool:
    """Whether the file system that is mounted there, the last one at that place, is one of memory."""
    place, kind = str(folder.resolve()), ""
    with Path("/proc/self/mounts").open(encoding="utf-8", errors="surrogateescape") as mounts:
        for line in mounts:
            _source, mounted, system, *_rest = line.split(" ")
            if mounted == place:
                kind = system
    return kind in _WITHOUT_DISK
