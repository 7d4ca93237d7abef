"""The data folder as a whole: what it is made of, and what its parts say of themselves.

Its name, a random id, stands in store.json, posthouse.db and directory.db. Beside it stands a generation, which a
server raises when it starts: first in posthouse.db, then in directory.db, then in store.json, by one beyond what
store.json says. A crash on the way leaves the first, or the first two, one ahead, and the next start completes the
same step. Anything else was put together from different times.

Folders of the first versions have no name. They get one at their first start: while no database has a generation
above 0 nothing can have been lost since.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from posthouse.accounts.sqlite.connection import ROOMS as DIRECTORY_ROOMS
from posthouse.app.data_folder.data_paths import DataPaths
from posthouse.app.data_folder.disk_errors import disk_fix
from posthouse.app.data_folder.permissions import access_fix
from posthouse.app.data_folder.store_card import StoreCard, StoreCardError, read_card
from posthouse.app.errors import CommandError, Exit
from posthouse.database.connection import has_log
from posthouse.database.errors import (
    DatabaseDamagedError,
    DatabaseError,
    DatabaseForbiddenError,
    DatabaseGoneError,
    DatabaseUnusableError,
    ForeignLogError,
    NotADatabaseError,
    SchemaTooNewError,
)
from posthouse.database.identity import STORE_OCTETS, Identity, inspect, is_outdated
from posthouse.database.migrations import Steps
from posthouse.mailstore.sqlite.migrations import MIGRATIONS
from posthouse.mailstore.sqlite.presence import pack_sizes
from posthouse.queue.sqlite.schema import MIGRATIONS as QUEUE_MIGRATIONS
from posthouse.queue.sqlite.schema import ROOM as QUEUE_ROOM

MAIL_ROOMS: Mapping[str, Steps] = {"": MIGRATIONS, QUEUE_ROOM: QUEUE_MIGRATIONS}

SAME_TIME = (
    "Restore it from the backup of the same time as the rest (a database and its -wal go together: move both away,"
    " remove neither, and put both back)"
)
LOST_MAIL = f"{SAME_TIME}, or file what is in packs/ anew: posthouse fsck --salvage"
_LOST_DIRECTORY = (
    f"{SAME_TIME}; or begin a new one with posthouse domain add NAME, add all accounts before the server starts (mail"
    " to those that are not there is refused for good), and give them the mail with posthouse fsck --adopt ADDRESS"
)
ACCEPT = "or, when these are all there are, accept them as they are: posthouse fsck --accept"
PACKS_MOUNTED = "Is the disk of that folder mounted? Else restore it from a backup"


class FolderError(CommandError):
    """The parts of a data folder are not what they must be. Nothing was changed."""

    def __init__(self, text: str, fix: str) -> None:
        super().__init__(text, fix=fix, code=Exit.CONFIG)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the parts say of themselves. A database may be there without an identity: it is of a first version."""

    card: StoreCard | None
    mail: Identity | None
    directory: Identity | None

    @property
    def store(self) -> bytes:
        """The folder's id; a new one when no part has any. The mail has the last word: its packs have it, too."""
        named = self.mail or self.card or self.directory
        return named.store if named is not None else secrets.token_bytes(STORE_OCTETS)

    @property
    def generation(self) -> int:
        """The latest of all."""
        return max(part.generation for part in (self.card, self.mail, self.directory, _NEVER) if part is not None)


_NEVER = Identity(b"", 0)


def is_new(paths: DataPaths) -> bool:
    """Whether there is nothing of a mail store in a folder, nor the folder."""
    if paths.card.exists() or has_mail(paths) or has_directory(paths) or has_log(paths.mail):
        return False
    return not pack_sizes(paths.packs)


def has_mail(paths: DataPaths) -> bool:
    """Whether there is a posthouse.db, whatever its state; one that nothing was ever made in does not count."""
    return _is_there(paths.mail, MAIL_ROOMS)


def has_directory(paths: DataPaths) -> bool:
    """Whether there is a directory.db, in the same sense."""
    return _is_there(paths.directory, DIRECTORY_ROOMS)


