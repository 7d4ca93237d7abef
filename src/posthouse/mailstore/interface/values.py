"""What goes in and out of a store: plain values, the same for every store.

A message comes in three sizes: MessageRef is what reading its octets takes, MailboxMessage adds what may change about
it, MessageColumns are the six numbers that a session keeps of each.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, IntFlag, StrEnum
from typing import NamedTuple, Protocol

INBOX = "INBOX"


class Flag(IntFlag):
    """The flags every mailbox knows, as the low KEYWORD_SHIFT bits of MailboxMessage.flags."""

    NONE = 0
    SEEN = 1
    ANSWERED = 2
    FLAGGED = 4
    DELETED = 8
    DRAFT = 16


LOG_ROWS = 20_000  # expunges of an account that are remembered for clients that were away
# The bits of MailboxMessage.flags from here on are the number of the set of keywords that the message has; 0: it has
# none. A number is never given twice in an account. See MessageReader.keyword_sets().
KEYWORD_SHIFT = 5
SYSTEM_FLAGS = (1 << KEYWORD_SHIFT) - 1
MAX_KEYWORDS = 5_000  # different ones that the messages of an account have
MAX_MESSAGE_KEYWORDS = 100  # of one message
MAX_KEYWORD_SETS = 50_000  # different ones that the messages of an account have
KEYWORD_SETS_PAGE = 1_000  # given in one answer


class Role(StrEnum):
    """What a mailbox is for (RFC 6154 2, RFC 8621 2)."""

    NONE = ""
    ARCHIVE = "archive"
    DRAFTS = "drafts"
    JUNK = "junk"
    SENT = "sent"
    TRASH = "trash"


class Traits(IntFlag):
    """What later readers would otherwise have to scan the body for."""

    NONE = 0
    HAS_LEADING_DOTS = 1  # some line starts with ".": needs dot-stuffing (RFC 1939 3)
    NO_FINAL_CRLF = 2  # does not end with CRLF
    EIGHT_BIT = 4  # holds octets above 127
    BARE_CR_OR_LF = 8  # holds a bare CR or LF (BINARYMIME only)


class Body(Protocol):
    """An immutable message body waiting in a spool. `chunks` is called from the store's own thread."""

    @property
    def octets(self) -> int:
        """Length of the body."""

    @property
    def digest(self) -> bytes:
        """Digest of the body, 16 octets; see digests.py."""

    @property
    def traits(self) -> Traits:
        """Traits of the body."""

    def chunks(self) -> Iterator[bytes]:
        """The bytes in order, from the start on every call."""


@dataclass(frozen=True, slots=True)
class Target:
    """One copy to be kept: for whom, where, under which trace headers."""

    account: int
    trace_header: bytes  # fields, each line ended by CRLF; kept beside the body, read before it
    mailbox: str = INBOX
    quota: int | None = None  # octets the account may hold after this; None: no bound


class DeliveryResult(Enum):
    """What became of the copy for one target."""

    KEPT = "kept"
    ALREADY = "already"  # this delivery was kept in this mailbox before: deliveries are idempotent
    OVER_QUOTA = "over quota"
    WITHHELD = (
        "withheld"  # there was room, but the delivery was to be kept for all or none, and another target had no room
    )


class MessageRef(NamedTuple):
    """One message of a mailbox as a reader needs it."""

    message: int  # message id: unique in the account for ever, never given twice
    uid: int  # ascending in the mailbox, never given twice
    octets: int  # trace header + body, as read() gives them
    traits: int  # Traits of the body (an int: mailboxes hold hundreds of thousands)
    received: int  # seconds since 1970
    place: object  # the store's own: where the bytes are
    identity: int = 0  # the store's own: what must be found there

    @property
    def sent_octets(self) -> int:
        """Octets of it once its last line ends with CRLF."""
        return self.octets + 2 * bool(self.traits & Traits.NO_FINAL_CRLF.value)


class MailboxMessage(NamedTuple):
    """A message with what may change about it, and with what stays when it is copied."""

    entry: MessageRef
    flags: int  # Flag, and above them the number of the set of its keywords
    modseq: int  # of its last change
    saved: int  # when it came into this mailbox, seconds since 1970
    origin: int  # the message id it was first kept under: the same for all copies in the account


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A mailbox and its counters at one moment."""

    id: int  # stays when it is renamed; never given twice in an account
    name: str  # levels are separated by "/"
    uidvalidity: int  # never the same for two mailboxes of an account
    uidnext: int
    modseq: int  # of the last change in it
    messages: int
    unseen: int
    deleted: int  # messages with Flag.DELETED
    octets: int
    role: Role = Role.NONE


class MessageColumns(NamedTuple):
    """The columns of one message that a session keeps."""

    uid: int
    message: int
    flags: int
    modseq: int
    octets: int
    received: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A whole mailbox at one moment, as columns, by uid."""

    mailbox: Mailbox
    modseq: int  # of the account: what comes later has a higher one
    uids: "array[int]"  # "L"
    messages: "array[int]"  # "Q"
    flags: "array[int]"  # "Q"
    modseqs: "array[int]"  # "Q"
    octets: "array[int]"  # "Q"
    received: "array[int]"  # "Q"


@dataclass(frozen=True, slots=True)
class MaildropColumns:
    """The messages of a mailbox as columns, by id, and the first of them as entries: up to a thousand."""

    messages: "array[int]"  # "Q"
    sent_octets: "array[int]"  # "Q", as of MessageRef
    first: list[MessageRef]


@dataclass(frozen=True, slots=True)
class Delta:
    """What happened in a mailbox after some modseq, up to one moment."""

    mailbox: Mailbox
    modseq: int  # of the account at that moment
    changed: list[MessageColumns]  # new ones and those whose flags changed, by uid
    vanished: list[int]  # uids, ascending


class Setting(Enum):
    """What to do with the flags that are named."""

    REPLACE = "replace"
    ADD = "add"
    REMOVE = "remove"


class Measure(Enum):
    """A number that a store knows of each message."""

    OCTETS = "octets"
    RECEIVED = "received"  # seconds since 1970, as the next
    SAVED = "saved"
    ORIGIN = "origin"


@dataclass(frozen=True, slots=True)
class Marks:
    """Flags and keywords by name. The case of keywords does not count; a keyword is shown as it was first named, for as
    long as any message of the account has it.
    """

    flags: Flag = Flag.NONE
    keywords: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Marked:
    """What became of an order to change flags."""

    rows: list[
        MessageColumns
    ]  # every message of the order that is there, as it is now, but for those in `conflicts`; by uid
    conflicts: list[int]  # uids of those that were changed since, and so were left alone
    modseq: int = 0  # of this change; 0 when there was nothing to change


@dataclass(frozen=True, slots=True)
class Appending:
    """One message to be put into a mailbox as it is."""

    body: Body
    received: int  # seconds since 1970
    marks: Marks = Marks()


@dataclass(frozen=True, slots=True)
class Placed:
    """Where messages were put: the uids in the mailbox they came from, when they did, and those they have now."""

    uidvalidity: int
    sources: list[int]
    uids: list[int]


class DeliveryReceipt(NamedTuple):
    """What became of a delivery, target by target."""

    results: list[DeliveryResult]
    messages: list[MessageRef | None]  # the copies, None for each that was not kept


@dataclass(frozen=True, slots=True)
class Usage:
    """How much an account holds, in all mailboxes."""

    messages: int
    octets: int


@dataclass(frozen=True, slots=True)
class Change:
    """The last thing that happened to a message. One that was expunged keeps its row for those who were away."""

    modseq: int
    mailbox: int  # id
    message: int
    uid: int
    expunged: bool
