"""The states of an SMTP session, its transitions, and where each command is legal (RFC 5321 4.1.4): the whole protocol.

Theory of operation. A session is in one state. A command outside of its states gets the 503 of OUT_OF_ORDER and changes
nothing. A legal one is answered at once or becomes an offer to the session; the state changes with what was granted:

                 EHLO, HELO, LHLO (from any state)
    FRESH ──────────────────────────────> READY <─────────────────────────────────┐
      ^ STARTTLS: all is forgotten (RFC 3207 4.2) │ MAIL                          │ the transaction is over: the
      └───────────────────────────────────────────┤                               │ reply to the message, RSET,
                                                  v       RCPT                    │ a greeting; MAIL in FAILED
                                                MAIL ─────────────> RCPT ──DATA───┤
                                                                     │ BDAT       │
                                                                     v   refused  │
                                                                   BDAT ──> FAILED┘

DATA has no state of its own: between the 354 and the reply to the message no command is read, and EngineCore.receiving
holds. The end is no state either but EngineCore.closing, for it can come at any time. LMTP differs in its greeting only
(RFC 2033 4.1), and in a reply for each recipient.
"""

from collections.abc import Mapping
from enum import Enum, auto

from posthouse.protocol.smtp import replies


class SmtpState(Enum):
    """Where a session stands."""

    __hash__ = object.__hash__  # by identity: that of Enum is slow

    FRESH = auto()  # no greeting yet
    READY = auto()
    MAIL = auto()  # a sender, no recipient
    RCPT = auto()  # at least one recipient
    BDAT = auto()  # between the chunks of a message
    FAILED = auto()  # between the chunks of a message that was refused


_FRESH, _READY, _MAIL, _RCPT, _BDAT, _FAILED = SmtpState

# What happens, and from which state it leads to which.
Transition = Mapping[SmtpState, SmtpState]

GREETED: Transition = dict.fromkeys(SmtpState, _READY)
TLS_STARTED: Transition = {_READY: _FRESH}
SENDER_ACCEPTED: Transition = {_READY: _MAIL}
RECIPIENT_ACCEPTED: Transition = {_MAIL: _RCPT, _RCPT: _RCPT}
CHUNK_TAKEN: Transition = {_RCPT: _BDAT, _BDAT: _BDAT}
CHUNK_REFUSED: Transition = {_RCPT: _FAILED, _BDAT: _FAILED, _FAILED: _FAILED}
TRANSACTION_ENDED: Transition = dict.fromkeys((_MAIL, _RCPT, _BDAT, _FAILED), _READY)

_ANY = frozenset(SmtpState)
_IDLE = frozenset({_READY})

LEGAL: Mapping[bytes, frozenset[SmtpState]] = {
    b"EHLO": _ANY,
    b"HELO": _ANY,
    b"LHLO": _ANY,
    b"MAIL": frozenset({_READY, _FAILED}),
    b"RCPT": frozenset({_MAIL, _RCPT}),
    b"DATA": frozenset({_MAIL, _RCPT}),
    b"BDAT": _ANY,  # its octets come whatever we say (RFC 3030 2), so it looks at the state by itself
    b"RSET": _ANY,
    b"NOOP": _ANY,
    b"VRFY": _ANY,
    b"EXPN": _ANY,
    b"HELP": _ANY,
    b"QUIT": _ANY,
    b"STARTTLS": _IDLE,
    b"AUTH": _IDLE,
}

OUT_OF_ORDER: Mapping[SmtpState, bytes] = {
    _FRESH: replies.HELLO_FIRST,
    _READY: replies.MAIL_FIRST,
    _MAIL: replies.IN_TRANSACTION,
    _RCPT: replies.IN_TRANSACTION,
    _BDAT: replies.BDAT_UNDER_WAY,
    _FAILED: replies.BDAT_UNDER_WAY,
}
