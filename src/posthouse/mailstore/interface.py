"""The mailstore in neutral words: accounts hold mailboxes, mailboxes hold messages, messages share blobs.

POP3, IMAP, JMAP and webmail are faces of this one interface; none of their syntax may appear here.
Every store passes tests/conformance.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, IntFlag
from typing import Any, NamedTuple, Protocol, TypeVar

INBOX = "INBOX"

T = TypeVar("T")


class StoreError(Exception):
    """The store could not do it now; nothing of the request was kept. The caller may try again later."""


class StoreFullError(StoreError):
    """No space is left on the device (or in the object store): 452, never 250."""


class Traits(IntFlag):
    """What later readers would otherwise have to scan the body for."""

    NONE = 0
    DOT_LINES = 1  # some line starts with ".": needs dot-stuffing (RFC 1939 3)
    OPEN_END = 2  # does not end with CRLF
    EIGHT_BIT = 4  # holds octets above 127
    BARE_BREAKS = 8  # holds a bare CR or LF (BINARYMIME only)


class Body(Protocol):
    """An immutable message body waiting in a spool. `chunks` is called from the store's own thread."""

    @property
    def octets(self) -> int:
        """Length of the body."""

    @property
    def sha256(self) -> bytes:
        """Digest of the body, 32 bytes."""

    @property
    def traits(self) -> Traits:
        """Traits of the body."""

    def chunks(self) -> Iterator[bytes]:
        """The bytes in order, from the start on every call."""


@dataclass(frozen=True, slots=True)
class Placement:
    """One copy to be kept: for whom, where, under which trace headers."""

    account: int
    prefix: bytes  # trace headers, each line ended by CRLF; kept beside the body, read before it
    mailbox: str = INBOX
    quota: int | None = None  # octets the account may hold after this; None: no bound


class Filed(Enum):
    """What became of one placement."""

    KEPT = "kept"
    ALREADY = "already"  # this delivery was kept in this mailbox before: deliveries are idempotent
    OVER_QUOTA = "over quota"
    WITHHELD = "withheld"  # there was room, but the delivery was to be kept whole and another placement had none


class Entry(NamedTuple):
    """One message of a mailbox as a reader needs it."""

    message: int  # message id: unique in the account for ever, never given twice
    uid: int  # ascending in the mailbox, never given twice
    octets: int  # prefix + body, as read() gives them
    traits: int  # Traits of the body (an int: mailboxes hold hundreds of thousands)
    received: int  # seconds since 1970
    place: object  # the store's own: where the bytes are


# Work of another room that keeps its rows in the same database: done in the store's own transaction, or not at all.
# It is given the database and the entries of the placements, None for each that was not kept.
Rider = Callable[[Any, Sequence[Entry | None]], None]


@dataclass(frozen=True, slots=True)
class Usage:
    """How much an account holds, in all mailboxes."""

    messages: int
    octets: int


@dataclass(frozen=True, slots=True)
class Change:
    """One row of an account's change log."""

    modseq: int
    mailbox: str
    message: int
    uid: int
    kind: str  # "added" | "expunged"


class Mailstore(Protocol):
    """Each method is atomic, durable when it returns, and safe beside others in this or another process.

    All raise StoreFullError when space ran out and StoreError when the store is unwell; then nothing was changed.
    """

    async def deliver(
        self,
        delivery: bytes,
        body: Body,
        placements: Sequence[Placement],
        received: int,
        *,
        whole: bool,
        also: Rider | None = None,
    ) -> list[Filed]:
        """Keep one body for many accounts in one transaction; one Filed per placement, in order.

        `delivery` is 16 bytes that name this delivery, the first six of them the milliseconds since 1970 (as in a
        UUIDv7): the same again within a month files nothing twice. With `whole`, one placement over quota keeps all
        from being filed: it says OVER_QUOTA, those there was room for say WITHHELD. Without it each stands for itself.
        Uids are given inside the transaction, so they ascend for every reader. Mailboxes are made when missing.
        `also` is called when the copies are in place; what it raises undoes them and comes out as a StoreError.
        A task cancelled meanwhile ends when the outcome is certain: the body is in use until then.
        """

    async def entries(self, account: int, mailbox: str = INBOX) -> list[Entry]:
        """The messages of a mailbox, by uid. Empty when there is no such account or mailbox."""

    async def find(self, account: int, mailbox: str, messages: Sequence[int]) -> list[Entry]:
        """Those of the messages that are there, by uid."""

    async def read(self, entry: Entry, offset: int, length: int) -> bytes:
        """Up to `length` octets of prefix + body from `offset`; b"" at the end. Raises StoreError when damaged."""

    async def expunge(self, account: int, mailbox: str, messages: Sequence[int]) -> int:
        """Remove messages by id in one transaction; how many were there. Unknown ids are passed over."""

    async def usage(self, account: int) -> Usage:
        """What the account holds now."""

    async def changes(self, account: int, since: int) -> list[Change]:
        """The change log after modseq `since`, ascending."""

    async def forget(self, account: int) -> None:
        """Remove an account's mailboxes and messages for good."""

    async def close(self) -> None:
        """Finish what waits, then let go of files."""
