"""The queue in neutral words: a queued message is one body in the mailstore and a row for each recipient.

A recipient waits until it is due, is claimed by one sender, and is settled or put back with a later due time. A claim
is worth as much as its claimer's lease: who dies loses what it held. What is settled stays for a week, to be traced.

A lease is not measured by the clock, which may step, but by what others see: a claimer shows that it is alive with a
beat, and is taken for dead by another process that has seen no beat for LEASE_SECONDS of its own running time. So a
group of processes that was stopped together, or a machine that was paused, ends nobody's claims.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from posthouse.database.transaction import SharedTransaction
from posthouse.message.envelope import Recipient, ReversePath

LEASE_SECONDS = 60  # how long a claimer's claims outlive it
Key = tuple[int, int]  # of a recipient: the message's number, and which of its recipients

ACCOUNT = 0  # whose bodies the mailstore keeps for the queue; no user has this id
MAILBOX = "outgoing"


class RecipientState(IntEnum):
    """Where a recipient stands."""

    WAITING = 0
    DELIVERED = 1
    FAILED = 2  # refused for good; the sender got a report, if there is one who may get it
    EXPIRED = 3  # given up after days; the sender got a report
    DROPPED = 4  # by an operator; the sender got no report


@dataclass(frozen=True, slots=True)
class QueuedMessage:
    """What all recipients of a queued message share. Times are in seconds since 1970."""

    number: int  # in the queue, ascending
    id: bytes  # of the envelope, 16 bytes
    body: int  # message id in the mailstore's account ACCOUNT, mailbox MAILBOX
    octets: int
    sender: ReversePath
    account: int | None  # of the user who submitted or forwards it
    message_id: str  # of its header, without the angle brackets; "" when it has none
    created: int
    expires: int  # after this, a failed attempt is the last one
    clock_offset: int = 0  # from a clock that does not step to the one that `created` and `expires` are by


@dataclass(frozen=True, slots=True)
class Fresh:
    """A message to be queued; its body is the last placement of the delivery that it rides on."""

    id: bytes
    octets: int
    sender: ReversePath
    account: int | None
    message_id: str
    created: int
    expires: int
    recipients: tuple[tuple[Recipient, str], ...]  # with their destinations
    due: int  # not tried before (RFC 4865)


@dataclass(frozen=True, slots=True)
class Waiting:
    """One recipient, claimed to be tried."""

    message: QueuedMessage
    n: int  # which recipient
    recipient: Recipient
    destination: str  # where it is sent: the domain key, or the route's name
    attempts: int  # made so far
    warned: bool  # the sender got a report of the delay
    urgent: bool = False  # an operator wants it tried now, whatever is known of the destination

    @property
    def key(self) -> Key:
        """Which one it is."""
        return self.message.number, self.n


@dataclass(frozen=True, slots=True)
class Try:
    """One attempt, as it is kept for `mail trace`."""

    at: int
    code: int
    reply: str
    host: str
    ip: str
    tls: str


@dataclass(frozen=True, slots=True)
class Delay:
    """What decides how a recipient goes on after an attempt that failed. Times are in seconds since 1970."""

    attempts: int  # made before it
    warned: bool
    created: int
    expires: int


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """What is to be written down about one claimed recipient. WAITING: put back until `due`."""

    waiting: Waiting
    state: RecipientState
    tried: Try | None  # None: it was not tried, and gets its turn as if nothing had been
    due: int = 0
    warned: bool = False


@dataclass(frozen=True, slots=True)
class Traced:
    """One recipient with all that is known of it, for people."""

    message: QueuedMessage
    n: int
    recipient: Recipient
    destination: str
    state: RecipientState
    held: bool
    due: int
    attempts: int
    claimed: bool  # being tried at this moment
    finished: int | None
    tries: tuple[Try, ...]  # oldest first; at most the last 50


@dataclass(frozen=True, slots=True)
class Filter:
    """Which recipients an operator means; all conditions must hold, an empty one always does."""

    ids: tuple[str, ...] = ()  # message ids as in logs, or their first characters (at least 6)
    sender: str = ""  # an address, or a domain
    recipient: str = ""  # an address, or a domain
    destination: str = ""
    message_id: str = ""
    held: bool | None = None
    settled: bool = False  # those that are settled too


class Kept(Protocol):
    """What the mailstore says of a body it has kept."""

    @property
    def message(self) -> int:
        """Its message id."""


class Put(Protocol):
    """Queues one message inside the mailstore's transaction that keeps its body, the last of the delivery."""

    def __call__(self, transaction: SharedTransaction, copies: Sequence[Kept | None]) -> None:
        """Inside the transaction."""

    @property
    def waiting(self) -> list[Waiting]:
        """After the commit: its recipients, if they were claimed on the way; else they wait for a claim."""


