"""See mailstore.interface.mailboxes."""

import contextlib
from collections.abc import Sequence

import apsw

from posthouse.mailstore.interface import INBOX, BadNameError, Mailbox, MailboxExistsError, Role, StoreError
from posthouse.mailstore.names import canonical, checked
from posthouse.mailstore.sqlite import boxes, copying, removing, views
from posthouse.mailstore.sqlite.access import StoreAccess


class SqliteMailboxes:
    """See Mailboxes."""

    def __init__(self, access: StoreAccess) -> None:
        self._access = access
        self._with_defaults: set[int] = set()  # accounts known to have their default mailboxes

    async def mailboxes(self, account: int) -> list[Mailbox]:
        """See Mailboxes."""
        found = await self._access.read(lambda connection: views.mailboxes(connection, account), account)
        if not any(box.name == INBOX for box in found):
            await self._ensure_inbox(account)
            return await self._access.read(lambda connection: views.mailboxes(connection, account), account)
        return found

    async def mailbox(self, account: int, name: str) -> Mailbox | None:
        """See Mailboxes."""
        name = canonical(name)
        found = await self._access.read(lambda connection: views.by_name(connection, account, name), account)
        if found is None and name == INBOX:
            await self._ensure_inbox(account)
            return await self._access.read(lambda connection: views.by_name(connection, account, name), account)
        return found

    async def create(self, account: int, name: str, role: Role = Role.NONE) -> Mailbox:
        """See Mailboxes."""
        name = checked(name)
        if name == INBOX:
            await self._ensure_inbox(account)

        def create(connection: apsw.Connection, now: int) -> tuple[Mailbox, int]:
            number, modseq = boxes.create(connection, account, name, role, now)
            return views.by_id(connection, account, number), modseq  # now: in a moment another one may have removed it

        return await self._access.change(account, create)

    async def rename(self, account: int, name: str, new: str) -> None:
        """See Mailboxes."""
        name, new = canonical(name), checked(new)
        if new == INBOX:
            raise MailboxExistsError("there is always an INBOX")

        def rename(connection: apsw.Connection, now: int) -> tuple[None, int]:
            if name == INBOX:
                return copying.empty_inbox(connection, account, new, now)
            return boxes.rename(connection, account, name, new, now)

        await self._access.change(account, rename)

    async def delete(self, account: int, name: str) -> None:
        """See Mailboxes. Its messages go in several transactions, so that others are not held up."""
        name = canonical(name)
        if name == INBOX:
            raise BadNameError("INBOX cannot be removed")
        number = await self._access.change(
            account, lambda connection, now: boxes.mark_deleted(connection, account, name), frees_space=True
        )
        # It is gone from here on. What keeps its messages from being removed now is no reason to say that it is not:
        # reap() goes on with it.
        with contextlib.suppress(StoreError):
            await self.purge(account, number)

    async def subscribe(self, account: int, name: str, wanted: bool) -> None:
        """See Mailboxes."""
        name = canonical(name) if not wanted else checked(name)
        await self._access.change(account, lambda connection, now: boxes.subscribe(connection, account, name, wanted))

    async def subscriptions(self, account: int) -> list[str]:
        """See Mailboxes."""
        return await self._access.read(lambda connection: views.subscriptions(connection, account), account)

    async def create_default_mailboxes(self, account: int, mailboxes: Sequence[tuple[str, Role]]) -> None:
        """See Mailboxes."""
        if account in self._with_defaults:
            return
        if not await self._access.read(lambda connection: boxes.has_defaults(connection, account)):
            wanted = [(checked(name), role) for name, role in mailboxes]
            await self._access.change(
                account, lambda connection, now: boxes.create_default_mailboxes(connection, account, wanted, now)
            )
        self._with_defaults.add(account)

    # For the other parts.

    async def purge_deleted(self) -> None:
        """Go on with what delete() could not bring to its end."""
        for account, mailbox in await self._access.read(boxes.marked_deleted):
            await self.purge(account, mailbox)

    async def purge(self, account: int, mailbox: int) -> None:
        """Remove the messages of a mailbox that is out of sight, and then its row."""

        def some(connection: apsw.Connection, now: int) -> tuple[bool, int]:
            modseq = removing.purge(connection, account, mailbox, mailbox, now)
            return modseq > 0, modseq

        while await self._access.change(account, some, frees_space=True):
            continue
        await self._access.change(
            account, lambda connection, now: boxes.drop(connection, account, mailbox), frees_space=True
        )

    def forget_defaults(self, account: int) -> None:
        """The account has no mailboxes any more."""
        self._with_defaults.discard(account)

    async def _ensure_inbox(self, account: int) -> None:
        await self._access.change(account, lambda connection, now: boxes.ensure_inbox(connection, account, now))
