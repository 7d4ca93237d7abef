"""Makes a mail store, or a part of one in the place of what was lost, or accepts what there is. Only when told to."""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from posthouse.accounts.sqlite.connection import ROOMS as DIRECTORY_ROOMS
from posthouse.app.data_folder import (
    MAIL_ROOMS,
    FolderError,
    Parts,
    check,
    check_mail_is_of_packs,
    check_packs,
    fix_of,
    inspected,
    look,
    may_lack_mail,
    name,
    schemas,
)
from posthouse.app.disk_errors import explain_disk_errors
from posthouse.app.places import Places
from posthouse.app.store_card import StoreCard, StoreCardError, new_card, read_card, write_card
from posthouse.database.connection import has_log, log_of
from posthouse.database.errors import (
    DatabaseDamagedError,
    DatabaseError,
    DatabaseGoneError,
    DatabaseUnusableError,
    NotADatabaseError,
    SchemaTooNewError,
)
from posthouse.database.identity import Identity, claim_identity, inspect, set_identity
from posthouse.database.migrations import Steps
from posthouse.database.opening import OpenPolicy, open_database, put_aside
from posthouse.mailstore.fsck import pack_files
from posthouse.mailstore.loose import head_at
from posthouse.mailstore.sqlite.presence import presence
from posthouse.mailstore.sqlite.recovering import begin_anew, renew_numbers


def make(places: Places) -> None:
    """Make a mail store in a folder without any. Killed on the way, it is completed by the next call.

    Raises CommandError.
    """
    _making(places, lambda: _make(places))


def make_directory(places: Places) -> None:
    """Make an empty directory for the mail that is there; what was its file stays beside it. Raises CommandError."""
    _making(places, lambda: _make_directory(places))


def _make(places: Places) -> None:
    places.packs.mkdir(mode=0o700, exist_ok=True)
    open_database(places.mail, MAIL_ROOMS, policy=OpenPolicy.CREATE).close()
    open_database(places.directory, DIRECTORY_ROOMS, policy=OpenPolicy.CREATE).close()
    name(places, Parts(None, None, None))


def _make_directory(places: Places) -> None:
    card = _card(places)
    owner = card or (None if is_lost(places) else inspect(places.mail, MAIL_ROOMS))
    if places.directory.exists() or has_log(places.directory):
        put_aside(places.directory, replace=False)
    open_database(places.directory, DIRECTORY_ROOMS, policy=OpenPolicy.CREATE).close()
    if owner is not None:
        set_identity(places.directory, DIRECTORY_ROOMS, Identity(owner.store, owner.generation))


def _making(places: Places, work: Callable[[], None]) -> None:
    with explain_disk_errors(places.data):
        try:
            work()
        except DatabaseUnusableError as error:
            raise FolderError(str(error), fix_of(error)) from error


def is_lost(places: Places) -> bool:
    """Whether posthouse.db is gone or damaged. Reads all of it. Raises FolderError for other reasons."""
    return _is_lost(places.mail, MAIL_ROOMS)


def is_directory_lost(places: Places) -> bool:
    """The same of directory.db."""
    return _is_lost(places.directory, DIRECTORY_ROOMS)


def _is_lost(path: Path, rooms: Mapping[str, Steps]) -> bool:
    try:
        inspect(path, rooms, thorough=True)
    except (DatabaseGoneError, NotADatabaseError, DatabaseDamagedError):
        return True
    except DatabaseError as error:
        raise FolderError(str(error), fix_of(error)) from error
    return False


def renew_mail(places: Places, accounts: Collection[int]) -> None:
    """Put a lost posthouse.db aside and begin a new one for the packs that are there. Under the server lock.

    Salvage is due from then on. Raises CommandError.
    """
    card = _card(places)
    directory = inspect(places.directory, DIRECTORY_ROOMS)
    known = card or directory
    store = known.store if known else _store_of_packs(places) or Parts(None, None, None).store
    generation = max(card.generation if card else 0, directory.generation if directory else 0)

    def begin() -> None:
        # Said first: killed after any of these steps, no server starts before the mail is filed.
        claim_identity(places.directory, DIRECTORY_ROOMS, store)
        write_card(places.card, replace(card or new_card(store, generation), salvage_due=True), schemas())
        if places.mail.exists() or has_log(places.mail):
            put_aside(places.mail, replace=False)
        begin_anew(places.mail, MAIL_ROOMS, Identity(store, generation), accounts, int(time.time()))

    _making(places, begin)