class Recorder(Protocol):
    """Writes records down inside the mailstore's transaction; undoes it when a report is no longer ours to make."""

    def __call__(self, transaction: SharedTransaction, copies: Sequence[Kept | None]) -> None:
        """Inside the transaction."""

    @property
    def done(self) -> bool:
        """After the commit: whether it was called."""

    @property
    def over(self) -> list[int]:
        """After the commit: the bodies that nobody needs any more."""

    @property
    def lost(self) -> frozenset[int]:
        """After it was undone for their sake: positions of the reported records whose claims were lost."""


class QueueInput(Protocol):
    """Takes messages into the queue."""

    def put(self, fresh: Fresh, *, mine: bool) -> Put:
        """Have a message queued. `mine`: claimed at once, to be sent by this process now."""


class DueRecipients(Protocol):
    """What is due, claimed by this claimer to be tried."""

    def now_for(self, message: QueuedMessage) -> int:
        """What the clock of the message's times says now: no step since they were read makes it older or younger."""

    async def claim(
        self,
        busy: Collection[str],
        limit: int,
        *,
        only: Collection[str] | None = None,
        share: Callable[[str], int] | None = None,
        holding: Collection[Key] = (),
    ) -> list[Waiting]:
        """Take what is due and free, `limit` recipients at most; the destination that has waited longest comes first.

        None for a `busy` destination, or for any but `only` those; for each up to `share` messages. What the claimer
        is `holding` is left alone, whatever the tables say of it.
        """

    async def postpone(
        self,
        destination: str,
        tried: Try,
        later: Callable[[Delay], int | None],
        limit: int,
        *,
        holding: Collection[Key] = (),
    ) -> list[Waiting]:
        """Count what is due for a destination that is down as tried, some at a time. `later`: the next due time.

        Claims those that it gives None for, whose senders get a report, and one that an operator wants tried.
        """

    async def due_among(self, destinations: Collection[str], limit: int) -> list[str]:
        """Those of the destinations that something is due for."""

    async def release(self, keys: Iterable[Key]) -> None:
        """Give claims back, as if they had not been taken."""


class AttemptRecords(Protocol):
    """Where outcomes are written down."""

    async def record(self, records: Sequence[AttemptRecord]) -> list[int]:
        """Write down what became of claimed recipients; the bodies that nobody needs any more.

        What was delivered is settled even if another has the claim by now, whose own outcome then changes nothing.
        """

    def recorder(self, records: Sequence[AttemptRecord], reported: Collection[int] = ()) -> Recorder:
        """The same inside a delivery: when the sender is notified by a message, that message and this are one.

        `reported`: positions of the records that the message reports.
        """


class QueueLease(Protocol):
    """What this claimer holds, and how it shows that it is alive."""

    async def claimed(self) -> dict[Key, bool]:
        """What this claimer holds by the tables; True: an operator holds it meanwhile."""

    @property
    def is_alive(self) -> bool:
        """Whether the last renewal is so recent that nobody has ended our claims. Takes no time."""

    async def renew(self) -> bool:
        """Show that this claimer is alive. Whether it came in time; if not, others may have ended our claims."""

    async def watch(self) -> bool:
        """Look at all claimers, and end the claims of those that have shown no beat for a lease of running time.

        Whether what this one may hold was changed: by an operator, or by another who had delivered it already.
        """

    async def leave(self) -> None:
        """Give up all claims."""


class QueueUpkeep(Protocol):
    """What is done now and then."""

    async def tidy(self) -> None:
        """Forget what was settled a week ago; put right what was written by a clock that has stepped since."""

    async def needed_bodies(self) -> set[int]:
        """The bodies that recipients still wait for."""

    async def waiting_count(self) -> int:
        """How many recipients wait."""


class Outgoing(QueueInput, DueRecipients, AttemptRecords, QueueLease, QueueUpkeep, Protocol):
    """The sender's side of the queue, whole. One object is one claimer. Raises what the mailstore raises.

    What ends a try works on a full disk, as long as the mailstore's reserve lasts: record, release, renew and leave.
    """


class Queue(Protocol):
    """What commands and the web ask of the queue. Each call is one transaction, seen by running servers at once."""

    def recipients(self, wanted: Filter, *, limit: int = 1000) -> list[Traced]:
        """The recipients meant, the newest message first."""

    def retry(self, wanted: Filter) -> int:
        """Retry waiting recipients now; how many."""

    def under_way(self, wanted: Filter) -> int:
        """How many are in a sender's hands at this moment: a hold or a drop may come too late for their try."""

    def hold(self, wanted: Filter) -> int:
        """Keep those that wait from being tried; how many."""

    def release(self, wanted: Filter) -> int:
        """Let those that are held go on; how many."""

    def drop(self, wanted: Filter) -> int:
        """Give those that wait up, without a report; how many."""
