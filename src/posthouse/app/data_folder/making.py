"""Makes a mail store, or a part of one in the place of what was lost, or accepts what there is. Only when told to."""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from posthouse.accounts.sqlite.connection import ROOMS as DIRECTORY_ROOMS
from posthouse.app.data_folder.checks import check, check_mail_is_of_packs, check_packs, may_lack_mail
from posthouse.app.data_folder.data_paths import DataPaths
from posthouse.app.data_folder.disk_errors import explain_disk_errors
from posthouse.app.data_folder.parts import MAIL_ROOMS, FolderError, Parts, fix_of, inspected, look
from posthouse.app.data_folder.starting import name, schemas
from posthouse.app.data_folder.store_card import StoreCard, StoreCardError, new_card, read_card, write_card
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
from posthouse.mailstore.sqlite.recovering import create_replacement, renew_numbers


def make(paths: DataPaths) -> None:
    """Make a mail store in a folder without any. Killed on the way, it is completed by the next call.

    Raises CommandError.
    """
    _making(paths, lambda: _make(paths))


def make_directory(paths: DataPaths) -> None:
    """Make an empty directory for the mail that is there; what was its file stays beside it. Raises CommandError."""
    _making(paths, lambda: _make_directory(paths))


def _make(paths: DataPaths) -> None:
    paths.packs.mkdir(mode=0o700, exist_ok=True)
    open_database(paths.mail, MAIL_ROOMS, policy=OpenPolicy.CREATE).close()
    open_database(paths.directory, DIRECTORY_ROOMS, policy=OpenPolicy.CREATE).close()
    name(paths, Parts(None, None, None))


def _make_directory(paths: DataPaths) -> None:
    card = _card(paths)
    owner = card or (None if is_lost(paths) else inspect(paths.mail, MAIL_ROOMS))
    if paths.directory.exists() or has_log(paths.directory):
        put_aside(paths.directory, replace=False)
    open_database(paths.directory, DIRECTORY_ROOMS, policy=OpenPolicy.CREATE).close()
    if owner is not None:
        set_identity(paths.directory, DIRECTORY_ROOMS, Identity(owner.store, owner.generation))


def _making(paths: DataPaths, work: Callable[[], None]) -> None:
    with explain_disk_errors(paths.data):
        try:
            work()
        except DatabaseUnusableError as error:
            raise FolderError(str(error), fix_of(error)) from error


def is_lost(paths: DataPaths) -> bool:
    """Whether posthouse.db is gone or damaged. Reads all of it. Raises FolderError for other reasons."""
    return _is_lost(paths.mail, MAIL_ROOMS)


def is_directory_lost(paths: DataPaths) -> bool:
    """The same of directory.db."""
    return _is_lost(paths.directory, DIRECTORY_ROOMS)


def _is_lost(path: Path, rooms: Mapping[str, Steps]) -> bool:
    try:
        inspect(path, rooms, thorough=True)
    except (DatabaseGoneError, NotADatabaseError, DatabaseDamagedError):
        return True
    except DatabaseError as error:
        raise FolderError(str(error), fix_of(error)) from error
    return False


def renew_mail(paths: DataPaths, accounts: Collection[int]) -> None:
    """Put a lost posthouse.db aside and begin a new one for the packs that are there. Under the server lock.

    Salvage is due from then on. Raises CommandError.
    """
    card = _card(paths)
    directory = inspect(paths.directory, DIRECTORY_ROOMS)
    known = card or directory
    store = known.store if known else _store_of_packs(paths) or Parts(None, None, None).store
    generation = max(card.generation if card else 0, directory.generation if directory else 0)

    def begin() -> None:
        # Said first: killed after any of these steps, no server starts before the mail is filed.
        claim_identity(paths.directory, DIRECTORY_ROOMS, store)
        write_card(paths.card, replace(card or new_card(store, generation), salvage_due=True), schemas())
        if paths.mail.exists() or has_log(paths.mail):
            put_aside(paths.mail, replace=False)
        create_replacement(paths.mail, MAIL_ROOMS, Identity(store, generation), accounts, int(time.time()))

    _making(paths, begin)


def _store_of_packs(paths: DataPaths) -> bytes | None:
    """The id that most packs have; None when none has any. A head that the disk does not give has no say."""
    counts: Counter[bytes] = Counter()
    for _, path in pack_files(paths.packs):
        with contextlib.suppress(OSError):
            if (head := head_at(path)) is not None:
                counts[head.store] += 1
    return counts.most_common(1)[0][0] if counts else None


def note_salvaged(paths: DataPaths) -> None:
    """All that is whole in the packs has been filed: a server may start. Under the server lock. Raises CommandError."""
    card = _card(paths)
    if card is not None and card.salvage_due:
        _making(paths, lambda: write_card(paths.card, replace(card, salvage_due=False), schemas()))


@dataclass(frozen=True, slots=True)
class Accepted:
    """What was wrong, "" when nothing was, and whether a server starts only after a salvage."""

    wrong: str
    salvage_due: bool


def accept(paths: DataPaths, confirm: Callable[[str], None]) -> Accepted:
    """Take the parts as they are, after `confirm` was asked.

    Under the server lock. Both databases must be there. Raises FolderError.
    """
    parts = replace(inspected(paths, thorough=True), card=_card(paths))
    due = parts.card is not None and parts.card.salvage_due
    wrong = _complaints(parts, paths)
    if not wrong:
        return Accepted("", due)
    check_mail_is_of_packs(parts, paths)
    confirm(wrong + _log_note(paths))
    _making(paths, lambda: _accept(paths, parts))
    return Accepted(wrong, due or may_lack_mail(parts))


def _log_note(paths: DataPaths) -> str:
    """What a log beside posthouse.db means: it is folded in when that is written to."""
    log = log_of(paths.mail)
    return f" ({log.name} is read too: it must have come with {paths.mail.name})" if has_log(paths.mail) else ""


def _accept(paths: DataPaths, parts: Parts) -> None:
    """Killed between its steps, it leaves parts of different generations: no server starts, and it can be repeated."""
    paths.packs.mkdir(mode=0o700, exist_ok=True)
    store = claim_identity(paths.mail, MAIL_ROOMS, parts.store).store
    found = presence(paths.data, heads=1 << 30)
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
    write_card(paths.card, card, schemas())  # first, with the generation that the others are still to get
    if lacking:
        renew_numbers(paths.mail, MAIL_ROOMS, int(time.time()))
    set_identity(paths.mail, MAIL_ROOMS, raised)
    set_identity(paths.directory, DIRECTORY_ROOMS, raised)


def _complaints(parts: Parts, paths: DataPaths) -> str:
    """What a start would refuse, one sentence after the other."""
    found: list[str] = []
    steps: tuple[Callable[[], object], ...] = (
        lambda: look(paths),
        lambda: check(parts, paths),
        lambda: check_packs(parts, paths),
    )
    for step in steps:
        try:
            step()
        except FolderError as error:
            if not any(text.startswith(f"{paths.card} ") for text in found if error.text.startswith(f"{paths.card} ")):
                found.append(error.text)
    return "; ".join(dict.fromkeys(found))


def _card(paths: DataPaths) -> StoreCard | None:
    """What store.json says; None when it is gone or says nothing. Raises FolderError when it is of a newer version."""
    try:
        return read_card(paths.card)
    except StoreCardError:
        return None
    except SchemaTooNewError as error:
        raise FolderError(str(error), fix_of(error)) from error
