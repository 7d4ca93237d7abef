"""A tree of Maildirs as mbsync and offlineimap keep them: what is in it, and what a user does to it offline."""

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.interop.imap.account import Seen, digest, known

LETTERS = {"D": "\\Draft", "F": "\\Flagged", "R": "\\Answered", "S": "\\Seen", "T": "\\Deleted"}


def _as_is(name: str) -> str:
    return name


@dataclass
class MaildirTree:
    """`root` holds a folder of files per mailbox; the path below `root` is its encoded name."""

    root: Path
    encode: Callable[[str], str] = _as_is
    decode: Callable[[str], str] = _as_is
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def folders(self) -> dict[str, Path]:
        """Every mailbox with its path."""
        return {self.decode(str(cur.parent.relative_to(self.root))): cur.parent for cur in self.root.rglob("cur")}

    def files(self, folder: str) -> list[Path]:
        """The messages of a mailbox, in the order of their names."""
        where = self.folders()[folder]
        return sorted(path for name in ("cur", "new") for path in (where / name).iterdir())

    def contents(self) -> dict[str, list[Seen]]:
        """Every message, sorted, as the server should have it: lines end with CRLF there."""
        return {
            folder: sorted(Seen(digest(octets(path)), flags_of(path)) for path in self.files(folder))
            for folder in self.folders()
        }

    def add(self, folder: str, message: bytes) -> None:
        """A message that a local program wrote, unread."""
        name = f"1700000000.M{next(self._numbers)}P1.here"
        (self.folders()[folder] / "new" / name).write_bytes(message.replace(b"\r\n", b"\n"))

    def make(self, folder: str) -> None:
        """A new mailbox."""
        for name in ("cur", "new", "tmp"):
            (self.root / self.encode(folder) / name).mkdir(parents=True)


def octets(path: Path) -> bytes:
    """A message as the server has it: in files, lines end with LF."""
    return re.sub(rb"\r?\n", b"\r\n", path.read_bytes())


def flags_of(path: Path) -> tuple[str, ...]:
    """The IMAP flags that a file's name stands for."""
    match = re.search(r":2,([A-Za-z]*)$", path.name)
    return known(LETTERS[letter] for letter in (match[1] if match else ""))


def flag(path: Path, letters: str) -> None:
    """Set the flags of a message to exactly these Maildir letters."""
    base = path.name.partition(":2,")[0]
    path.rename(path.parent.parent / "cur" / f"{base}:2,{''.join(sorted(letters))}")
