"""directory.db as it is read by look-ups: whether anything has changed, and answers from one state of it.

`PRAGMA data_version` costs 2 us and changes exactly when another connection, here or in another process, has
committed to the file. What is remembered is dropped whole then: changes of accounts are rare, look-ups are not.
"""

import logging
import time
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Generic, TypeVar

import apsw

from posthouse.accounts.errors import DirectoryBusyError, DirectoryUnusableError
from posthouse.accounts.sqlite.connection import open_directory
from posthouse.accounts.sqlite.rows import SqliteRows
from posthouse.database.errors import DatabaseUnusableError

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
_COMPLAIN_EVERY = 60.0  # seconds


class DirectoryReader:
    """One connection for all look-ups of a process. Belongs to one event loop's thread."""

    def __init__(self, path: Path) -> None:
        """Open `path`, which must be there. Raises DirectoryBusyError, DirectoryUnusableError."""
        self.path = path
        try:
            self.connection = open_directory(path)
        except DatabaseUnusableError as error:
            raise DirectoryUnusableError(str(error)) from error
        except (apsw.Error, OSError) as error:
            raise DirectoryBusyError(f"{path} cannot be opened: {error}") from error
        self.rows = SqliteRows(self.connection)
        self._execute = self.connection.cursor().execute
        self._silent_until = 0.0  # monotonic

    def close(self) -> None:
        """Let go of the file."""
        self.connection.close()

    def version(self) -> object:
        """Another value after every change. Raises DirectoryBusyError."""
        try:
            return self._execute("PRAGMA data_version").get
        except apsw.Error as error:
            raise self._unreadable(error) from error

    def look_up(self, answer: Callable[[], T]) -> T:
        """What `answer` returns, from one state of the file. Raises DirectoryBusyError."""
        try:
            self._execute("BEGIN")
            try:
                return answer()
            finally:
                self._execute("COMMIT")
        except apsw.Error as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: apsw.Error) -> DirectoryBusyError:
        """What to raise; that it happens is logged once a minute, for all logins and recipients fail of it."""
        text, now = f"{self.path} cannot be read: {error}", time.monotonic()
        if now >= self._silent_until:
            self._silent_until = now + _COMPLAIN_EVERY
            logging.getLogger(__name__).error(text)
        return DirectoryBusyError(text)


class Answers(dict[K, T], Generic[K, T]):
    """Answers to be given again until the directory changes. Bounded: anybody may ask for any address."""

    MOST = 32_768  # of one kind
    LONGEST = 320  # characters: a longer name is nobody's

    def keep(self, key: K, answer: T, length: int) -> None:
        """Remember an answer. `length`: characters of the name that was asked for."""
        if length > self.LONGEST:
            return
        if len(self) >= self.MOST:
            self.clear()
        self[key] = answer
