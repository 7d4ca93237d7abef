"""The states of a POP3 session (RFC 1939 3)."""

from enum import Enum, auto


class State(Enum):
    """Where a session stands."""

    AUTHORIZATION = auto()  # nobody has logged in
    TRANSACTION = auto()  # a maildrop is open
    UPDATE = auto()  # from QUIT until its answer
