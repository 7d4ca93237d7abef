"""What can go wrong with a database, as few types as callers need to tell apart."""

from pathlib import Path


class DatabaseError(Exception):
    """The database could not do it now; nothing of the transaction was kept."""


class DatabaseFullError(DatabaseError):
    """No space is left on the device."""


class DatabaseClosedError(DatabaseError):
    """It was closed before this work began."""


class DatabaseUnusableError(DatabaseError):
    """A file cannot be used as it is, and trying again does not help. The text is a sentence without what to do."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path} {what}")
        self.path = path
        self.what = what


class DatabaseGoneError(DatabaseUnusableError):
    """There is no such file, or nothing is in it."""


class NotADatabaseError(DatabaseUnusableError):
    """The file is something else."""


class DatabaseDamagedError(DatabaseUnusableError):
    """The file is a database, but damaged."""


class ForeignLogError(DatabaseUnusableError):
    """The log beside the file is that of another one."""


class DatabaseForbiddenError(DatabaseUnusableError):
    """The file may not be read or written by this process."""


class SchemaTooNewError(DatabaseUnusableError):
    """The file was written by a later version of this program. Nothing was changed in it."""
