"""Opens directory.db."""

from pathlib import Path

import apsw

from posthouse.accounts.sqlite.schema import MIGRATIONS
from posthouse.database.opening import Policy, open_database

ROOMS = {"": MIGRATIONS}


def open_directory(path: Path, *, create: bool = False) -> apsw.Connection:
    """A connection to a directory that is up to date. A missing one is made only with `create`.

    Raises DatabaseUnusableError (and its kinds), apsw.Error, OSError.
    """
    return open_database(path, ROOMS, policy=Policy.CREATE if create else Policy.EXISTING)
