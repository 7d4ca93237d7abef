"""Changes to the directory, one transaction each; safe beside a running server and beside each other."""

import secrets
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType

from posthouse.accounts.passwords import PasswordHasher
from posthouse.accounts.sqlite.accounts import SqliteAccounts
from posthouse.accounts.sqlite.aliases import SqliteAliases
from posthouse.accounts.sqlite.domains import SqliteDomains
from posthouse.accounts.sqlite.identities import SqliteIdentities
from posthouse.accounts.sqlite.signing_keys import NewKey, generated
from posthouse.accounts.sqlite.writer import DirectoryWriter


class SqliteRegistry:
    """Adds, changes, lists and removes. Addresses are text as people type it.

    Every method raises AccountsError with a sentence that names the fix, and has then changed nothing. Each change is
    durable when the method returns. Not for the event loop: a new password takes tens of milliseconds,
    a commit a disk write.
    """

    def __init__(
        self,
        path: Path,
        *,
        hasher: PasswordHasher | None = None,
        separator: str = "+",
        clock: Callable[[], float] = time.time,
        new_id: Callable[[], int] = lambda: secrets.randbits(62),
        new_key: NewKey = generated,
        create: bool = True,
    ) -> None:
        """Open `path`, with `create` made when missing. Raises DirectoryBusyError, DirectoryUnusableError."""
        self._writer = DirectoryWriter(path, create=create)
        self.domains = SqliteDomains(self._writer, clock, new_key)
        self.accounts = SqliteAccounts(self._writer, hasher or PasswordHasher(), clock, new_id)
        self.identities = SqliteIdentities(self._writer)
        self.aliases = SqliteAliases(self._writer, separator)

    def __enter__(self) -> "SqliteRegistry":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._writer.close()

    def together(self, *, keep: bool = True) -> AbstractContextManager[None]:
        """Make all changes inside one transaction. A change that raises is undone alone; the others stay.

        Without `keep` all are undone at the end: to see what could not be done.
        """
        return self._writer.together(keep=keep)
