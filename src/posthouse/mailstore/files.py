"""The few things packs ask of the file system, in one place: so that a fault of it can be tried out."""

import ctypes
import errno
import os
from collections.abc import Sequence
from pathlib import Path

_KEEP_SIZE = 1  # FALLOC_FL_KEEP_SIZE, linux/falloc.h
_PUNCH_HOLE = 2  # FALLOC_FL_PUNCH_HOLE
_MAX_BUFFERS = 1024  # IOV_MAX


class Files:
    """Thin over os. All raise OSError."""

    def __init__(self) -> None:
        self._fallocate = _find_fallocate()

    def write(self, fd: int, buffers: Sequence[bytes], offset: int) -> None:
        """Write all of the buffers one after the other, from `offset` on."""
        start = 0
        while start < len(buffers):
            part = buffers[start : start + _MAX_BUFFERS]
            wanted = sum(map(len, part))
            written = os.pwritev(fd, part, offset)
            if written < wanted:  # a signal or a disk that is nearly full: one plain write after the other
                rest = memoryview(b"".join(part))[written:]
                while rest:
                    rest = rest[os.pwrite(fd, rest, offset + wanted - len(rest)) :]
            offset += wanted
            start += _MAX_BUFFERS

    def sync(self, fd: int) -> None:
        """Make what was written durable, with the length of the file."""
        os.fdatasync(fd)

    def sync_folder(self, folder: Path) -> None:
        """Make new names in a folder durable."""
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def cut(self, fd: int, length: int) -> None:
        """Make the file that long."""
        os.ftruncate(fd, length)

    def reserve(self, fd: int, octets: int) -> None:
        """Take space on the disk for the first `octets` of the file."""
        os.posix_fallocate(fd, 0, octets)

    def punch(self, fd: int, offset: int, length: int) -> bool:
        """Give the space of a range back; it then reads as zeros. False where the file system cannot."""
        if self._fallocate is None:
            return False
        if self._fallocate(fd, _PUNCH_HOLE | _KEEP_SIZE, offset, length) == 0:
            return True
        number = ctypes.get_errno()
        if number in (errno.EOPNOTSUPP, errno.ENOSYS):
            return False
        raise OSError(number, os.strerror(number))


def _find_fallocate() -> "ctypes._NamedFuncPointer | None":
    function = getattr(ctypes.CDLL(None, use_errno=True), "fallocate", None)  # Linux has it, others may not
    if function is not None:
        function.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
        function.restype = ctypes.c_int
    return function


def is_full(error: OSError) -> bool:
    """Whether space (or the owner's share of it) ran out."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
