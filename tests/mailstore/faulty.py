"""A file layer whose disk can be made to fail."""

import os
from collections.abc import Sequence
from pathlib import Path

from posthouse.mailstore.files import Files


class FaultyFiles(Files):
    """Each number, where not 0, is the errno the next calls of that kind fail with."""

    def __init__(self) -> None:
        super().__init__()
        self.write_error = 0
        self.partial = False  # whether a failing write leaves half of its octets
        self.sync_error = 0
        self.folder_error = 0
        self.reserve_error = 0
        self.cut_error = 0
        self.punch_error = 0
        self.can_punch = True
        self.synced: list[str] = []  # files, in order
        self.punched: list[tuple[int, int]] = []

    def write(self, fd: int, buffers: Sequence[bytes], offset: int) -> None:
        if self.write_error:
            if self.partial:
                data = b"".join(buffers)
                os.pwrite(fd, data[: len(data) // 2], offset)
            _fail(self.write_error)
        super().write(fd, buffers, offset)

    def sync(self, fd: int) -> None:
        _fail(self.sync_error)
        self.synced.append(Path(f"/proc/self/fd/{fd}").readlink().name)
        super().sync(fd)

    def sync_folder(self, folder: Path) -> None:
        _fail(self.folder_error)
        super().sync_folder(folder)

    def cut(self, fd: int, length: int) -> None:
        _fail(self.cut_error)
        super().cut(fd, length)

    def reserve(self, fd: int, octets: int) -> None:
        _fail(self.reserve_error)
        super().reserve(fd, octets)

    def punch(self, fd: int, offset: int, length: int) -> bool:
        _fail(self.punch_error)
        self.punched.append((offset, length))
        return self.can_punch and super().punch(fd, offset, length)


def _fail(number: int) -> None:
    if number:
        raise OSError(number, os.strerror(number))
