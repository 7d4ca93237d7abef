"""See mailstore.interface.maintenance; and what the store in a data folder has to do besides."""

from posthouse.mailstore.interface import StoreError, Usage
from posthouse.mailstore.sqlite import queries, removing
from posthouse.mailstore.sqlite.access import StoreAccess
from posthouse.mailstore.sqlite.parts.mailboxes import SqliteMailboxes
from posthouse.mailstore.sqlite.reaper import GRACE_SECONDS, Reaped, Reaper


class SqliteMaintenance:
    """See Maintenance."""

    def __init__(self, access: StoreAccess, mailboxes: SqliteMailboxes, reaper: Reaper) -> None:
        self._access = access
        self._mailboxes = mailboxes
        self._reaper = reaper

    async def usage(self, account: int) -> Usage:
        """See Maintenance. One row of a small table, always in memory: read on the event loop, in microseconds."""
        return self._access.read_at_once(lambda connection: queries.usage(connection, account))

    async def forget(self, account: int) -> None:
        """See Maintenance. In several transactions, so that others are not held up."""
        while await self._access.change(
            account, lambda connection, now: removing.forget(connection, account, now), frees_space=True
        ):
            continue
        self._mailboxes.forget_defaults(account)

    async def reap(self, now: float, *, grace: float = GRACE_SECONDS) -> Reaped:
        """Give back the space of what was removed more than `grace` seconds before `now` (seconds since 1970).

        Called now and then by one process; more at once do no harm. Raises StoreError.
        """
        await self._mailboxes.purge_deleted()
        try:
            return await self._reaper.run(now, grace)
        except OSError as error:
            raise StoreError(f"space could not be given back: {error}") from error
