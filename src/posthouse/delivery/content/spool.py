"""The spool: a message while it arrives. In memory up to a bound, then in a file without a name.

A message that fits the bound never touches a file; all spools share one budget of memory. What goes to the file is
written by a thread, piece by piece: a disk that is busy makes one sender wait, and nobody else. The digest and the
traits are made on the way, so nothing is read twice.
"""

import asyncio
import errno
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from posthouse.mailstore.digests import new_digest
from posthouse.mailstore.interface import StoreError, StoreFullError, Traits

HEAD = 256 << 10  # octets kept for the header scan
_READ = 1 << 20
_PIECE = 256 << 10  # octets that are written to the file at once
_THREADS = 2  # that write: more would only wait for the same disk


class SpoolBudget:
    """The memory that all spools share, and the folder for what does not fit."""

    def __init__(self, folder: Path, *, octets: int = 64 << 20, in_memory: int = 256 << 10) -> None:
        """`octets` bounds all spools together, `in_memory` each one. `folder` is made when missing."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder = folder
        self.left = octets
        self.in_memory = in_memory
        self.writers = ThreadPoolExecutor(_THREADS, "spool")


class Spool:
    """One message; see mailstore.interface.Body. close() must be called, whatever becomes of it.

    The writer looks at `is_due` after each piece, and awaits flush() before the next.
    """

    def __init__(self, budget: SpoolBudget) -> None:
        self._budget = budget
        self._held = bytearray()  # not a list of pieces: a peer may send one octet at a time
        self._fd = -1  # of the file, once there is one: what is held comes behind its end
        self._writing: asyncio.Future[None] | None = None
        self._hasher = new_digest()
        self._ascii = True
        self._tail = b""
        self.octets = 0
        self.head = bytearray()
        self.has_leading_dots = False
        self.bare_cr_or_lf = False

    def write(self, data: bytes) -> None:
        """Take the next octets."""
        self.octets += len(data)
        self._hasher.update(data)
        self._ascii = self._ascii and data.isascii()
        self._tail = (self._tail + data[-2:])[-2:]
        if len(self.head) < HEAD:
            self.head += data[: HEAD - len(self.head)]
        self._held += data
        self._budget.left -= len(data)

    @property
    def is_due(self) -> bool:
        """Whether more is held than should be in memory."""
        bound = self._budget.in_memory if self._fd < 0 else _PIECE
        return bool(self._held) and (len(self._held) > bound or self._budget.left < 0)

    async def flush(self) -> None:
        """Move what is held to the file. Raises StoreFullError or StoreError; the message is lost then."""
        data, self._held = self._held, bytearray()
        self._writing = asyncio.get_running_loop().run_in_executor(self._budget.writers, self._spill, data)
        try:
            await asyncio.shield(self._writing)  # the thread goes on even if this is cancelled: see close()
        finally:
            self._budget.left += len(data)

    @property
    def digest(self) -> bytes:
        """See Body."""
        return self._hasher.digest()

    @property
    def traits(self) -> Traits:
        """See Body."""
        traits = Traits.NONE if self._ascii else Traits.EIGHT_BIT
        if self._tail != b"\r\n":
            traits |= Traits.NO_FINAL_CRLF
        if self.has_leading_dots:
            traits |= Traits.HAS_LEADING_DOTS
        return traits | Traits.BARE_CR_OR_LF if self.bare_cr_or_lf else traits

    def chunks(self) -> Iterator[bytes]:
        """See Body. Raises StoreError."""
        offset = 0
        while self._fd >= 0 and (data := self._read(offset)):
            offset += len(data)
            yield data
        if self._held:
            yield bytes(self._held)

    def _read(self, offset: int) -> bytes:
        try:
            return os.pread(self._fd, _READ, offset)
        except OSError as error:
            raise StoreError(f"the spool failed: {error}") from error

    def close(self) -> None:
        """Give everything back."""
        self._budget.left += len(self._held)
        self._held.clear()
        if self._writing is not None and not self._writing.done():
            self._writing.add_done_callback(self._written_for_nobody)  # its descriptor must not become another's
        else:
            self._close_file()

    def _written_for_nobody(self, writing: "asyncio.Future[None]") -> None:
        if not writing.cancelled():
            writing.exception()  # seen
        self._close_file()

    def _close_file(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _spill(self, data: bytearray) -> None:
        """In a thread."""
        try:
            if self._fd < 0:
                self._fd, name = tempfile.mkstemp(dir=self._budget.folder, prefix="spool-")
                Path(name).unlink()
            view = memoryview(data)
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StoreFullError(f"no space left in the spool: {error}") from error
            raise StoreError(f"the spool failed: {error}") from error
