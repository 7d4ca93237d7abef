"""Packs that a failing disk does not give everywhere."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path

import pytest


def spoil(patch: pytest.MonkeyPatch, name: str, bad: range, *, partly: bool = False) -> None:
    """Let reads of a file fail that touch some octets; `partly`: they give what is before those, as Linux does."""
    pread, preadv = os.pread, os.preadv

    def allowed(fd: int, octets: int, offset: int) -> int:
        if Path(f"/proc/self/fd/{fd}").readlink().name != name:
            return octets
        if not (offset < bad.stop and offset + octets > bad.start):
            return octets
        if not partly or offset >= bad.start:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return bad.start - offset

    def failing(fd: int, octets: int, offset: int, /) -> bytes:
        return pread(fd, allowed(fd, octets, offset), offset)

    def failing_into(fd: int, buffers: Sequence[bytearray], offset: int, flags: int = 0, /) -> int:
        allowed(fd, sum(map(len, buffers)), offset)
        return preadv(fd, buffers, offset, flags)

    patch.setattr(os, "pread", failing)
    patch.setattr(os, "preadv", failing_into)
