"""What the parts of an IMAP session share."""

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TypeVar

from posthouse.accounts.interface import Account
from posthouse.mailstore.changes import ChangeBus
from posthouse.mailstore.index import MessageIndex
from posthouse.mailstore.interface import Mailstore
from posthouse.net.connection import Connection, ConnectionGoneError
from posthouse.protocol.imap.commands import SessionMode
from posthouse.protocol.imap.server import ImapServer
from posthouse.sessions.fair_shares import FairShares
from posthouse.sessions.imap.errors import RefusedError
from posthouse.sessions.imap.flags import FlagNames
from posthouse.sessions.imap.keywords import KnownKeywords
from posthouse.sessions.imap.message_cache import MessageCache
from posthouse.sessions.imap.trees import LastTree
from posthouse.sessions.imap.view import View
from posthouse.sessions.services import Services

T = TypeVar("T")
FEW = 2000  # messages that are searched, sorted or changed at once; more take longer than others should wait


@dataclass(frozen=True, slots=True)
class ImapDependencies:
    """What IMAP needs beyond what all protocols need."""

    index: MessageIndex
    bus: ChangeBus
    watch_account: Callable[[int], None]  # this account reads its mail here: its index is to be kept up to date
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
    dependencies: ImapDependencies
    view: View | None = None
    saved: list[int] = field(default_factory=list)  # uids of $
    keywords: KnownKeywords = field(init=False)
    trees: LastTree = field(default_factory=LastTree)
    unsettled: bool = False  # something has changed that was not reported yet: no command may end with NO then
    messages: MessageCache = field(init=False)
    flags: FlagNames = field(init=False)

    def __post_init__(self) -> None:
        self.keywords = KnownKeywords(self.store, self.account.id)
        self.messages = MessageCache(self.store, self.account.id)
        self.flags = FlagNames(self.engine, self.keywords)

    @property
    def store(self) -> Mailstore:
        """Where the mail is."""
        return self.services.mailstore

    @property
    def index(self) -> MessageIndex:
        """What is known of the messages' contents."""
        return self.dependencies.index

    def share(self, messages: int) -> AbstractAsyncContextManager[None]:
        """Enter it for work on so many messages; do not wait for the client within it."""
        return contextlib.nullcontext() if messages < FEW else self.dependencies.shares.of(self.account.id)

    def share_for_answer(self, messages: int) -> AbstractAsyncContextManager[None]:
        """The same for work that changes nothing. Raises ConnectionGoneError when nobody waits for it any more."""
        return contextlib.nullcontext() if messages < FEW else self._share_while_there()

    @contextlib.asynccontextmanager
    async def _share_while_there(self) -> AsyncIterator[None]:
        async with self.dependencies.shares.of(self.account.id):
            if self.connection.lost:
                raise ConnectionGoneError
            yield

    @property
    def mode(self) -> SessionMode:
        """What the client has enabled."""
        return self.engine.mode

    async def commit(self, work: Awaitable[T]) -> T:
        """What a change of the store gives. From then on it is done, whatever becomes of the command."""
        done = await work
        self.unsettled = True
        return done

    def notice_condstore(self) -> None:
        """The client has used something that only makes sense with modseqs (RFC 7162 3.1)."""
        if not self.mode.condstore:
            self.mode.enabled.add("CONDSTORE")
            self.send_highest_modseq()

    def send_highest_modseq(self) -> None:
        """RFC 7162 3.1: a client that begins to use modseqs in an open mailbox gets the highest one."""
        if self.view is not None:
            self.engine.send(b"* OK [HIGHESTMODSEQ %d] As far as you know\r\n" % max(1, self.view.known_modseq))

    @property
    def opened(self) -> View:
        """The mailbox that is selected. The engine takes care that there is one."""
        if self.view is None:
            raise RefusedError("No mailbox is selected", bad=True)
        return self.view
