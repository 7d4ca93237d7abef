"""What can go wrong with a database, as few types as callers need to tell apart."""


class DatabaseError(Exception):
    """The database could not do it now; nothing of the transaction was kept."""


class DatabaseFullError(DatabaseError):
    """No space is left on the device."""


class DatabaseClosedError(DatabaseError):
    """It was closed before this work began."""


class SchemaTooNewError(DatabaseError):
    """The file was written by a later version of this program."""
