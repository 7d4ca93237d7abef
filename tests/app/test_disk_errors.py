"""What a disk can do to a server that starts is reported in a sentence."""

import errno
import os
from pathlib import Path

import pytest

from posthouse.accounts.errors import DirectoryBusyError
from posthouse.app.disk_errors import explain_disk_errors
from posthouse.app.errors import CommandError, Exit
from posthouse.database.errors import DatabaseError
from posthouse.mailstore.interface import StoreError


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.EROFS, "is read-only"),
        (errno.ENOSPC, "is full"),
        (errno.EDQUOT, "is full"),
        (errno.EIO, "cannot be used: Input/output error"),
        (errno.ENOENT, "cannot be used: No such file"),
        (errno.ENOTCONN, "cannot be used: Transport endpoint"),
        (errno.ESTALE, "cannot be used: Stale file handle"),
    ],
)
def test_errors_of_the_system(tmp_path: Path, number: int, text: str) -> None:
    with pytest.raises(CommandError) as caught, explain_disk_errors(tmp_path):
        raise OSError(number, os.strerror(number))
    assert text in caught.value.text
    assert str(tmp_path) in caught.value.text
    assert caught.value.fix
    assert caught.value.code == Exit.UNAVAILABLE


@pytest.mark.parametrize("kind", [StoreError, DatabaseError, DirectoryBusyError])
def test_errors_of_a_database(tmp_path: Path, kind: type[Exception]) -> None:
    with pytest.raises(CommandError, match="disk I/O error") as caught, explain_disk_errors(tmp_path):
        raise kind("disk I/O error")
    assert caught.value.code == Exit.UNAVAILABLE
    with pytest.raises(CommandError, match="does not exist"), explain_disk_errors(tmp_path / "gone"):
        raise kind("unable to open database file")


def test_other_errors_are_not_the_disks(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), explain_disk_errors(tmp_path):
        raise PermissionError(errno.EACCES, "Permission denied")
