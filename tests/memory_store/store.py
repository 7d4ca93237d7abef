"""The store in memory, made of the same parts as the interface."""

import time
from collections.abc import Callable

from posthouse.mailstore.changes import ChangeBus
from tests.memory_store.deliveries import MemoryDeliveries
from tests.memory_store.mailboxes import MemoryMailboxes
from tests.memory_store.message_reader import MemoryMessageReader
from tests.memory_store.message_writer import MemoryMessageWriter
from tests.memory_store.state import MemoryState
from tests.memory_store.upkeep import MemoryChangeFeed, MemoryMaintenance


class MemoryMailstore:
    """A Mailstore that is gone when the process ends."""

    def __init__(self, bus: ChangeBus, *, clock: Callable[[], float] = time.time) -> None:
        self.state = state = MemoryState(bus, clock)
        self.deliver = MemoryDeliveries(state).deliver
        self._offer_mailboxes(MemoryMailboxes(state))
        self._offer_reading(MemoryMessageReader(state))
        self._offer_writing(MemoryMessageWriter(state))
        changes = MemoryChangeFeed(state)
        self.modseq = changes.modseq
        self.changes = changes.changes
        self.since = changes.since
        maintenance = MemoryMaintenance(state)
        self.usage = maintenance.usage
        self.forget = maintenance.forget

    def _offer_mailboxes(self, mailboxes: MemoryMailboxes) -> None:
        self.mailboxes = mailboxes.mailboxes
        self.mailbox = mailboxes.mailbox
        self.create = mailboxes.create
        self.rename = mailboxes.rename
        self.delete = mailboxes.delete
        self.subscribe = mailboxes.subscribe
        self.subscriptions = mailboxes.subscriptions
        self.create_default_mailboxes = mailboxes.create_default_mailboxes

    def _offer_reading(self, reader: MemoryMessageReader) -> None:
        self.entries = reader.entries
        self.maildrop = reader.maildrop
        self.find = reader.find
        self.read = reader.read
        self.check = reader.check
        self.items = reader.items
        self.snapshot = reader.snapshot
        self.measured = reader.measured
        self.deleted = reader.deleted
        self.deleted_octets = reader.deleted_octets
        self.keywords = reader.keywords
        self.keyword_sets = reader.keyword_sets

    def _offer_writing(self, writer: MemoryMessageWriter) -> None:
        self.append = writer.append
        self.copy = writer.copy
        self.move = writer.move
        self.mark = writer.mark
        self.remove = writer.remove
        self.expunge = writer.expunge

    async def close(self) -> None:
        """See Mailstore."""
        self.state.closed = True
