"""Space kept on the disk, so that mail can still be deleted when the disk is full.

Deleting writes too: rows change, and the log of the database grows. When it fails for want of space the reserve is
given up, and deliveries are refused until it could be filled again, so that they cannot eat what deleting needs.
"""

import contextlib
import os
from pathlib import Path

from posthouse.mailstore.files import Files, is_full

RESERVE_OCTETS = 8 * 1024 * 1024
_LEAST = 64 * 1024


class DiskReserve:
    """A file of that many octets, shared by the processes of a store. Used by one thread."""

    def __init__(self, path: Path, files: Files, octets: int = RESERVE_OCTETS) -> None:
        self._files = files
        self._octets = octets
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def fill(self) -> bool:
        """Whether all of it is there, after an attempt to take what is missing, or at least some. Raises OSError."""
        held = os.fstat(self._fd).st_size
        if held >= self._octets or self._take(self._octets, held):
            return True
        octets = self._octets // 2
        while octets > max(held, _LEAST) and not self._take(octets, held):
            octets //= 2
        return False

    def _take(self, octets: int, held: int) -> bool:
        try:
            self._files.reserve(self._fd, octets)
        except OSError as error:
            self._files.cut(self._fd, held)  # a part may have been had
            if not is_full(error):
                raise
            return False
        return True

    def give_up(self) -> None:
        """Make its space free."""
        self._files.cut(self._fd, 0)

    def close(self) -> None:
        """Let go of the file."""
        with contextlib.suppress(OSError):
            os.close(self._fd)
