"""See mailstore.interface.messages."""

from array import array
from collections.abc import Sequence

from posthouse.mailstore.interface import (
    INBOX,
    Flag,
    MailboxMessage,
    MaildropColumns,
    Measure,
    MessageColumns,
    MessageRef,
    Snapshot,
    StoreError,
)
from posthouse.mailstore.names import canonical
from tests.memory_store import messages as letters
from tests.memory_store.state import MemoryState


class MemoryMessageReader:
    """See MessageReader."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def entries(self, account: int, name: str = INBOX) -> list[MessageRef]:
        """See MessageReader."""
        box = self._state.look(account).boxes.get(canonical(name))
        return [item.entry for item in box.items.values()] if box else []

    async def maildrop(self, account: int, name: str = INBOX) -> MaildropColumns:
        """See MessageReader."""
        entries = await self.entries(account, name)
        messages, octets = [entry.message for entry in entries], [entry.sent_octets for entry in entries]
        return MaildropColumns(array("Q", messages), array("Q", octets), entries[:1000])

    async def find(self, account: int, name: str, messages: Sequence[int]) -> list[MessageRef]:
        """See MessageReader."""
        box = self._state.look(account).boxes.get(canonical(name))
        return [item.entry for item in box.those(messages)] if box else []

    async def read(self, entry: MessageRef, offset: int, length: int) -> bytes:
        """See MessageReader."""
        self._state.check_open()
        if not isinstance(entry.place, tuple):
            raise StoreError(f"message {entry.message}: its body is not known to the store")
        prefix, body = entry.place
        end = min(offset + length, entry.octets)
        own = len(prefix)
        return bytes(prefix[offset:end] + body[max(0, offset - own) : max(0, end - own)])

    async def check(self, entry: MessageRef) -> None:
        """See MessageReader."""
        await self.read(entry, 0, 0)

    async def items(self, account: int, mailbox: int, messages: Sequence[int]) -> list[MailboxMessage]:
        """See MessageReader."""
        return self._state.look(account).by_id(mailbox).those(messages)

    async def snapshot(self, account: int, name: str) -> Snapshot:
        """See MessageReader."""
        name = canonical(name)
        with self._state.change(account, inbox=name == INBOX) as owner:
            box = owner.by_name(name)
            rows = list(map(letters.row, box.items.values()))
            uids, *others = zip(*rows, strict=True) if rows else [()] * len(MessageColumns._fields)
            return Snapshot(box.view(), owner.modseq, array("L", uids), *(array("Q", column) for column in others))

    async def measured(self, account: int, mailbox: int, measure: Measure, low: int, high: int) -> set[int]:
        """See MessageReader."""
        items = self._state.look(account).by_id(mailbox).items
        return {message for message, item in items.items() if low <= letters.number(item, measure) <= high}

    async def deleted(self, account: int, mailbox: int) -> dict[int, int]:
        """See MessageReader."""
        items = self._state.look(account).by_id(mailbox).items.values()
        return {item.entry.uid: item.entry.message for item in items if item.flags & Flag.DELETED}

    async def deleted_octets(self, account: int, mailbox: int) -> int:
        """See MessageReader."""
        items = self._state.look(account).by_id(mailbox).items.values()
        return sum(item.entry.octets for item in items if item.flags & Flag.DELETED)

    async def keywords(self, account: int) -> list[str]:
        """See MessageReader."""
        return self._state.look(account).keywords.names()

    async def keyword_sets(self, account: int, after: int = 0) -> dict[int, tuple[str, ...]]:
        """See MessageReader."""
        return self._state.look(account).keywords.page(after)
