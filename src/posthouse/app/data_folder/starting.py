"""How a server starts on a data folder: all of it is checked, and its generation raised (see parts.py)."""

from dataclasses import replace

from structlog.typing import FilteringBoundLogger

from posthouse.accounts.sqlite.connection import ROOMS as DIRECTORY_ROOMS
from posthouse.app.data_folder.checks import check, check_packs, check_salvaged
from posthouse.app.data_folder.data_paths import DataPaths
from posthouse.app.data_folder.parts import (
    MAIL_ROOMS,
    FolderError,
    Parts,
    fix_of,
    look,
    require_store,
)
from posthouse.app.data_folder.store_card import StoreCard, new_card, write_card
from posthouse.database.errors import (
    DatabaseError,
    DatabaseUnusableError,
)
from posthouse.database.identity import Identity, claim_identity, set_identity
from posthouse.mailstore.loose import head_at
from posthouse.mailstore.pack_writer import pack_path
from posthouse.mailstore.records import PackHead
from posthouse.mailstore.sqlite.migrations import MIGRATIONS
from posthouse.queue.sqlite.schema import MIGRATIONS as QUEUE_MIGRATIONS
from posthouse.queue.sqlite.schema import ROOM as QUEUE_ROOM


def begin(paths: DataPaths, log: FilteringBoundLogger) -> None:
    """Start a server on a folder: check all of it, name it if need be, raise its generation.

    Under the server lock. Raises FolderError; then nothing was changed.
    """
    require_store(paths)
    parts = look(paths)
    check(parts, paths)
    found = check_packs(parts, paths)
    check_salvaged(parts, paths)
    for pack in found.short:
        log.error("a pack is shorter than the mail in it", pack=pack, advice="posthouse fsck names the messages")
    for pack in found.unreadable:
        log.error("the disk does not give the start of a pack", pack=pack, advice="posthouse fsck names the messages")
    try:
        card = parts.card or name(paths, parts)
        card = replace(card, missing_packs=_still_missing(paths, card))
        _raise_generation(paths, card)
    except DatabaseUnusableError as error:
        raise FolderError(str(error), fix_of(error)) from error
    except (DatabaseError, OSError) as error:
        # Full, perhaps: then mail must be read and deleted. It ends where it stands, as by a crash. What is backed up
        # before such a start is not told from what is backed up after it.
        log.warning("this start could not be noted in the data folder", reason=error)


def _still_missing(paths: DataPaths, card: StoreCard) -> tuple[int, ...]:
    """The packs whose loss was accepted, without those that have come back: these are looked for again.

    Raises OSError.
    """

    def is_back(pack: int) -> bool:
        path = pack_path(paths.packs, pack)
        if not path.exists():
            return False
        head = head_at(path)
        return head is None or head == PackHead(card.store, pack)

    return tuple(pack for pack in card.missing_packs if not is_back(pack))


def name(paths: DataPaths, parts: Parts) -> StoreCard:
    """Give the parts their id, store.json last. Interrupted, it is done again, with the same id.

    Raises DatabaseError, OSError.
    """
    store = claim_identity(paths.mail, MAIL_ROOMS, parts.store).store
    claim_identity(paths.directory, DIRECTORY_ROOMS, store)
    card = new_card(store, 0)
    write_card(paths.card, card, schemas())
    return card


def _raise_generation(paths: DataPaths, card: StoreCard) -> None:
    raised = Identity(card.store, card.generation + 1)
    set_identity(paths.mail, MAIL_ROOMS, raised)
    set_identity(paths.directory, DIRECTORY_ROOMS, raised)
    write_card(paths.card, replace(card, generation=raised.generation), schemas())


def schemas() -> dict[str, int]:
    """The versions of the tables that this program makes."""
    rooms = {"posthouse.db": MIGRATIONS, f"posthouse.db/{QUEUE_ROOM}": QUEUE_MIGRATIONS}
    return {name: len(steps) for name, steps in {**rooms, "directory.db": DIRECTORY_ROOMS[""]}.items()}
