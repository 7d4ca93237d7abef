"""The states of a session (RFC 9051 3)."""

from enum import IntFlag


class State(IntFlag):
    """Where a session is; bits, so that commands can say where they are legal."""

    UNKNOWN = 1  # "not authenticated"
    AUTHENTICATED = 2
    SELECTED = 4
    LOGGED_IN = AUTHENTICATED | SELECTED
    ANY = UNKNOWN | LOGGED_IN
