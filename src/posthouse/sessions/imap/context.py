"""What the parts of an IMAP session share."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from posthouse.accounts.interface import Account
from posthouse.mailstore.changes import ChangeBus
from posthouse.mailstore.index import MessageIndex
from posthouse.mailstore.interface import FIRST_KEYWORD, Flag, Item, Mailstore
from posthouse.net.connection import Connection
from posthouse.protocol.imap.server import ImapServer
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


_AHEAD = 64
_ITEMS_KEPT = 2000


class RefusedError(Exception):
    """The command fails: NO (or BAD) with this code and text."""

    def __init__(self, text: str, code: str = "", *, bad: bool = False) -> None:
        super().__init__(text)
        self.code = code
        self.bad = bad


@dataclass(frozen=True, slots=True)
class Desk:
    """What IMAP needs beyond what all protocols need."""

    index: MessageIndex
    bus: ChangeBus
    take_up: Callable[[int], None]  # this account reads its mail here: its index is to be kept up to date
    clock: Callable[[], float] = time.time


@dataclass(slots=True)
class Context:
    """One session that has logged in."""

    engine: ImapServer
    connection: Connection
    services: Services
    account: Account
    desk: Desk
    view: View | None = None
    saved: list[int] = field(default_factory=list)  # uids of $
    keywords: list[str] = field(default_factory=list)
    _items: dict[int, Item] = field(default_factory=dict)  # by message id; only what never changes is used of them
    _shown: dict[int, bytes] = field(default_factory=dict)  # flags as bits -> as the client reads them

    @property
    def store(self) -> Mailstore:
        """Where the mail is."""
        return self.services.mailstore

    @property
    def index(self) -> MessageIndex:
        """What is known of the messages' contents."""
        return self.desk.index

    @property
    def utf8(self) -> bool:
        """Whether the client takes UTF-8 in quoted strings."""
        return self.engine.dialect.utf8

    @property
    def rev2(self) -> bool:
        """Whether IMAP4rev2 was enabled."""
        return self.engine.dialect.rev2

    @property
    def condstore(self) -> bool:
        """Whether the client wants to hear modseqs."""
        return "CONDSTORE" in self.engine.dialect.enabled

    @property
    def qresync(self) -> bool:
        """Whether the client wants VANISHED instead of EXPUNGE."""
        return "QRESYNC" in self.engine.dialect.enabled

    def notice_condstore(self) -> None:
        """The client has used something that only makes sense with modseqs (RFC 7162 3.1)."""
        if not self.condstore:
            self.engine.dialect.enabled.add("CONDSTORE")
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

    async def items(self, view: View, positions: Sequence[int]) -> list[Item]:
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

    async def learn_keywords(self) -> bool:
        """Ask the store for the account's keywords; whether there are new ones."""
        known = await self.store.keywords(self.account.id)
        fresh = len(known) > len(self.keywords)
        self.keywords = known
        return fresh

    async def know_flags(self, flags: Iterable[int]) -> None:
        """Make sure that flags_text() can name all these flags; tells the client of keywords it has not heard of."""
        limit = 1 << (FIRST_KEYWORD + len(self.keywords))
        if any(bits >= limit for bits in flags) and await self.learn_keywords():
            self.engine.send(self.flags_line())

    def flags_line(self) -> bytes:
        """The flags there are in this account."""
        return b"* FLAGS (%b)\r\n" % b" ".join([*map(str.encode, SYSTEM_FLAGS), *map(str.encode, self.keywords)])

    def flags_text(self, bits: int) -> bytes:
        """Flags in parentheses."""
        shown = self._shown.get(bits)
        if shown is None:
            names = [name.encode() for name, flag in SYSTEM_FLAGS.items() if bits & flag.value]
            names += [keyword.encode() for at, keyword in enumerate(self.keywords, FIRST_KEYWORD) if bits >> at & 1]
            shown = b"(%b)" % b" ".join(names)
            if bits < 1 << (FIRST_KEYWORD + len(self.keywords)):
                self._shown[bits] = shown
        return shown

    def flag_bits(self, name: str) -> int:
        """A flag or keyword as a bit; 0 for a keyword nobody has used."""
        system = _BY_NAME.get(name.lower())
        if system is not None:
            return system.value
        for at, keyword in enumerate(self.keywords, FIRST_KEYWORD):
            if keyword.lower() == name.lower():
                return 1 << at
        return 0


MAX_KEYWORD = 100


def marks(flags: Iterable[bytes]) -> tuple[Flag, tuple[str, ...]]:
    """Flags as a client names them. Raises RefusedError."""
    found = Flag.NONE
    keywords: list[str] = []
    for octets in flags:
        name = octets.decode("ascii", "replace")
        system = _BY_NAME.get(name.lower())
        if system is not None:
            found |= system
        elif name.startswith("\\"):
            raise RefusedError(f"There is no flag {name} that you could set", bad=True)
        elif len(name) > MAX_KEYWORD:
            raise RefusedError(f"A keyword has at most {MAX_KEYWORD} characters", "LIMIT")
        else:
            keywords.append(name)
    return found, tuple(keywords)
