"""See mailstore.interface.change_feed."""

from posthouse.mailstore.interface import Change, Delta
from posthouse.mailstore.sqlite import queries, views
from posthouse.mailstore.sqlite.access import StoreAccess


class SqliteChangeFeed:
    """See ChangeFeed."""

    def __init__(self, access: StoreAccess) -> None:
        self._access = access

    def modseq(self, account: int) -> int:
        """See ChangeFeed. One row that is always in memory: read on the event loop."""
        return self._access.read_at_once(lambda connection: views.modseq(connection, account))

    async def changes(self, account: int, since: int) -> list[Change]:
        """See ChangeFeed."""
        return await self._access.read(lambda connection: queries.changes(connection, account, since), account)

    async def since(self, account: int, mailbox: int, modseq: int) -> Delta:
        """See ChangeFeed."""
        return await self._access.read(lambda connection: views.since(connection, account, mailbox, modseq), account)
