"""The states of an IMAP session, its transitions, and where each command is legal (RFC 9051 3, 6): the whole protocol.

Theory of operation. A session is in one state. A command outside of its states gets BAD and changes nothing. Some legal
ones the engine answers by itself (server.OWN), all others are read by a rule of grammar.RULES and offered to the
session; only what the session grants leads to another state:

    NOT_AUTHENTICATED ── a login was granted ──> AUTHENTICATED ── a mailbox was opened ──> SELECTED ─┐ another
          │ ^                                          ^                                     │   ^───┘ was opened
          │ └── STARTTLS: nothing that was said counts └── CLOSE, UNSELECT, a failed SELECT ─┘
          └── LOGOUT, errors, failed logins ──> the end

IDLE has no state of its own: it is a command that ends with DONE. The end is no state either but EngineCore.closing,
for it can come at any time.
"""

from collections.abc import Mapping
from enum import Enum, auto


class ImapState(Enum):
    """Where a session is."""

    __hash__ = object.__hash__  # by identity: that of Enum is slow

    NOT_AUTHENTICATED = auto()
    AUTHENTICATED = auto()
    SELECTED = auto()


# What happens, and from which state it leads to which.
Transition = Mapping[ImapState, ImapState]

TLS_STARTED: Transition = {ImapState.NOT_AUTHENTICATED: ImapState.NOT_AUTHENTICATED}
LOGGED_IN: Transition = {ImapState.NOT_AUTHENTICATED: ImapState.AUTHENTICATED}
MAILBOX_OPENED: Transition = dict.fromkeys((ImapState.AUTHENTICATED, ImapState.SELECTED), ImapState.SELECTED)
MAILBOX_CLOSED: Transition = dict.fromkeys((ImapState.AUTHENTICATED, ImapState.SELECTED), ImapState.AUTHENTICATED)

_ANY = frozenset(ImapState)
_BEFORE = frozenset({ImapState.NOT_AUTHENTICATED})
_AFTER = frozenset({ImapState.AUTHENTICATED, ImapState.SELECTED})
_SELECTED = frozenset({ImapState.SELECTED})

LEGAL: Mapping[bytes, frozenset[ImapState]] = {
    b"CAPABILITY": _ANY,
    b"NOOP": _ANY,
    b"LOGOUT": _ANY,
    b"ID": _ANY,
    b"STARTTLS": _BEFORE,
    b"LOGIN": _BEFORE,
    b"AUTHENTICATE": _BEFORE,
    b"ENABLE": _AFTER,
    b"COMPRESS": _AFTER,
    b"SELECT": _AFTER,
    b"EXAMINE": _AFTER,
    b"CREATE": _AFTER,
    b"DELETE": _AFTER,
    b"RENAME": _AFTER,
    b"SUBSCRIBE": _AFTER,
    b"UNSUBSCRIBE": _AFTER,
    b"LIST": _AFTER,
    b"LSUB": _AFTER,
    b"NAMESPACE": _AFTER,
    b"STATUS": _AFTER,
    b"APPEND": _AFTER,
    b"IDLE": _AFTER,
    b"GETQUOTA": _AFTER,
    b"GETQUOTAROOT": _AFTER,
    b"SETQUOTA": _AFTER,
    b"CHECK": _SELECTED,
    b"CLOSE": _SELECTED,
    b"UNSELECT": _SELECTED,
    b"EXPUNGE": _SELECTED,
    b"FETCH": _SELECTED,
    b"STORE": _SELECTED,
    b"COPY": _SELECTED,
    b"MOVE": _SELECTED,
    b"SEARCH": _SELECTED,
    b"SORT": _SELECTED,
    b"THREAD": _SELECTED,
    b"REPLACE": _SELECTED,
    b"UID": _SELECTED,
}

WRONG_STATE: Mapping[ImapState, str] = {
    ImapState.NOT_AUTHENTICATED: "{} needs a login first",
    ImapState.AUTHENTICATED: "{} is not valid now: no mailbox is selected, or you are logged in already",
    ImapState.SELECTED: "{} is not valid now: you are logged in already",
}
