"""Space kept on the disk, so that mail can still be deleted when the disk is full.

Deleting writes too: rows change, and the log of the database grows. When it fails for want of space the reserve is
given up, and deliveries are refused until it could be filled again, so that they cannot eat what deleting needs.
"""

import os
from pathlib import Path

from posthouse.mailstore.files import Files, is_full

RESERVE_OCTETS = 8 * 1024 * 1024


class Reserve:
    """A file of that many octets, shared by the processes of a store. Used by one thread."""

    def __init__(self, path: Path, files: Files, octets: int = RESERVE_OCTETS) -> None:
        self._files = files
        self._octets = octets
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def fill(self) -> bool:
        """Whether it is there, after an attempt to make it where it was not. Raises OSError."""
        if os.fstat(self._fd).st_size >= self._octets:
            return True
        try:
            self._files.reserve(self._fd, self._octets)
        except OSError as error:
            if not is_full(error):
                raise
            self.give_up()  # what was had of it
            return False
        return True

    def give_up(self) -> None:
        """Make its space free."""
        self._files.cut(self._fd, 0)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)