def _store_of_packs(places: Places) -> bytes | None:
    """The id that most packs have; None when none has any. A head that the disk does not give has no say."""
    counts: Counter[bytes] = Counter()
    for _, path in pack_files(places.packs):
        with contextlib.suppress(OSError):
            if (head := head_at(path)) is not None:
                counts[head.store] += 1
    return counts.most_common(1)[0][0] if counts else None


def note_salvaged(places: Places) -> None:
    """All that is whole in the packs has been filed: a server may start. Under the server lock. Raises CommandError."""
    card = _card(places)
    if card is not None and card.salvage_due:
        _making(places, lambda: write_card(places.card, replace(card, salvage_due=False), schemas()))


@dataclass(frozen=True, slots=True)
class Accepted:
    """What was wrong, "" when nothing was, and whether a server starts only after a salvage."""

    wrong: str
    salvage_due: bool


def accept(places: Places, confirm: Callable[[str], None]) -> Accepted:
    """Take the parts as they are, after `confirm` was asked.

    Under the server lock. Both databases must be there. Raises FolderError.
    """
    parts = replace(inspected(places, thorough=True), card=_card(places))
    due = parts.card is not None and parts.card.salvage_due
    wrong = _complaints(parts, places)
    if not wrong:
        return Accepted("", due)
    check_mail_is_of_packs(parts, places)
    confirm(wrong + _log_note(places))
    _making(places, lambda: _accept(places, parts))
    return Accepted(wrong, due or may_lack_mail(parts))


def _log_note(places: Places) -> str:
    """What a log beside posthouse.db means: it is folded in when that is written to."""
    log = log_of(places.mail)
    return f" ({log.name} is taken in: it must have come with {places.mail.name})" if has_log(places.mail) else ""


def _accept(places: Places, parts: Parts) -> None:
    """Killed between its steps, it leaves parts of different generations: no server starts, and it can be repeated."""
    places.packs.mkdir(mode=0o700, exist_ok=True)
    store = claim_identity(places.mail, MAIL_ROOMS, parts.store).store
    found = presence(places.data, heads=1 << 30)
    raised = Identity(store, parts.generation + 1)
    lacking = may_lack_mail(parts)
    card = parts.card or new_card(store, 0)
    card = replace(
        card,
        store=store,
        generation=raised.generation,
        missing_packs=tuple(sorted({*found.missing, *found.foreign})),
        salvage_due=lacking or card.salvage_due,
    )
    write_card(places.card, card, schemas())  # first, with the generation that the others are still to get
    if lacking:
        renew_numbers(places.mail, MAIL_ROOMS, int(time.time()))
    set_identity(places.mail, MAIL_ROOMS, raised)
    set_identity(places.directory, DIRECTORY_ROOMS, raised)


def _complaints(parts: Parts, places: Places) -> str:
    """What a start would refuse, one sentence after the other."""
    found: list[str] = []
    steps: tuple[Callable[[], object], ...] = (
        lambda: look(places),
        lambda: check(parts, places),
        lambda: check_packs(parts, places),
    )
    for step in steps:
        try:
            step()
        except FolderError as error:
            if not any(
                text.startswith(f"{places.card} ") for text in found if error.text.startswith(f"{places.card} ")
            ):
                found.append(error.text)
    return "; ".join(dict.fromkeys(found))


def _card(places: Places) -> StoreCard | None:
    """What store.json says; None when it is gone or says nothing. Raises FolderError when it is of a newer version."""
    try:
        return read_card(places.card)
    except StoreCardError:
        return None
    except SchemaTooNewError as error:
        raise FolderError(str(error), fix_of(error)) from error
