"""The states of a POP3 session, its transitions, and where each command is legal (RFC 1939 3): the whole protocol.

Theory of operation. A session is in one state. A command outside of its states gets -ERR and changes nothing. A legal
one is either answered at once, or becomes an offer to the session; only what the session grants leads to another state:

    AUTHORIZATION ── a login was granted ──> TRANSACTION ── QUIT ──> UPDATE ── its answer ──> the end
          │ ^                                      │
          │ └── STLS: all that was said is forgotten (RFC 2595 4)
          └── QUIT, too many errors or failed logins ──> the end <── a link that drops: nothing is removed

The end is no state but EngineCore.closing, for it can come at any time.
"""

from collections.abc import Mapping
from enum import Enum, auto


class Pop3State(Enum):
    """Where a session stands."""

    __hash__ = object.__hash__  # by identity: that of Enum is slow

    AUTHORIZATION = auto()  # nobody has logged in
    TRANSACTION = auto()  # a maildrop is open
    UPDATE = auto()  # from QUIT until its answer


# What happens, and from which state it leads to which.
Transition = Mapping[Pop3State, Pop3State]

TLS_STARTED: Transition = {Pop3State.AUTHORIZATION: Pop3State.AUTHORIZATION}
LOGGED_IN: Transition = {Pop3State.AUTHORIZATION: Pop3State.TRANSACTION}
QUIT: Transition = {Pop3State.TRANSACTION: Pop3State.UPDATE}

_BEFORE, _AFTER = frozenset({Pop3State.AUTHORIZATION}), frozenset({Pop3State.TRANSACTION})

LEGAL: Mapping[bytes, frozenset[Pop3State]] = {
    b"USER": _BEFORE,
    b"PASS": _BEFORE,
    b"AUTH": _BEFORE,
    b"STLS": _BEFORE,
    b"UTF8": _BEFORE,
    b"CAPA": _BEFORE | _AFTER,
    b"QUIT": _BEFORE | _AFTER,
    b"STAT": _AFTER,
    b"LIST": _AFTER,
    b"UIDL": _AFTER,
    b"RETR": _AFTER,
    b"TOP": _AFTER,
    b"DELE": _AFTER,
    b"NOOP": _AFTER,
    b"RSET": _AFTER,
}
