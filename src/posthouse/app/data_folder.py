"""The data folder as a whole: what it is made of, whether its parts belong together, and how one is begun.

Its name, a random id, stands in store.json, posthouse.db and directory.db. Beside it stands a generation, which a
server raises when it starts: first in posthouse.db, then in directory.db, then in store.json, by one beyond what
store.json says. A crash on the way leaves the first, or the first two, one ahead, and the next start completes the
same step. Anything else was put together from different times.

Folders of the first versions have no name. They get one at their first start: while no database has a generation
above 0 nothing can have been lost since.
"""

import secrets
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from posthouse.accounts.sqlite.connection import ROOMS as DIRECTORY_ROOMS
from posthouse.app.disk_errors import disk_fix
from posthouse.app.errors import CommandError, Exit
from posthouse.app.permissions import access_fix
from posthouse.app.places import Places
from posthouse.app.store_card import StoreCard, StoreCardError, new_card, read_card, write_card
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
from posthouse.database.identity import STORE_OCTETS, Identity, claim_identity, inspect, is_outdated, set_identity
from posthouse.database.migrations import Steps
from posthouse.mailstore.fsck import pack_files
from posthouse.mailstore.interface import StoreError
from posthouse.mailstore.loose import head_at
from posthouse.mailstore.pack_writer import pack_path
from posthouse.mailstore.records import PackHead
from posthouse.mailstore.sqlite.migrations import MIGRATIONS
from posthouse.mailstore.sqlite.presence import Presence, pack_sizes, presence
from posthouse.queue.sqlite.schema import MIGRATIONS as QUEUE_MIGRATIONS
from posthouse.queue.sqlite.schema import ROOM as QUEUE_ROOM

MAIL_ROOMS: Mapping[str, Steps] = {"": MIGRATIONS, QUEUE_ROOM: QUEUE_MIGRATIONS}

_SAME_TIME = (
    "Restore it from the backup of the same time as the rest (a database and its -wal go together: move both away,"
    " remove neither, and put both back)"
)
_LOST_MAIL = f"{_SAME_TIME}, or file what is in packs/ anew: posthouse fsck --salvage"
_LOST_DIRECTORY = (
    f"{_SAME_TIME}; or begin a new one with posthouse domain add NAME, add all accounts before the server starts (mail"
    " to those that are not there is refused for good), and give them the mail with posthouse fsck --adopt ADDRESS"
)
_ACCEPT = "or, when these are all there are, accept them as they are: posthouse fsck --accept"
_PACKS_MOUNTED = "Is the disk of that folder mounted? Else restore it from a backup"
_MOST_NAMED = 5  # packs named in a sentence


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


def is_new(places: Places) -> bool:
    """Whether there is nothing of a mail store in a folder, nor the folder."""
    if places.card.exists() or has_mail(places) or has_directory(places) or has_log(places.mail):
        return False
    return not pack_sizes(places.packs)


def has_mail(places: Places) -> bool:
    """Whether there is a posthouse.db, whatever its state; one that nothing was ever made in does not count."""
    return _is_there(places.mail, MAIL_ROOMS)


def has_directory(places: Places) -> bool:
    """Whether there is a directory.db, in the same sense."""
    return _is_there(places.directory, DIRECTORY_ROOMS)


def _is_there(path: Path, rooms: Mapping[str, Steps]) -> bool:
    try:
        inspect(path, rooms)
    except DatabaseGoneError:
        return False
    except DatabaseError:
        return True
    return True


def require_store(places: Places) -> None:
    """Refuse a folder without any mail store: its disk may not be mounted. Changes nothing. Raises FolderError."""
    if not places.data.is_dir():
        raise FolderError(f"there is no data folder at {places.data}", _NOT_MOUNTED)
    if is_new(places):
        raise FolderError(f"there is no mail store in {places.data}", _NOT_MOUNTED)


_NOT_MOUNTED = "Is its disk mounted? A new mail store is made by: posthouse domain add NAME"


