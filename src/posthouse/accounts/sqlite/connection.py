"""Opens directory.db."""

from pathlib import Path

import apsw

from posthouse.accounts.sqlite.schema import MIGRATIONS
from posthouse.database.opening import OpenPolicy, open_database

ROOMS = {"": MIGRATIONS}


def open_directory(path: Path, *, create: bool = False) -> apsw.Connection:
    """A connection to a directory that is up to date. A missing one is made only with `create`.

    Raises DatabaseUnusableError (and its kinds), apsw.Error, OSError.
    """
    return open_database(path, ROOMS, policy=OpenPolicy.CREATE if create else OpenPolicy.EXISTING)
