"""What the parts of an IMAP session share."""

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TypeVar

from posthouse.accounts.interface import Account
from posthouse.mailstore.changes import ChangeBus
from posthouse.mailstore.index import MessageIndex
from posthouse.mailstore.interface import Flag, MailboxMessage, Mailstore, Marks
from posthouse.net.connection import Connection, ConnectionGoneError
from posthouse.protocol.imap.server import ImapServer
from posthouse.sessions.fair_shares import FairShares
from posthouse.sessions.imap.keywords import KnownKeywords
from posthouse.sessions.imap.trees import LastTree
from posthouse.sessions.imap.view import View
from posthouse.sessions.services import Services

SYSTEM_FLAGS = {
    "\\Answered": Flag.ANSWERED,
    "\\Flagged": Flag.FLAGGED,
    "\\Deleted": Flag.DELETED,
    "\\Seen": Flag.SEEN,
    "\\Draft": Flag.DRAFT,
}
_BY_NAME = {name.lower(): flag for name, flag in SYSTEM_FLAGS.items()}


T = TypeVar("T")
FEW = 2000  # messages that are searched, sorted or changed at once; more take longer than others should wait
_AHEAD = 64
_ITEMS_KEPT = 2000
_SHOWN_KEPT = 10_000


class RefusedError(Exception):
    """The command fails: NO (or BAD) with this code and text."""

    def __init__(self, text: str, code: str = "", *, bad: bool = False) -> None:
        super().__init__(text)
        self.code = code
        self.bad = bad


@dataclass(frozen=True, slots=True)
class ImapDependencies:
    """What IMAP needs beyond what all protocols need."""

    index: MessageIndex
    bus: ChangeBus
    take_up: Callable[[int], None]  # this account reads its mail here: its index is to be kept up to date
    clock: Callable[[], float] = time.time
    idle_notify: float = 120.0  # seconds between two signs of life in IDLE; 0: none are given
    shares: FairShares = field(default_factory=FairShares)  # one of a process