def look(places: Places) -> Parts:
    """Read what the parts say of themselves. Raises FolderError when one is gone or cannot be used."""
    try:
        card = read_card(places.card)
    except SchemaTooNewError as error:
        raise FolderError(str(error), fix_of(error)) from error
    except (StoreCardError, OSError) as error:
        what = error if isinstance(error, StoreCardError) else f"cannot be read ({error})"
        raise FolderError(f"{places.card} {what}", f"{_SAME_TIME}, {_ACCEPT}") from error
    return replace(inspected(places), card=card)


def inspected(places: Places, *, thorough: bool = False) -> Parts:
    """The same without store.json. `thorough`: every page of the databases is looked at."""
    mail = _inspected(places.mail, MAIL_ROOMS, thorough)
    return Parts(None, mail, _inspected(places.directory, DIRECTORY_ROOMS, thorough))


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
    return _LOST_MAIL if error.path.name == "posthouse.db" else _LOST_DIRECTORY


def check(parts: Parts, places: Places) -> None:
    """Refuse parts that do not belong together. Raises FolderError."""
    if parts.card is None:
        _check_unnamed(parts, places)
        return
    for path, part in ((places.mail, parts.mail), (places.directory, parts.directory)):
        if part is None:
            raise FolderError(f"{path} is older than the rest of {places.data}: it has no id", _older_fix())
        if part.store != parts.card.store:
            check_mail_is_of_packs(parts, places)
            text = f"{path} belongs to another mail store ({part.store.hex()[:8]}) than the rest of {places.data}"
            raise FolderError(f"{text} ({parts.card.store.hex()[:8]})", _older_fix())
    if older := _older(parts, places):
        names = " and ".join(path.name for path in older)
        verb = "is" if len(older) == 1 else "are"
        raise FolderError(f"{names} in {places.data} {verb} from an earlier time than the rest", _older_fix())


def check_ids(places: Places, *, mail: bool) -> None:
    """As look() and check() for a command beside a server, which may do with less than all parts.

    `mail`: it opens posthouse.db, which must be fit for that; else it need not be there. Raises FolderError.
    """
    try:
        card = read_card(places.card)
    except (StoreCardError, SchemaTooNewError, OSError):
        card = None
    if mail:
        require_current(places)
    known: dict[Path, Identity | None] = {}
    for path, rooms, needed in ((places.mail, MAIL_ROOMS, mail), (places.directory, DIRECTORY_ROOMS, not mail)):
        try:
            known[path] = inspect(path, rooms)
        except DatabaseUnusableError as error:
            if needed:
                raise FolderError(str(error), fix_of(error)) from error
        except DatabaseError:  # busy or full: the command itself will say so
            return
    parts = Parts(card, known.get(places.mail), known.get(places.directory))
    if card is not None and known.keys() == {places.mail, places.directory}:
        check(parts, places)
    elif len({part.store for part in (parts.card, parts.mail, parts.directory) if part is not None}) > 1:
        path = places.mail if parts.mail is not None else places.directory
        raise FolderError(f"{path} belongs to another mail store than the rest of {places.data}", _older_fix())


def require_readable(places: Places) -> None:
    """Refuse a posthouse.db that cannot be asked, unless by damage, and a folder without packs. Raises FolderError."""
    try:
        inspect(places.mail, MAIL_ROOMS)
        require_current(places)
    except (NotADatabaseError, DatabaseDamagedError):
        pass
    except DatabaseUnusableError as error:
        raise FolderError(str(error), fix_of(error)) from error
    require_packs(places)


def require_current(places: Places) -> None:
    """Refuse a posthouse.db of an earlier version: only a start brings all parts up to date. Raises FolderError."""
    try:
        outdated = is_outdated(places.mail, MAIL_ROOMS)
    except DatabaseError:  # the command that opens it reports it
        return
    if outdated:
        fix = "Start the server once: it brings the folder up to date."
        raise FolderError(f"{places.mail} is of an earlier version of Posthouse", fix)


