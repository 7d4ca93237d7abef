"""The queue in neutral words: a queued message is one body in the mailstore and a row for each recipient.

A recipient waits until it is due, is claimed by one sender, and is settled or put back with a later due time. A claim is
worth as much as its claimer's lease: who dies loses what it held. What is settled stays for a week, to be traced.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol

from posthouse.message.envelope import Recipient, Sender

ACCOUNT = 0  # whose bodies the mailstore keeps for the queue; no user has this id
MAILBOX = "outgoing"

# Work to be done inside the transaction of the mailstore: the database, and the message ids of the filed placements.
Rider = Callable[[Any, Sequence[int]], None]


class State(IntEnum):
    """Where a recipient stands."""

    WAITING = 0
    DELIVERED = 1
    FAILED = 2  # refused for good; the sender was told, if there is one who may be told
    EXPIRED = 3  # given up after days; the sender was told
    DROPPED = 4  # by an operator; the sender was not told


@dataclass(frozen=True, slots=True)
class Message:
    """What all recipients of a queued message share. Times are in seconds since 1970."""

    number: int  # in the queue, ascending
    id: bytes  # of the envelope, 16 bytes
    body: int  # message id in the mailstore's account ACCOUNT, mailbox MAILBOX
    octets: int
    sender: Sender
    account: int | None  # of the user who submitted or forwards it
    message_id: str  # of its header, without the angle brackets; "" when it has none
    created: int
    expires: int  # after this, a failed attempt is the last one


@dataclass(frozen=True, slots=True)
class Waiting:
    """One recipient, claimed to be tried."""

    message: Message
    n: int  # which recipient
    recipient: Recipient
    destination: str  # where it is sent: the domain key, or the route's name
    attempts: int  # made so far
    warned: bool  # the sender was told of the delay


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
class Traced:
    """One recipient with all that is known of it, for people."""

    message: Message
    n: int
    recipient: Recipient
    destination: str
    state: State
    held: bool
    due: int
    attempts: int
    claimed: bool  # being tried at this moment
    finished: int | None
    tries: tuple[Try, ...]  # oldest first; at most the last 50


@dataclass(frozen=True, slots=True)
class Filter:
    """Which recipients an operator means; all conditions must hold, an empty one always does."""

    ids: tuple[str, ...] = ()  # message ids as shown in logs, or their first characters (at least 6)
    sender: str = ""  # an address, or a domain
    recipient: str = ""  # an address, or a domain
    destination: str = ""
    message_id: str = ""
    held: bool | None = None
    settled: bool = False  # those that are settled too


class Queue(Protocol):
    """What commands and the web ask of the queue. Each call is one transaction, seen by running servers at once."""

    async def list(self, wanted: Filter, *, limit: int = 1000) -> list[Traced]:
        """The recipients meant, oldest first."""

    async def retry(self, wanted: Filter) -> int:
        """Have those that wait tried now; how many."""

    async def hold(self, wanted: Filter) -> int:
        """Keep those that wait from being tried; how many."""

    async def release(self, wanted: Filter) -> int:
        """Let those that are held go on; how many."""

    async def drop(self, wanted: Filter) -> int:
        """Give those that wait up, telling nobody; how many."""
