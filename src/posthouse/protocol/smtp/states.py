"""The states of an SMTP session, and what is said to a command that does not belong there."""

from enum import Enum, auto

from posthouse.protocol.smtp import replies


class State(Enum):
    """Where a session stands (RFC 5321 4.1.4)."""

    FRESH = auto()  # no greeting yet
    READY = auto()
    MAIL = auto()  # a sender, no recipient
    RCPT = auto()  # at least one recipient
    BDAT = auto()  # between the chunks of a message
    FAILED = auto()  # between the chunks of a message that was refused


OUT_OF_ORDER = {
    State.FRESH: replies.HELLO_FIRST,
    State.READY: replies.MAIL_FIRST,
    State.MAIL: replies.IN_TRANSACTION,
    State.RCPT: replies.IN_TRANSACTION,
    State.BDAT: replies.BDAT_UNDER_WAY,
    State.FAILED: replies.BDAT_UNDER_WAY,
}