@dataclass(slots=True)
class Context:
    """One session that has logged in."""

    engine: ImapServer
    connection: Connection
    services: Services
    account: Account
    desk: ImapDependencies
    view: View | None = None
    saved: list[int] = field(default_factory=list)  # uids of $
    keywords: KnownKeywords = field(init=False)
    trees: LastTree = field(default_factory=LastTree)
    unsettled: bool = False  # something has changed, and the client was not told: no command may end with NO then
    _items: dict[int, MailboxMessage] = field(
        default_factory=dict
    )  # by message id; only what never changes is used of them
    _shown: dict[int, bytes] = field(default_factory=dict)  # flags as bits -> as the client reads them

    def __post_init__(self) -> None:
        self.keywords = KnownKeywords(self.store, self.account.id)

    @property
    def store(self) -> Mailstore:
        """Where the mail is."""
        return self.services.mailstore

    @property
    def index(self) -> MessageIndex:
        """What is known of the messages' contents."""
        return self.desk.index

    def share(self, messages: int) -> AbstractAsyncContextManager[None]:
        """Enter it for work on so many messages; do not wait for the client within it."""
        return contextlib.nullcontext() if messages < FEW else self.desk.shares.of(self.account.id)

    def share_for_answer(self, messages: int) -> AbstractAsyncContextManager[None]:
        """The same for work that changes nothing. Raises ConnectionGoneError when nobody waits for it any more."""
        return contextlib.nullcontext() if messages < FEW else self._share_while_there()

    @contextlib.asynccontextmanager
    async def _share_while_there(self) -> AsyncIterator[None]:
        async with self.desk.shares.of(self.account.id):
            if self.connection.lost:
                raise ConnectionGoneError
            yield

    @property
    def utf8(self) -> bool:
        """Whether the client takes UTF-8 in quoted strings."""
        return self.engine.mode.utf8

    @property
    def rev2(self) -> bool:
        """Whether IMAP4rev2 was enabled."""
        return self.engine.mode.rev2

    @property
    def condstore(self) -> bool:
        """Whether the client wants to hear modseqs."""
        return "CONDSTORE" in self.engine.mode.enabled

    @property
    def qresync(self) -> bool:
        """Whether the client wants VANISHED instead of EXPUNGE."""
        return "QRESYNC" in self.engine.mode.enabled

    async def commit(self, work: Awaitable[T]) -> T:
        """What a change of the store gives. From then on it is done, whatever becomes of the command."""
        done = await work
        self.unsettled = True
        return done

    def notice_condstore(self) -> None:
        """The client has used something that only makes sense with modseqs (RFC 7162 3.1)."""
        if not self.condstore:
            self.engine.mode.enabled.add("CONDSTORE")
            self.tell_modseq()

    def tell_modseq(self) -> None:
        """RFC 7162 3.1: who begins to use modseqs in an open mailbox is told where it stands."""
        if self.view is not None:
            self.engine.send(b"* OK [HIGHESTMODSEQ %d] As far as you know\r\n" % max(1, self.view.told))

    @property
    def opened(self) -> View:
        """The mailbox that is selected. The engine takes care that there is one."""
        if self.view is None:
            raise RefusedError("No mailbox is selected", bad=True)
        return self.view

    async def items(self, view: View, positions: Sequence[int]) -> list[MailboxMessage]:
        """The messages at these positions, those that are still there. What clients ask for next comes along."""
        known, ids = self._items, view.messages
        wanted = [ids[at] for at in positions]
        if any(message not in known for message in wanted):
            if len(known) > _ITEMS_KEPT:
                known.clear()
            ahead = ids[positions[-1] + 1 : positions[-1] + 1 + _AHEAD] if len(positions) < _AHEAD else ()
            missing = [message for message in (*wanted, *ahead) if message not in known]
            for item in await self.store.items(self.account.id, view.mailbox.id, missing):
                known[item.entry.message] = item
        return [known[message] for message in wanted if message in known]

    def forget_items(self) -> None:
        """Another mailbox is opened."""
        self._items.clear()

    # Flags.

    async def know_flags(self, flags: Iterable[int]) -> None:
        """Make sure that flags_text() can name all these flags; tells the client of keywords it has not heard of."""
        if max(flags, default=0) >= self.keywords.limit and await self.keywords.learn():
            self.engine.send(self.flags_line())

    def flags_line(self) -> bytes:
        """The flags there are in this account."""
        return b"* FLAGS (%b)\r\n" % " ".join([*SYSTEM_FLAGS, *self.keywords.names]).encode()

    def flags_text(self, bits: int) -> bytes:
        """Flags in parentheses."""
        shown = self._shown.get(bits)
        if shown is None:
            names = [name for name, flag in SYSTEM_FLAGS.items() if bits & flag.value]
            shown = f"({' '.join((*names, *self.keywords.of(bits)))})".encode()
            if bits < self.keywords.limit:
                if len(self._shown) > _SHOWN_KEPT:
                    self._shown.clear()
                self._shown[bits] = shown
        return shown


MAX_KEYWORD = 100


def marks(flags: Iterable[bytes], *, lenient: bool = False) -> Marks:
    """Flags as a client names them; system flags that are not known here are passed over (RFC 9051 2.3.2).

    With `lenient` keywords that are too long are passed over, too, else they raise RefusedError.
    """
    found = Flag.NONE
    keywords: list[str] = []
    for octets in flags:
        name = octets.decode("ascii", "replace")
        system = system_flag(name)
        if system is not None:
            found |= system
        elif len(name) <= MAX_KEYWORD:
            keywords.append(name)
        elif not lenient:
            raise RefusedError(f"A keyword has at most {MAX_KEYWORD} characters", "LIMIT")
    return Marks(found, tuple(keywords))


def system_flag(name: str) -> Flag | None:
    """The flag of that name, NONE for one that is not known here; None for a keyword."""
    return _BY_NAME.get(name.lower(), Flag.NONE if name.startswith("\\") else None)
