"""See mailstore.interface.messages."""

from collections.abc import Sequence

from posthouse.mailstore.interface import INBOX, Appending, Marked, Marks, Placed, Setting
from posthouse.mailstore.names import canonical
from posthouse.mailstore.sqlite import copying, marking, removing
from posthouse.mailstore.sqlite.access import StoreAccess
from posthouse.mailstore.sqlite.copying import CopyOrder
from posthouse.mailstore.sqlite.parts.mailboxes import SqliteMailboxes
from posthouse.mailstore.sqlite.reclaiming import SpaceReclaimer
from posthouse.mailstore.sqlite.units import AppendUnit


class SqliteMessageWriter:
    """See MessageWriter."""

    def __init__(self, access: StoreAccess, mailboxes: SqliteMailboxes, reclaimer: SpaceReclaimer) -> None:
        self._access = access
        self._mailboxes = mailboxes
        self._reclaimer = reclaimer

    async def append(
        self,
        account: int,
        name: str,
        messages: Sequence[Appending],
        *,
        quota: int | None = None,
        replacing: tuple[int, int] | None = None,
    ) -> Placed:
        """See MessageWriter."""
        name = canonical(name)
        if name == INBOX:
            await self._mailboxes.mailbox(account, name)
        unit = await self._reclaimer.submit(lambda: AppendUnit(account, name, messages, quota, replacing))
        if unit.refusal is not None:
            raise unit.refusal
        assert unit.result is not None
        return unit.result

    async def copy(
        self, account: int, mailbox: int, messages: Sequence[int], name: str, *, quota: int | None = None
    ) -> Placed:
        """See MessageWriter."""
        order = CopyOrder(account, mailbox, list(messages), canonical(name), quota)
        return await self._access.change(account, lambda connection, now: copying.copy(connection, order, now))

    async def move(self, account: int, mailbox: int, messages: Sequence[int], name: str) -> Placed:
        """See MessageWriter."""
        order = CopyOrder(account, mailbox, list(messages), canonical(name))
        return await self._access.change(account, lambda connection, now: copying.move(connection, order, now))

    async def mark(
        self,
        account: int,
        mailbox: int,
        messages: Sequence[int],
        setting: Setting,
        marks: Marks,
        *,
        unchanged_since: int | None = None,
    ) -> Marked:
        """See MessageWriter. Works when the disk is full: deleting begins with a flag."""
        wanted = list(messages)
        return await self._access.change(
            account,
            lambda connection, now: marking.mark(connection, account, mailbox, wanted, setting, marks, unchanged_since),
            frees_space=True,
        )

    async def remove(self, account: int, mailbox: int, messages: Sequence[int], *, marked: bool = True) -> list[int]:
        """See MessageWriter. Works when the disk is full, as long as the reserve lasts."""
        wanted = list(messages)
        return await self._access.change(
            account,
            lambda connection, now: removing.remove_from(connection, account, mailbox, wanted, now, marked),
            frees_space=True,
        )

    async def expunge(self, account: int, name: str, messages: Sequence[int]) -> int:
        """See MessageWriter. Works when the disk is full, as long as the reserve lasts."""
        name, wanted = canonical(name), list(messages)
        return await self._access.change(
            account,
            lambda connection, now: removing.expunge(connection, account, name, wanted, now),
            frees_space=True,
        )
