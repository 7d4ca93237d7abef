import errno
import os
from pathlib import Path

import pytest

from posthouse.mailstore.files import Files, is_full


@pytest.fixture
def fd(tmp_path: Path) -> int:
    return os.open(tmp_path / "f", os.O_RDWR | os.O_CREAT)


def test_more_buffers_than_one_call_takes(fd: int) -> None:
    buffers = [b"%d," % number for number in range(5000)]
    Files().write(fd, buffers, 3)
    assert os.pread(fd, 100_000, 0) == b"\0\0\0" + b"".join(buffers)
    os.close(fd)


def test_short_writes_go_on(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    real_writev, real_write = os.pwritev, os.pwrite
    monkeypatch.setattr(os, "pwritev", lambda fd, buffers, at: real_writev(fd, [b"".join(buffers)[:7]], at))
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: real_write(fd, bytes(data[:5]), at))
    buffers = [b"%d," % number for number in range(2000)]
    Files().write(fd, buffers, 0)
    assert os.pread(fd, 100_000, 0) == b"".join(buffers)
    os.close(fd)


def test_a_hole_reads_as_zeros_and_gives_its_space_back(fd: int) -> None:
    files = Files()
    files.write(fd, [b"x" * 1_000_000], 0)
    files.sync(fd)
    before = os.fstat(fd)
    assert files.punch(fd, 4096, 500_000)
    after = os.fstat(fd)
    assert after.st_size == before.st_size
    assert after.st_blocks < before.st_blocks
    assert os.pread(fd, 10, 100_000) == bytes(10)
    assert os.pread(fd, 4096, 0) == b"x" * 4096
    os.close(fd)


def test_a_hole_in_what_cannot_have_one(tmp_path: Path) -> None:
    reading = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(OSError, match="Bad file descriptor"):
        Files().punch(reading, 0, 4096)
    os.close(reading)


def test_where_holes_are_unknown(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    files = Files()
    monkeypatch.setattr(files, "_fallocate", None)
    assert not files.punch(fd, 0, 4096)
    os.close(fd)


def test_what_a_full_disk_says() -> None:
    assert is_full(OSError(errno.ENOSPC, ""))
    assert is_full(OSError(errno.EDQUOT, ""))
    assert not is_full(OSError(errno.EIO, ""))
