"""Whether the parts of a data folder belong together: to each other, to the packs, and to the same time."""

from collections import Counter
from pathlib import Path

from posthouse.accounts.sqlite.connection import ROOMS as DIRECTORY_ROOMS
from posthouse.app.data_folder.data_paths import DataPaths
from posthouse.app.data_folder.parts import (
    ACCEPT,
    LOST_MAIL,
    MAIL_ROOMS,
    PACKS_MOUNTED,
    SAME_TIME,
    FolderError,
    Parts,
    fix_of,
    look,
    require_current,
    require_packs,
)
from posthouse.app.data_folder.store_card import StoreCardError, read_card
from posthouse.database.errors import (
    DatabaseError,
    DatabaseUnusableError,
    SchemaTooNewError,
)
from posthouse.database.identity import Identity, inspect
from posthouse.mailstore.fsck import pack_files
from posthouse.mailstore.interface import StoreError
from posthouse.mailstore.loose import head_at
from posthouse.mailstore.sqlite.presence import Presence, presence

_MOST_NAMED = 5  # packs named in a sentence


def check(parts: Parts, paths: DataPaths) -> None:
    """Refuse parts that do not belong together. Raises FolderError."""
    if parts.card is None:
        _check_unnamed(parts, paths)
        return
    for path, part in ((paths.mail, parts.mail), (paths.directory, parts.directory)):
        if part is None:
            raise FolderError(f"{path} is older than the rest of {paths.data}: it has no id", _older_fix())
        if part.store != parts.card.store:
            check_mail_is_of_packs(parts, paths)
            text = f"{path} belongs to another mail store ({part.store.hex()[:8]}) than the rest of {paths.data}"
            raise FolderError(f"{text} ({parts.card.store.hex()[:8]})", _older_fix())
    if older := _older(parts, paths):
        names = " and ".join(path.name for path in older)
        verb = "is" if len(older) == 1 else "are"
        raise FolderError(f"{names} in {paths.data} {verb} from an earlier time than the rest", _older_fix())


def check_ids(paths: DataPaths, *, mail: bool) -> None:
    """As look() and check() for a command beside a server, which may do with less than all parts.

    `mail`: it opens posthouse.db, which must be fit for that; else it need not be there. Raises FolderError.
    """
    try:
        card = read_card(paths.card)
    except (StoreCardError, SchemaTooNewError, OSError):
        card = None
    if mail:
        require_current(paths)
    known: dict[Path, Identity | None] = {}
    for path, rooms, needed in ((paths.mail, MAIL_ROOMS, mail), (paths.directory, DIRECTORY_ROOMS, not mail)):
        try:
            known[path] = inspect(path, rooms)
        except DatabaseUnusableError as error:
            if needed:
                raise FolderError(str(error), fix_of(error)) from error
        except DatabaseError:  # busy or full: the command itself will say so
            return
    parts = Parts(card, known.get(paths.mail), known.get(paths.directory))
    if card is not None and known.keys() == {paths.mail, paths.directory}:
        check(parts, paths)
    elif len({part.store for part in (parts.card, parts.mail, parts.directory) if part is not None}) > 1:
        path = paths.mail if parts.mail is not None else paths.directory
        raise FolderError(f"{path} belongs to another mail store than the rest of {paths.data}", _older_fix())


def complaints(paths: DataPaths) -> list[FolderError]:
    """What a start would refuse."""
    found: list[FolderError] = []
    parts: Parts | None = None
    try:
        parts = look(paths)
        check(parts, paths)
        check_salvaged(parts, paths)
    except FolderError as error:
        found.append(error)
    try:
        check_packs(parts or Parts(None, None, None), paths)
    except FolderError as error:
        if parts is not None or not isinstance(error.__cause__, StoreError):  # else said already
            found.append(error)
    return found


def check_mail_is_of_packs(parts: Parts, paths: DataPaths) -> None:
    """Refuse a posthouse.db that knows nothing of the mail in packs/, which another one does. Raises FolderError.

    It is not to be accepted: every message would be missing, and new ones would stand among those of the other.
    """
    if parts.card is None or parts.mail is None or parts.mail.store == parts.card.store:
        return
    try:
        heads = Counter(head.store for _, path in pack_files(paths.packs) if (head := head_at(path)) is not None)
    except OSError:  # check_packs() says what is wrong with them
        return
    if heads[parts.card.store] and not heads[parts.mail.store]:
        raise FolderError(
            f"{paths.mail} belongs to another mail store ({parts.mail.store.hex()[:8]}): it knows none of the messages"
            f" in {heads.total()} packs of this one ({parts.card.store.hex()[:8]})",
            f"{SAME_TIME}; or, if there is none, move this one away with its -wal, and file what is in packs/ anew:"
            " posthouse fsck --salvage",
        )


def _older_fix() -> str:
    return f"{SAME_TIME}, {ACCEPT}"


def _check_unnamed(parts: Parts, paths: DataPaths) -> None:
    """Without store.json: never named, or never finished; else it was lost."""
    named = [part for part in (parts.mail, parts.directory) if part is not None]
    if any(part.generation for part in named):
        raise FolderError(f"{paths.card} is gone", f"{SAME_TIME}, {ACCEPT}")
    if len({part.store for part in named}) > 1:
        text = f"{paths.mail} and {paths.directory.name} belong to different mail stores"
        raise FolderError(text, _older_fix())


def _older(parts: Parts, paths: DataPaths) -> list[Path]:
    """The parts that no crash can have left behind the others."""
    assert parts.card is not None and parts.mail is not None and parts.directory is not None
    card, mail, directory = parts.card.generation, parts.mail.generation, parts.directory.generation
    if card <= directory <= mail <= card + 1:
        return []
    latest = max(card, mail, directory)
    states = ((paths.mail, mail), (paths.directory, directory), (paths.card, min(card + 1, latest)))
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


def check_salvaged(parts: Parts, paths: DataPaths) -> None:
    """Refuse a folder with messages that posthouse.db may not know: their space counts as free. Raises FolderError."""
    if parts.card is not None and parts.card.salvage_due:
        raise FolderError(
            f"{paths.mail} may not know all the messages in {paths.packs}, which a server would overwrite",
            "Have them filed first: posthouse fsck --salvage",
        )


def check_packs(parts: Parts, paths: DataPaths) -> Presence:
    """Refuse a folder that lacks packs which messages are in, unless that was accepted. Raises FolderError."""
    require_packs(paths)
    try:
        found = presence(paths.data, accepted=parts.card.missing_packs if parts.card else ())
    except StoreError as error:
        raise FolderError(str(error), LOST_MAIL) from error
    except OSError as error:
        raise FolderError(f"{paths.packs} cannot be read ({error})", PACKS_MOUNTED) from error
    if found.missing:
        raise FolderError(
            f"{_named(found.missing)} of {paths.packs} {'is' if len(found.missing) == 1 else 'are'} missing,"
            f" with {found.messages} messages",
            f"{PACKS_MOUNTED}, or accept that these messages are lost: posthouse fsck --accept",
        )
    if found.foreign:
        verb = "belongs" if len(found.foreign) == 1 else "belong"
        raise FolderError(f"{_named(found.foreign)} of {paths.packs} {verb} to another mail store", _older_fix())
    return found


def _named(packs: tuple[int, ...]) -> str:
    names = ", ".join(f"{pack}.pack" for pack in packs[:_MOST_NAMED])
    return f"{names} and {len(packs) - _MOST_NAMED} more" if len(packs) > _MOST_NAMED else names
