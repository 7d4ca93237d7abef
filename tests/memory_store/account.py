"""What the store in memory holds of one account."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from posthouse.mailstore.interface import (
    KEYWORD_SHIFT,
    Change,
    Flag,
    Mailbox,
    MailboxMessage,
    MessageRef,
    NoSuchMailboxError,
    Role,
)
from tests.memory_store.keywords import Keywords


@dataclass(slots=True)
class Box:
    """A mailbox and its messages."""

    id: int
    name: str
    uidvalidity: int
    role: Role = Role.NONE
    uidnext: int = 1
    modseq: int = 0
    items: dict[int, MailboxMessage] = field(default_factory=dict)  # by message id; uids ascend with it

    def view(self) -> Mailbox:
        """It, with its counters."""
        held = self.items.values()
        return Mailbox(
            self.id,
            self.name,
            self.uidvalidity,
            self.uidnext,
            self.modseq,
            len(held),
            sum(not item.flags & Flag.SEEN for item in held),
            sum(bool(item.flags & Flag.DELETED) for item in held),
            sum(item.entry.octets for item in held),
            self.role,
        )

    def those(self, messages: Iterable[int]) -> list[MailboxMessage]:
        """Those that are there, by uid."""
        return [self.items[message] for message in sorted(set(messages) & self.items.keys())]


@dataclass(slots=True)
class MemoryAccount:
    """The numbers that are never given twice, and all that is there now."""

    modseq: int = 0
    next_message: int = 1
    next_box: int = 1
    uidvalidity: int = 0  # the highest given
    boxes: dict[str, Box] = field(default_factory=dict)  # by name
    gone: list[Change] = field(default_factory=list)  # messages that were expunged
    keywords: Keywords = field(default_factory=Keywords)
    subscriptions: set[str] = field(default_factory=set)
    has_defaults: bool = False

    @property
    def octets(self) -> int:
        """Of all messages."""
        return sum(item.entry.octets for item in self.items())

    def items(self) -> Iterator[MailboxMessage]:
        """All messages."""
        for box in self.boxes.values():
            yield from box.items.values()

    def bump(self) -> int:
        """The next modseq."""
        self.modseq += 1
        return self.modseq

    def drop_unused_keywords(self) -> None:
        """Those that no message has."""
        if self.keywords.sets:
            self.keywords.keep({item.flags >> KEYWORD_SHIFT for item in self.items()})

    def by_id(self, number: int) -> Box:
        """A mailbox. Raises NoSuchMailboxError."""
        for box in self.boxes.values():
            if box.id == number:
                return box
        raise NoSuchMailboxError("the mailbox is not there any more")

    def by_name(self, name: str) -> Box:
        """A mailbox. Raises NoSuchMailboxError."""
        if name not in self.boxes:
            raise NoSuchMailboxError(f"there is no mailbox {name}")
        return self.boxes[name]

    def make(self, name: str, now: int, role: Role = Role.NONE) -> Box:
        """A new mailbox, as of the current modseq."""
        self.uidvalidity = max(now, self.uidvalidity + 1)
        box = self.boxes[name] = Box(self.next_box, name, self.uidvalidity, role, modseq=self.modseq)
        self.next_box += 1
        return box

    def put(self, box: Box, entry: MessageRef, flags: int, now: int, origin: int = 0) -> int:
        """A message into a mailbox, as of the current modseq: `entry` but for its id and uid; the uid."""
        message, uid = self.next_message, box.uidnext
        entry = entry._replace(message=message, uid=uid)
        box.items[message] = MailboxMessage(entry, flags, self.modseq, now, origin or message)
        box.modseq = self.modseq
        box.uidnext += 1
        self.next_message += 1
        return uid

    def take(self, box: Box, messages: Iterable[int]) -> list[int]:
        """Messages out of a mailbox; their uids."""
        taken = box.those(messages)
        if not taken:
            return []
        box.modseq = self.bump()
        for item in taken:
            del box.items[item.entry.message]
            self.gone.append(Change(self.modseq, box.id, item.entry.message, item.entry.uid, True))
        return [item.entry.uid for item in taken]

    def changes(self) -> Iterator[Change]:
        """The last change of each message, those that are gone first."""
        yield from self.gone
        for box in self.boxes.values():
            for item in box.items.values():
                yield Change(item.modseq, box.id, item.entry.message, item.entry.uid, False)
