"""The mailstore in neutral words: accounts hold mailboxes, mailboxes hold messages, messages share blobs.

POP3, IMAP, JMAP and webmail are faces of this one interface; none of their syntax may appear here.
Every store passes tests/conformance.
"""

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, IntFlag, StrEnum
from typing import Any, NamedTuple, Protocol, TypeVar

INBOX = "INBOX"

T = TypeVar("T")


class StoreError(Exception):
    """The store could not do it now; nothing of the request was kept. The caller may try again later."""


class DamagedError(StoreError):
    """The octets of a message are not those that were kept. Trying again is of no use."""


class StoreFullError(StoreError):
    """No space is left on the device (or in the object store): 452, never 250."""


class NoSuchMailboxError(StoreError):
    """There is no mailbox of that name or id (any more)."""


class MailboxExistsError(StoreError):
    """There is a mailbox of that name already."""


class BadNameError(StoreError):
    """No mailbox can have that name; the text says why."""


class OverQuotaError(StoreError):
    """The account would hold more than it may."""


class TooManyKeywordsError(StoreError):
    """A message, or the messages of an account together, would have more keywords than the store keeps."""


class Flag(IntFlag):
    """The flags every mailbox knows, as the low KEYWORD_SHIFT bits of Item.flags."""

    NONE = 0
    SEEN = 1
    ANSWERED = 2
    FLAGGED = 4
    DELETED = 8
    DRAFT = 16


LOG_ROWS = 20_000  # expunges of an account that are remembered for clients that were away
# The bits of Item.flags from here on are the number of the set of keywords that the message has; 0: it has none. A
# number is never given twice in an account. See Mailstore.keyword_sets().
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
    prefix: bytes  # trace headers, each line ended by CRLF; kept beside the body, read before it
    mailbox: str = INBOX
    quota: int | None = None  # octets the account may hold after this; None: no bound


class DeliveryResult(Enum):
    """What became of one placement."""

    KEPT = "kept"
    ALREADY = "already"  # this delivery was kept in this mailbox before: deliveries are idempotent
    OVER_QUOTA = "over quota"
    WITHHELD = "withheld"  # there was room, but the delivery was to be kept whole and another placement had none


class MessageRef(NamedTuple):
    """One message of a mailbox as a reader needs it."""

    message: int  # message id: unique in the account for ever, never given twice
    uid: int  # ascending in the mailbox, never given twice
    octets: int  # prefix + body, as read() gives them
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
class Maildrop:
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


# Work of another room that keeps its rows in the same database: done in the store's own transaction, or not at all.
# It is given the database and the entries of the placements, None for each that was not kept.
Rider = Callable[[Any, Sequence[MessageRef | None]], None]


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