def require_packs(places: Places) -> None:
    """Refuse a folder without packs/. Raises FolderError."""
    if not places.packs.is_dir():
        raise FolderError(f"{places.packs} is gone", f"{_PACKS_MOUNTED}, {_ACCEPT}")


def complaints(places: Places) -> list[FolderError]:
    """What a start would refuse."""
    found: list[FolderError] = []
    parts: Parts | None = None
    try:
        parts = look(places)
        check(parts, places)
        check_salvaged(parts, places)
    except FolderError as error:
        found.append(error)
    try:
        check_packs(parts or Parts(None, None, None), places)
    except FolderError as error:
        if parts is not None or not isinstance(error.__cause__, StoreError):  # else said already
            found.append(error)
    return found


def check_mail_is_of_packs(parts: Parts, places: Places) -> None:
    """Refuse a posthouse.db that knows nothing of the mail in packs/, which another one does. Raises FolderError.

    It is not to be accepted: every message would be missing, and new ones would stand among those of the other.
    """
    if parts.card is None or parts.mail is None or parts.mail.store == parts.card.store:
        return
    try:
        heads = Counter(head.store for _, path in pack_files(places.packs) if (head := head_at(path)) is not None)
    except OSError:  # check_packs() says what is wrong with them
        return
    if heads[parts.card.store] and not heads[parts.mail.store]:
        raise FolderError(
            f"{places.mail} belongs to another mail store ({parts.mail.store.hex()[:8]}): it knows none of the messages"
            f" in {heads.total()} packs of this one ({parts.card.store.hex()[:8]})",
            f"{_SAME_TIME}; or, if there is none, move this one away with its -wal, and file what is in packs/ anew:"
            " posthouse fsck --salvage",
        )


def _older_fix() -> str:
    return f"{_SAME_TIME}, {_ACCEPT}"


def _check_unnamed(parts: Parts, places: Places) -> None:
    """Without store.json: never named, or never finished; else it was lost."""
    named = [part for part in (parts.mail, parts.directory) if part is not None]
    if any(part.generation for part in named):
        raise FolderError(f"{places.card} is gone", f"{_SAME_TIME}, {_ACCEPT}")
    if len({part.store for part in named}) > 1:
        text = f"{places.mail} and {places.directory.name} belong to different mail stores"
        raise FolderError(text, _older_fix())


def _older(parts: Parts, places: Places) -> list[Path]:
    """The parts that no crash can have left behind the others."""
    assert parts.card is not None and parts.mail is not None and parts.directory is not None
    card, mail, directory = parts.card.generation, parts.mail.generation, parts.directory.generation
    if card <= directory <= mail <= card + 1:
        return []
    latest = max(card, mail, directory)
    states = ((places.mail, mail), (places.directory, directory), (places.card, min(card + 1, latest)))
    return [path for path, generation in states if generation < latest]


def may_lack_mail(parts: Parts) -> bool:
    """Whether posthouse.db may be older than the packs, or another store's: unless the other parts say that it is not.

    Then what is in the packs may be unknown to it, and numbers that it gives may have been given.
    """
    card, mail, directory = parts.card, parts.mail, parts.directory
    if card is None or mail is None:
        stores = {part.store for part in (mail, directory) if part is not None}
        return parts.generation > 0 or card is not None or len(stores) > 1
    if mail.store != card.store:
        return True
    others = [part for part in (card, directory) if part is not None and part.store == mail.store]
    return mail.generation < max(part.generation for part in others)  # a start raises that of the mail first


def check_salvaged(parts: Parts, places: Places) -> None:
    """Refuse a folder with messages that posthouse.db may not know: their space counts as free. Raises FolderError."""
    if parts.card is not None and parts.card.salvage_due:
        raise FolderError(
            f"{places.mail} may not know all the messages in {places.packs}, which a server would overwrite",
            "Have them filed first: posthouse fsck --salvage",
        )