def _is_there(path: Path, rooms: Mapping[str, Steps]) -> bool:
    try:
        inspect(path, rooms)
    except DatabaseGoneError:
        return False
    except DatabaseError:
        return True
    return True


def require_store(paths: DataPaths) -> None:
    """Refuse a folder without any mail store: its disk may not be mounted. Changes nothing. Raises FolderError."""
    if not paths.data.is_dir():
        raise FolderError(f"there is no data folder at {paths.data}", _NOT_MOUNTED)
    if is_new(paths):
        raise FolderError(f"there is no mail store in {paths.data}", _NOT_MOUNTED)


_NOT_MOUNTED = "Is its disk mounted? A new mail store is made by: posthouse domain add NAME"


def look(paths: DataPaths) -> Parts:
    """Read what the parts say of themselves. Raises FolderError when one is gone or cannot be used."""
    try:
        card = read_card(paths.card)
    except SchemaTooNewError as error:
        raise FolderError(str(error), fix_of(error)) from error
    except (StoreCardError, OSError) as error:
        what = error if isinstance(error, StoreCardError) else f"cannot be read ({error})"
        raise FolderError(f"{paths.card} {what}", f"{SAME_TIME}, {ACCEPT}") from error
    return replace(inspected(paths), card=card)


def inspected(paths: DataPaths, *, thorough: bool = False) -> Parts:
    """The same without store.json. `thorough`: every page of the databases is looked at."""
    mail = _inspected(paths.mail, MAIL_ROOMS, thorough)
    return Parts(None, mail, _inspected(paths.directory, DIRECTORY_ROOMS, thorough))


def _inspected(path: Path, rooms: Mapping[str, Steps], thorough: bool) -> Identity | None:
    try:
        return inspect(path, rooms, thorough=thorough)
    except DatabaseUnusableError as error:
        raise FolderError(str(error), fix_of(error)) from error


def refusal(error: Exception, code: Exit = Exit.FAILED) -> CommandError:
    """How a command ends when the store, the queue or the directory raised this. `code`: if no file is to blame."""
    cause = error if isinstance(error, DatabaseUnusableError) else error.__cause__
    if isinstance(cause, DatabaseUnusableError):
        return FolderError(str(cause), fix_of(cause))
    return CommandError(str(error), fix=disk_fix(error), code=code)


def fix_of(error: BaseException | None) -> str:
    """What to do about a database that cannot be used; "" about anything else."""
    if not isinstance(error, DatabaseUnusableError):
        return "" if error is None else disk_fix(error)
    if isinstance(error, SchemaTooNewError):
        return "Nothing was changed. Run the version of Posthouse that wrote it, or a newer one."
    if isinstance(error, ForeignLogError):
        name = error.path.name
        return f"Put back the {name} that {name}-wal was beside; or put back the right -wal with this one, or none."
    if isinstance(error, DatabaseForbiddenError):
        return access_fix(error.path, error.path.parent)
    return LOST_MAIL if error.path.name == "posthouse.db" else _LOST_DIRECTORY


def require_readable(paths: DataPaths) -> None:
    """Refuse a posthouse.db that cannot be asked, unless by damage, and a folder without packs. Raises FolderError."""
    try:
        inspect(paths.mail, MAIL_ROOMS)
        require_current(paths)
    except (NotADatabaseError, DatabaseDamagedError):
        pass
    except DatabaseUnusableError as error:
        raise FolderError(str(error), fix_of(error)) from error
    require_packs(paths)


def require_current(paths: DataPaths) -> None:
    """Refuse a posthouse.db of an earlier version: only a start brings all parts up to date. Raises FolderError."""
    try:
        outdated = is_outdated(paths.mail, MAIL_ROOMS)
    except DatabaseError:  # the command that opens it reports it
        return
    if outdated:
        fix = "Start the server once: it brings the folder up to date."
        raise FolderError(f"{paths.mail} is of an earlier version of Posthouse", fix)


def require_packs(paths: DataPaths) -> None:
    """Refuse a folder without packs/. Raises FolderError."""
    if not paths.packs.is_dir():
        raise FolderError(f"{paths.packs} is gone", f"{PACKS_MOUNTED}, {ACCEPT}")
