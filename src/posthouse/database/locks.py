"""Locks that hold between processes: flock on a file, given back by the kernel when its holder dies."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType


class FileLock:
    """An exclusive lock for use in `with`. Waiters queue in the kernel. One thread at a time may use an instance.

    `on_hold` is called with True when it was taken, and with False before it is given back.
    """

    def __init__(self, path: Path, on_hold: Callable[[bool], None] | None = None) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._on_hold = on_hold

    def __enter__(self) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        if self._on_hold is not None:
            self._on_hold(True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._on_hold is not None:
            self._on_hold(False)
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)
