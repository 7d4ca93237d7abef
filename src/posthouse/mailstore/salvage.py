"""The whole messages of a store that are in no mailbox, ready to be looked at and filed."""

import contextlib
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import apsw

from posthouse.database.connection import open_reader
from posthouse.mailstore.fsck import loose_of, pack_files
from posthouse.mailstore.interface import StoreError
from posthouse.mailstore.loose import Loose, Report, Unreadable, head_at
from posthouse.mailstore.sqlite import recovering
from posthouse.mailstore.sqlite.layout import DATABASE, PACKS

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class LooseMessage:
    """A record that no message refers to, and what is in it. `headed`: its pack has the head of this store."""

    record: Loose
    path: Path
    headed: bool
    written: int  # when the pack was last written to, seconds since 1970

    def prefixes(self) -> bytes:
        """The trace headers of all its recipients. Raises OSError."""
        return b"".join(self._read(self.record.prefixes_at, self.record.body_at))

    def body(self) -> Iterator[bytes]:
        """The body, a piece at a time. Raises OSError."""
        return self._read(self.record.body_at, self.record.end)

    def _read(self, start: int, end: int) -> Iterator[bytes]:
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            while start < end and (chunk := os.pread(fd, min(_CHUNK, end - start), start)):
                yield chunk
                start += len(chunk)
        finally:
            os.close(fd)


def refuse(what: Unreadable) -> None:
    """For who cannot go on without what the disk does not give. Raises StoreError."""
    raise StoreError(f"pack {what.pack} cannot be read at {what.offset}: {what.reason}")


def loose_messages(folder: Path, unreadable: Report = refuse) -> Iterator[LooseMessage]:
    """All of them, by pack and place. `unreadable` is called for what the disk does not give. Raises StoreError."""
    try:
        with closing(open_reader(folder / DATABASE)) as connection:
            lost = recovering.orphans(connection)
            for pack, path in pack_files(folder / PACKS):
                headed, written = False, 0
                with contextlib.suppress(OSError):  # what matters of it is reported below
                    written = int(path.stat().st_mtime)
                    headed = head_at(path) is not None
                for record in loose_of(path, pack, connection, lost, unreadable):
                    yield LooseMessage(record, path, headed, written)
    except (apsw.Error, OSError) as error:
        raise StoreError(f"{folder}: {error}") from error
