"""Makes a mail store, or a part of one in the place of what was lost, or accepts what there is. Only when told to."""

import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import replace

from posthouse.accounts.sqlite.connection import ROOMS as DIRECTORY_ROOMS
from posthouse.app.data_folder import (
    MAIL_ROOMS,
    FolderError,
    Parts,
    check,
    check_packs,
    fix_of,
    has_mail,
    inspected,
    look,
    name,
    schemas,
)
from posthouse.app.errors import CommandError, Exit
from posthouse.app.places import Places
from posthouse.app.store_card import StoreCard, StoreCardError, new_card, read_card, write_card
from posthouse.database.errors import (
    DatabaseDamagedError,
    DatabaseError,
    DatabaseUnusableError,
    NotADatabaseError,
    SchemaTooNewError,
)
from posthouse.database.identity import Identity, claim_identity, inspect, set_identity
from posthouse.database.opening import Policy, open_database, put_aside
from posthouse.mailstore.fsck import pack_files
from posthouse.mailstore.loose import head_at
from posthouse.mailstore.sqlite.presence import presence
from posthouse.mailstore.sqlite.recovering import begin_anew


def make(places: Places) -> None:
    """Make a mail store in a folder without any. Killed on the way, it is completed by the next call.

    Raises CommandError.
    """
    _making(lambda: _make(places))


def make_directory(places: Places) -> None:
    """Make an empty directory for the mail that is there. Raises CommandError."""
    _making(lambda: _make_directory(places))


def _make(places: Places) -> None:
    places.packs.mkdir(mode=0o700, exist_ok=True)
    open_database(places.mail, MAIL_ROOMS, policy=Policy.CREATE).close()
    open_database(places.directory, DIRECTORY_ROOMS, policy=Policy.CREATE).close()
    name(places, Parts(None, None, None))


def _make_directory(places: Places) -> None:
    card = read_card(places.card)
    owner = card or (inspect(places.mail, MAIL_ROOMS) if has_mail(places) else None)
    open_database(places.directory, DIRECTORY_ROOMS, policy=Policy.CREATE).close()
    if owner is not None:
        set_identity(places.directory, DIRECTORY_ROOMS, Identity(owner.store, owner.generation))


def _making(work: Callable[[], None]) -> None:
    try:
        work()
    except DatabaseUnusableError as error:
        raise FolderError(str(error), fix_of(error)) from error
    except DatabaseError as error:
        raise CommandError(str(error), code=Exit.TRY_LATER) from error


def is_lost(places: Places) -> bool:
    """Whether posthouse.db is gone, or so damaged that it cannot be opened. Raises FolderError for other reasons."""
    if not has_mail(places):
        return True
    try:
        inspect(places.mail, MAIL_ROOMS)
    except (NotADatabaseError, DatabaseDamagedError):
        return True
    except DatabaseError as error:
        raise FolderError(str(error), fix_of(error)) from error
    return False


def renew_mail(places: Places, accounts: Collection[int]) -> None:
    """Put a lost posthouse.db aside and begin a new one for the packs that are there. Under the server lock.

    Raises CommandError.
    """
    card = _card(places)
    directory = inspect(places.directory, DIRECTORY_ROOMS)
    heads = Counter(head.store for _, path in pack_files(places.packs) if (head := head_at(path)) is not None)
    known = card or directory
    store = known.store if known else next(iter(dict(heads.most_common(1))), Parts(None, None, None).store)
    generation = max(card.generation if card else 0, directory.generation if directory else 0)

    def begin() -> None:
        if places.mail.exists():
            put_aside(places.mail, replace=False)
        begin_anew(places.mail, MAIL_ROOMS, Identity(store, generation), accounts, int(time.time()))

    _making(begin)


def accept(places: Places, confirm: Callable[[str], None]) -> str:
    """Take the parts as they are, after `confirm` was asked; what was wrong, "" when nothing was.

    Under the server lock. Both databases must be there. Raises FolderError.
    """
    parts = replace(inspected(places), card=_card(places))
    wrong = _complaints(parts, places)
    if not wrong:
        return ""
    confirm(wrong)
    _making(lambda: _accept(places, parts))
    return wrong


def _accept(places: Places, parts: Parts) -> None:
    places.packs.mkdir(mode=0o700, exist_ok=True)
    store = claim_identity(places.mail, MAIL_ROOMS, parts.store).store
    found = presence(places.data, heads=1 << 30)
    raised = Identity(store, parts.generation + 1)
    set_identity(places.mail, MAIL_ROOMS, raised)
    set_identity(places.directory, DIRECTORY_ROOMS, raised)
    card = replace(parts.card or new_card(store, 0), store=store, generation=raised.generation)
    lost = tuple(sorted({*found.missing, *found.foreign}))
    write_card(places.card, replace(card, missing_packs=lost), schemas())


def _complaints(parts: Parts, places: Places) -> str:
    """What a start would refuse, one sentence after the other."""
    found = []
    steps: tuple[Callable[[], object], ...] = (
        lambda: look(places),
        lambda: check(parts, places),
        lambda: check_packs(parts, places),
    )
    for step in steps:
        try:
            step()
        except FolderError as error:
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
