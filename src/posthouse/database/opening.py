"""The one way to open a database of the data folder: it is there or may be made, is ours, is known to this version.

Each fault has its own error, whose text is a sentence: gone, no database, damaged, forbidden, too new. A file of a
later version is not written at all. Files that may be lost are put aside and created again instead.
"""

import contextlib
import errno
import itertools
import logging
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from pathlib import Path

import apsw

from posthouse.database.connection import Durability, check_usable, configure, connect, log_of, open_reader
from posthouse.database.errors import (
    DatabaseDamagedError,
    DatabaseForbiddenError,
    DatabaseGoneError,
    DatabaseUnusableError,
    NotADatabaseError,
    SchemaTooNewError,
)
from posthouse.database.locks import FileLock
from posthouse.database.migrations import Steps, check_schema, migrate, schema_version

ASIDE = ".aside"  # the end of the name of a file that was replaced


class OpenPolicy(Enum):
    """What to do about a file that is missing or cannot be used."""

    EXISTING = "existing"  # it must be there
    CREATE = "create"  # made when it is missing
    REPLACE = (
        "replace"  # it may be lost: made when missing, put aside and made again when damaged or of a later version
    )


def open_database(
    path: Path,
    rooms: Mapping[str, Steps],
    *,
    policy: OpenPolicy = OpenPolicy.EXISTING,
    durability: Durability = Durability.FULL,
    cache_kib: int = 4096,
    checkpoint_pages: int = 8000,
    first: Callable[[apsw.Connection], None] = lambda connection: None,
) -> apsw.Connection:
    """A connection that may write, to a file whose tables are up to date.

    `rooms`: the migrations of each room that has tables in it; the owner of the file is "". `first` is called with
    the connection; damage that it meets counts as the file's.
    Raises DatabaseUnusableError and its kinds, apsw.Error for what may pass (busy, full), OSError.
    """

    def attempt() -> apsw.Connection:
        with contextlib.ExitStack() as undo, translate_errors(path):
            if policy is OpenPolicy.EXISTING:
                check_filled(path)
            connection = connect(path, create=policy is not OpenPolicy.EXISTING)
            undo.callback(connection.close)
            check_schema(connection, rooms)
            if policy is OpenPolicy.EXISTING and _is_blank(connection, rooms):
                raise DatabaseGoneError(path, "is empty")
            configure(connection, durability=durability, cache_kib=cache_kib, checkpoint_pages=checkpoint_pages)
            try:
                for room, steps in rooms.items():
                    migrate(connection, steps, room=room)
            except apsw.SQLError as error:
                if policy is not OpenPolicy.REPLACE:
                    raise
                # Its version says that tables are missing which are there, or the other way round.
                raise DatabaseDamagedError(path, f"is damaged ({error})") from error
            first(connection)
            undo.pop_all()
            return connection

    return _replacing(path, attempt) if policy is OpenPolicy.REPLACE else attempt()


def open_existing_reader(path: Path) -> apsw.Connection:
    """As open_reader(), but says what is wrong with a file by the same errors as open_database()."""
    with translate_errors(path):
        check_usable(path)
        check_filled(path)
        connection = open_reader(path)
        if not connection.execute("SELECT EXISTS (SELECT 1 FROM sqlite_schema)").get:
            connection.close()
            raise DatabaseGoneError(path, "is empty")
        return connection


def check_filled(path: Path) -> None:
    """Refuse an empty file before SQLite sees it, which removes the log beside it. Raises OSError."""
    if path.stat().st_size == 0:
        raise DatabaseGoneError(path, "is empty")


def check_all_pages(connection: apsw.Connection) -> None:
    """For `first`: read all of the file. Raises apsw.CorruptError. Takes some 100 ms for 100 MB."""
    if (found := connection.pragma("quick_check")) != "ok":
        raise apsw.CorruptError(str(found))


@contextlib.contextmanager
def translate_errors(path: Path) -> Iterator[None]:
    """Turn the errors of SQLite and of the system that concern a whole file into our own."""
    try:
        yield
    except FileNotFoundError:
        raise DatabaseGoneError(path, "is gone") from None
    except apsw.NotADBError as error:
        raise NotADatabaseError(path, "is no database") from error
    except apsw.CorruptError as error:
        raise DatabaseDamagedError(path, f"is damaged ({error})") from error
    except IsADirectoryError as error:
        raise NotADatabaseError(path, "is no database but a folder") from error
    except (PermissionError, apsw.PermissionsError, apsw.AuthError) as error:
        raise DatabaseForbiddenError(path, "may not be read and written by this user") from error
    except apsw.ReadOnlyError as error:
        raise DatabaseForbiddenError(path, "cannot be written: it is read-only") from error
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        raise DatabaseForbiddenError(path, "stands on a file system that is read-only") from error
    except apsw.CantOpenError as error:
        raise DatabaseUnusableError(path, f"cannot be opened ({error})") from error


def put_aside(path: Path, *, replace: bool = True) -> Path:
    """Rename a database with its log, either of which may be missing; its new name. Raises OSError.

    One that was put aside before is replaced; without `replace` it stays, and the new name has a number.
    """
    aside = path.with_name(path.name + ASIDE)
    numbers = itertools.count(2)
    while not replace and _is_taken(aside, path):
        aside = path.with_name(f"{path.name}{ASIDE}{next(numbers)}")
    for end in ("-wal", ""):  # the log first: it must never meet another file of the old name
        old = path.with_name(path.name + end)
        new = aside.with_name(aside.name + end)
        if old.exists():
            old.rename(new)
        elif replace:
            new.unlink(missing_ok=True)
    path.with_name(path.name + "-shm").unlink(missing_ok=True)
    return aside


def _is_taken(aside: Path, path: Path) -> bool:
    """Whether another database stands there. A log alone is that of `path` if `path` has none: killed half-way."""
    return aside.exists() or (log_of(aside).exists() and log_of(path).exists())


def _replacing(path: Path, attempt: Callable[[], apsw.Connection]) -> apsw.Connection:
    """The process that finds a file damaged puts that very file aside: another process may have been first."""
    for _ in range(3):
        before = _file_number(path)
        try:
            return attempt()
        except (DatabaseDamagedError, NotADatabaseError, SchemaTooNewError) as error:
            if path.is_dir():
                raise
            lock = FileLock(path.with_name(path.name + ".lock"))
            try:
                with lock:
                    if before is not None and _file_number(path) == before:
                        aside = put_aside(path)
                        logging.getLogger(__name__).warning("%s; created again, the old one is %s", error, aside.name)
            finally:
                lock.close()
    return attempt()


def _file_number(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def _is_blank(connection: apsw.Connection, rooms: Mapping[str, Steps]) -> bool:
    """Whether nothing was ever made in the file: then it is not the one that is looked for."""
    if any(schema_version(connection, room) for room in rooms):
        return False
    return not connection.execute("SELECT EXISTS (SELECT 1 FROM sqlite_schema)").get
