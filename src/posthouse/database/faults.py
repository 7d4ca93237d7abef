"""What of an exception is the disk's fault, and no mistake of ours."""

import errno
from collections.abc import Iterator

import apsw

from posthouse.database.errors import DatabaseError, DatabaseFullError

# What SQLite says of a disk that is full, read-only or broken.
DISK_FAULTS = (apsw.FullError, apsw.IOError, apsw.CantOpenError, apsw.ReadOnlyError, apsw.PermissionsError)
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


def is_disk_fault(error: BaseException) -> bool:
    """Whether it comes of a disk that is full, read-only or broken."""
    return any(isinstance(each, (*DISK_FAULTS, OSError)) or type(each) is DatabaseError for each in _causes(error))


def is_out_of_space(error: BaseException) -> bool:
    """Whether it says for sure that the disk is full. (SQLite often says "disk I/O error" of that, too.)"""
    return any(
        isinstance(each, (apsw.FullError, DatabaseFullError)) or (isinstance(each, OSError) and each.errno in _NO_SPACE)
        for each in _causes(error)
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