def check_packs(parts: Parts, places: Places) -> Presence:
    """Refuse a folder that lacks packs which messages are in, unless that was accepted. Raises FolderError."""
    require_packs(places)
    try:
        found = presence(places.data, accepted=parts.card.missing_packs if parts.card else ())
    except StoreError as error:
        raise FolderError(str(error), _LOST_MAIL) from error
    except OSError as error:
        raise FolderError(f"{places.packs} cannot be read ({error})", _PACKS_MOUNTED) from error
    if found.missing:
        raise FolderError(
            f"{_named(found.missing)} of {places.packs} {'is' if len(found.missing) == 1 else 'are'} missing,"
            f" with {found.messages} messages",
            f"{_PACKS_MOUNTED}, or accept that these messages are lost: posthouse fsck --accept",
        )
    if found.foreign:
        verb = "belongs" if len(found.foreign) == 1 else "belong"
        raise FolderError(f"{_named(found.foreign)} of {places.packs} {verb} to another mail store", _older_fix())
    return found


def _named(packs: tuple[int, ...]) -> str:
    names = ", ".join(f"{pack}.pack" for pack in packs[:_MOST_NAMED])
    return f"{names} and {len(packs) - _MOST_NAMED} more" if len(packs) > _MOST_NAMED else names


def begin(places: Places, log: FilteringBoundLogger) -> None:
    """Start a server on a folder: check all of it, name it if need be, raise its generation.

    Under the server lock. Raises FolderError; then nothing was changed.
    """
    require_store(places)
    parts = look(places)
    check(parts, places)
    found = check_packs(parts, places)
    check_salvaged(parts, places)
    for pack in found.short:
        log.error("a pack is shorter than the mail in it", pack=pack, advice="posthouse fsck names the messages")
    for pack in found.unreadable:
        log.error("the disk does not give the start of a pack", pack=pack, advice="posthouse fsck names the messages")
    try:
        card = parts.card or name(places, parts)
        card = replace(card, missing_packs=_still_missing(places, card))
        _raise_generation(places, card)
    except DatabaseUnusableError as error:
        raise FolderError(str(error), fix_of(error)) from error
    except (DatabaseError, OSError) as error:
        # Full, perhaps: then mail must be read and deleted. It ends where it stands, as by a crash. What is backed up
        # before such a start is not told from what is backed up after it.
        log.warning("this start could not be noted in the data folder", reason=error)


def _still_missing(places: Places, card: StoreCard) -> tuple[int, ...]:
    """The packs whose loss was accepted, without those that have come back: these are looked for again.

    Raises OSError.
    """

    def is_back(pack: int) -> bool:
        path = pack_path(places.packs, pack)
        if not path.exists():
            return False
        head = head_at(path)
        return head is None or head == PackHead(card.store, pack)

    return tuple(pack for pack in card.missing_packs if not is_back(pack))


def name(places: Places, parts: Parts) -> StoreCard:
    """Give the parts their id, store.json last. Interrupted, it is done again, with the same id.

    Raises DatabaseError, OSError.
    """
    store = claim_identity(places.mail, MAIL_ROOMS, parts.store).store
    claim_identity(places.directory, DIRECTORY_ROOMS, store)
    card = new_card(store, 0)
    write_card(places.card, card, schemas())
    return card


def _raise_generation(places: Places, card: StoreCard) -> None:
    raised = Identity(card.store, card.generation + 1)
    set_identity(places.mail, MAIL_ROOMS, raised)
    set_identity(places.directory, DIRECTORY_ROOMS, raised)
    write_card(places.card, replace(card, generation=raised.generation), schemas())


def schemas() -> dict[str, int]:
    """The versions of the tables that this program makes."""
    rooms = {"posthouse.db": MIGRATIONS, f"posthouse.db/{QUEUE_ROOM}": QUEUE_MIGRATIONS}
    return {name: len(steps) for name, steps in {**rooms, "directory.db": DIRECTORY_ROOMS[""]}.items()}
