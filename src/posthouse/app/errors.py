"""How a command ends: exit codes, and errors that say what happened and what to do about it."""

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes: small ones by custom, the rest from sysexits.h."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNAVAILABLE = 69  # the server, or a port, cannot be reached or had
    TRY_LATER = 75
    NO_PERMISSION = 77
    CONFIG = 78
    INTERRUPTED = 130  # as shells say it of Ctrl-C


class CommandError(Exception):
    """A command could not do its work. `fix` says what to do, `code` is how the program ends."""

    def __init__(self, text: str, *, fix: str = "", code: Exit = Exit.FAILED) -> None:
        super().__init__(text)
        self.text = text
        self.fix = fix
        self.code = code
