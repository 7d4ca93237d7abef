"""See mailstore.interface.messages."""

from collections.abc import Sequence
from functools import partial

from posthouse.mailstore.interface import INBOX, MailboxMessage, MaildropColumns, Measure, MessageRef, Snapshot
from posthouse.mailstore.names import canonical
from posthouse.mailstore.sqlite import keywords, queries, views
from posthouse.mailstore.sqlite.access import StoreAccess
from posthouse.mailstore.sqlite.parts.mailboxes import SqliteMailboxes
from posthouse.mailstore.sqlite.snapshots import read_maildrop, read_snapshot


class SqliteMessageReader:
    """See MessageReader."""

    def __init__(self, access: StoreAccess, mailboxes: SqliteMailboxes) -> None:
        self._access = access
        self._mailboxes = mailboxes

    async def entries(self, account: int, name: str = INBOX) -> list[MessageRef]:
        """See MessageReader."""
        name = canonical(name)
        return await self._access.read(lambda connection: queries.entries(connection, account, name), account)

    async def maildrop(self, account: int, name: str = INBOX) -> MaildropColumns:
        """See MessageReader."""
        return await read_maildrop(lambda job: self._access.read(job, account), account, canonical(name))

    async def find(self, account: int, name: str, messages: Sequence[int]) -> list[MessageRef]:
        """See MessageReader."""
        name = canonical(name)
        return await self._access.read(lambda connection: queries.find(connection, account, name, messages), account)

    async def read(self, entry: MessageRef, offset: int, length: int) -> bytes:
        """See MessageReader. What the kernel has cached is read without leaving the event loop."""
        access = self._access
        data = None if access.closed else access.packs.cached(entry, offset, length)
        if data is not None:
            return data
        return await access.run_on_disk(access.packs.fetch, entry, offset, length)

    async def check(self, entry: MessageRef) -> None:
        """See MessageReader."""
        packs = self._access.packs
        if not packs.is_checked(entry):
            await self._access.run_on_disk(packs.check, entry)

    async def items(self, account: int, mailbox: int, messages: Sequence[int]) -> list[MailboxMessage]:
        """See MessageReader."""
        wanted = list(messages)
        return await self._access.read(lambda connection: views.items(connection, account, mailbox, wanted), account)

    async def snapshot(self, account: int, name: str) -> Snapshot:
        """See MessageReader."""
        name = canonical(name)
        if name == INBOX:
            await self._mailboxes.mailbox(account, name)
        return await read_snapshot(lambda job: self._access.read(job, account), account, name)

    async def measured(self, account: int, mailbox: int, measure: Measure, low: int, high: int) -> set[int]:
        """See MessageReader."""
        found: set[int] = set()
        end = await self._access.read(lambda connection: views.next_message(connection, account, mailbox), account)
        measured = partial(views.measured, account=account, number=mailbox, measure=measure, low=low, high=high)
        for first in range(0, end, views.MEASURED_IDS):
            found.update(await self._access.read(partial(measured, first=first), account))
        return found

    async def deleted(self, account: int, mailbox: int) -> dict[int, int]:
        """See MessageReader."""
        return await self._access.read(lambda connection: views.deleted(connection, account, mailbox), account)

    async def deleted_octets(self, account: int, mailbox: int) -> int:
        """See MessageReader."""
        return await self._access.read(lambda connection: views.deleted_octets(connection, account, mailbox), account)

    async def keywords(self, account: int) -> list[str]:
        """See MessageReader. A small table that is always in memory: read on the event loop, in microseconds."""
        return self._access.read_at_once(lambda connection: keywords.names(connection, account))

    async def keyword_sets(self, account: int, after: int = 0) -> dict[int, tuple[str, ...]]:
        """See MessageReader. Read on the event loop: most accounts have a few, and a page is below a millisecond."""
        return self._access.read_at_once(lambda connection: keywords.sets(connection, account, after))