class Mailstore(Protocol):
    """Each method is atomic, durable when it returns, and safe beside others in this or another process.

    All raise StoreFullError when space ran out and StoreError when the store does not work; then nothing was changed.
    """

    async def deliver(
        self,
        delivery: bytes,
        body: Body,
        placements: Sequence[Target],
        received: int,
        *,
        whole: bool,
        also: Rider | None = None,
    ) -> list[DeliveryResult]:
        """Keep one body for many accounts in one transaction; one DeliveryResult per target, in order.

        `delivery` is 16 bytes that name this delivery, the first six of them the milliseconds since 1970 (as in a
        UUIDv7): the same again within a month files nothing twice. b"" names none: for what cannot come again, which
        is then kept with less work. With `whole`, one placement over quota keeps all
        from being filed: it says OVER_QUOTA, those there was room for say WITHHELD. Without it each stands for itself.
        Uids are given inside the transaction, so they ascend for every reader. Mailboxes are made when missing.
        `also` is called when the copies are in place, without any, too; what it raises undoes them and comes out as a
        StoreError.
        A task cancelled meanwhile ends when the outcome is certain: the body is in use until then.
        """

    async def entries(self, account: int, mailbox: str = INBOX) -> list[MessageRef]:
        """The messages of a mailbox, by uid. Empty when there is no such account or mailbox."""

    async def maildrop(self, account: int, mailbox: str = INBOX) -> Maildrop:
        """The messages of a mailbox in some 16 octets each. Empty when there is no such account or mailbox.

        Of a large one that changes meanwhile it may have a message that was just removed.
        """

    async def find(self, account: int, mailbox: str, messages: Sequence[int]) -> list[MessageRef]:
        """Those of the messages that are there, by uid."""

    async def read(self, entry: MessageRef, offset: int, length: int) -> bytes:
        """Up to `length` octets of prefix + body from `offset`; b"" at the end.

        Raises DamagedError when another message is found there, and, where the whole message is read at once, when any
        octet is not what was kept. Call check() before sending a message in pieces.
        """

    async def check(self, entry: MessageRef) -> None:
        """Compare the whole message with what was kept. Raises DamagedError, StoreError."""

    async def expunge(self, account: int, mailbox: str, messages: Sequence[int]) -> int:
        """Remove messages by id in one transaction; how many were there. Unknown ids are passed over."""

    async def usage(self, account: int) -> Usage:
        """What the account holds now."""

    async def changes(self, account: int, since: int) -> list[Change]:
        """What happened after modseq `since` in all mailboxes, by modseq and uid."""

    # Mailboxes. Names are looked up in their canonical form (mailstore.names): INBOX in any case, Unicode in NFC.
    # INBOX is there for every account, from the first time it is asked for.

    async def mailboxes(self, account: int) -> list[Mailbox]:
        """All of them, by name."""

    async def mailbox(self, account: int, name: str) -> Mailbox | None:
        """The one of that name."""

    async def create(self, account: int, name: str, role: Role = Role.NONE) -> Mailbox:
        """Make a mailbox, and those above it that are missing. Raises MailboxExistsError, BadNameError.

        At most one mailbox has a role: another one that has it raises MailboxExistsError.
        """

    async def rename(self, account: int, name: str, new: str) -> None:
        """Give a mailbox and all below it another name; ids, uids and uidvalidity stay.

        INBOX stays, and what is below it: its messages move to a new mailbox `new`, with new uids (RFC 9051 6.3.6).
        Raises NoSuchMailboxError, MailboxExistsError (`new`, or one below it, is there), BadNameError (also when `new`
        is below `name`). A name that is only the level above others may be renamed, too.
        """

    async def delete(self, account: int, name: str) -> None:
        """Remove a mailbox and its messages; those below it stay. Raises NoSuchMailboxError, BadNameError for INBOX."""

    async def subscribe(self, account: int, name: str, wanted: bool) -> None:
        """Note whether the owner wants to see that name; there need be no such mailbox (RFC 9051 6.3.7)."""

    async def subscriptions(self, account: int) -> list[str]:
        """The names that subscribe() noted, sorted."""

    async def create_default_mailboxes(self, account: int, mailboxes: Sequence[tuple[str, Role]]) -> None:
        """Make these mailboxes and subscribe to them and to INBOX, the first time this is called for an account.

        One that is there already gets the role, if it has none and nobody else has it.
        """

    async def keywords(self, account: int) -> list[str]:
        """The keywords that messages of the account have, in the order of their first use. Takes microseconds."""

    async def keyword_sets(self, account: int, after: int = 0) -> dict[int, tuple[str, ...]]:
        """The sets of keywords that messages of the account have: number -> names.

        Those with numbers above `after`, ascending, at most KEYWORD_SETS_PAGE of them. A set that no message has any
        more is gone, and its number is not given again: who knows it may go on using it.
        """

    # Messages of a mailbox, by its id. All raise NoSuchMailboxError; messages that are not there are passed over.

    def modseq(self, account: int) -> int:
        """Of the last change in the account: whoever knows this one need not ask what is new. Takes microseconds."""

    async def measured(self, account: int, mailbox: int, measure: Measure, low: int, high: int) -> set[int]:
        """Ids of the messages whose number is between the two, both included."""

    async def snapshot(self, account: int, name: str) -> Snapshot:
        """A mailbox by name, with all its messages."""

    async def since(self, account: int, mailbox: int, modseq: int) -> Delta:
        """What happened after that modseq.

        The store remembers the last LOG_ROWS expunges of an account, and some more. For what lies further back the
        answer has every uid that was ever given and is there no more (RFC 7162 3.2.5.2 allows it).
        """

    async def items(self, account: int, mailbox: int, messages: Sequence[int]) -> list[MailboxMessage]:
        """Those of the messages that are there, by uid. For some hundred ids at a time."""

    async def mark(
        self,
        account: int,
        mailbox: int,
        messages: Sequence[int],
        setting: Setting,
        marks: Marks,
        *,
        unchanged_since: int | None = None,
    ) -> Marked:
        """Change flags. Messages with a modseq above `unchanged_since` are left alone. One whose flags stay the same
        keeps its modseq. All that change get the same new one. Raises TooManyKeywordsError, and changes nothing then.
        """

    async def append(
        self,
        account: int,
        name: str,
        messages: Sequence[Appending],
        *,
        quota: int | None = None,
        replacing: tuple[int, int] | None = None,
    ) -> Placed:
        """Put messages into a mailbox that is there, all or none. `sources` is the uid that was replaced, if any.

        Keywords that there is no room for are left out.

        `replacing`: mailbox id and message id of one that goes in the same transaction (RFC 8508); quota is counted
        without it. Raises NoSuchMailboxError, also when that one is not there; OverQuotaError.
        """

    async def copy(
        self, account: int, mailbox: int, messages: Sequence[int], name: str, *, quota: int | None = None
    ) -> Placed:
        """Copy messages, with flags and received dates, in the order of their uids. Raises OverQuotaError, too."""

    async def move(self, account: int, mailbox: int, messages: Sequence[int], name: str) -> Placed:
        """The same, and the messages vanish where they were, in the same transaction. Into itself: new uids."""

    async def remove(self, account: int, mailbox: int, messages: Sequence[int], *, marked: bool = True) -> list[int]:
        """Expunge those of the messages that are there, with `marked` only those with Flag.DELETED; their uids."""

    async def deleted(self, account: int, mailbox: int) -> dict[int, int]:
        """Uid -> message id of the messages with Flag.DELETED, by uid. Costs by their number, not by the mailbox."""

    async def deleted_octets(self, account: int, mailbox: int) -> int:
        """How much the messages with Flag.DELETED take."""

    async def forget(self, account: int) -> None:
        """Remove an account's mailboxes and messages for good."""

    async def close(self) -> None:
        """Finish what waits, then let go of files."""
