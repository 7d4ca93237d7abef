"""The events of an SMTP or LMTP server engine, beside the shared ones.

Answers of SmtpServer: accept_sender(), accept_recipient(), accept_data(), accept_message(Reply) or, for LMTP,
finish_message([Reply, ...]) with one reply per accepted recipient (RFC 2033 4.2); reject(Reply) answers any
of these offers with a refusal. Logins: accept_login(), refuse_login(Reply), provide_keys(ScramKeys).
"""

from dataclasses import dataclass
from enum import Enum

from posthouse.message.envelope import Recipient, ReversePath


@dataclass(frozen=True, slots=True)
class SenderOffered:
    """Offer: MAIL FROM. Answers: accept_sender(), reject(Reply)."""

    sender: ReversePath


@dataclass(frozen=True, slots=True)
class RecipientOffered:
    """Offer: RCPT TO. Answers: accept_recipient(), reject(Reply)."""

    recipient: Recipient


@dataclass(frozen=True, slots=True)
class DataOffered:
    """Offer: DATA, or the first BDAT, with at least one recipient. Answers: accept_data(), reject(Reply)."""


@dataclass(frozen=True, slots=True)
class MessageEnded:
    """Offer: the message is whole and within the limits. Answers: accept_message, finish_message, reject."""

    octets: int
    has_leading_dots: bool  # a line starts with "."
    bare_cr_or_lf: bool  # holds a bare CR or LF (only after BODY=BINARYMIME)


class RefusalScope(Enum):
    """What a reply of 4xx or 5xx has refused."""

    COMMAND = "command"  # by the engine itself
    SENDER = "sender"  # by the session, as the next three
    RECIPIENT = "recipient"
    LOGIN = "login"
    MESSAGE = "message"  # by either
    CONNECTION = "connection"  # SessionEnded follows, and says why


@dataclass(frozen=True, slots=True)
class CommandRefused:
    """News: a command has got a reply of 4xx or 5xx, from the engine or by an answer of the session.

    `line` is the command as it came, for people to read: without secrets, "" for a line that could not be read; after
    DATA and BDAT it is that command. `reply` has all its lines, without the last CRLF.
    """

    scope: RefusalScope
    verb: str  # "" for what is no command
    line: str
    reply: str


@dataclass(frozen=True, slots=True)
class MessageDropped:
    """News: the message under way will not come to be (too large, smuggling, RSET, lost link); reply is given."""

    reason: str


@dataclass(frozen=True, slots=True)
class EnvelopeCleared:
    """News: RSET, a new EHLO, or the end of a transaction: sender and recipients are forgotten."""
