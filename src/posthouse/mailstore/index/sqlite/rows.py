"""The rows of the index in `index.db`."""

from collections.abc import Sequence
from pathlib import Path

from posthouse.mailstore.index.records import IndexRecord, MessageSummary, SortKeys
from posthouse.mailstore.index.sqlite import queries
from posthouse.mailstore.index.sqlite.database import IndexDatabase
from posthouse.mailstore.index.sqlite.scanning import TextScan


class SqliteIndexRows:
    """See IndexRows. Raises StoreError when the file cannot be opened."""

    def __init__(self, path: Path) -> None:
        self.database = IndexDatabase(path)

    @property
    def generation(self) -> int:
        """See IndexRows."""
        return self.database.file

    async def summaries(self, account: int, messages: Sequence[int]) -> dict[int, MessageSummary]:
        """See IndexRows."""
        return await self.database.read(lambda connection: queries.summaries(connection, account, messages))

    async def find(self, account: int, messages: Sequence[int], field: str, needle: bytes) -> list[int]:
        """See IndexRows."""
        scan = TextScan(field, needle)
        return await self.database.read(lambda connection: scan.find(connection, account, messages))

    async def sent_days(self, account: int, messages: Sequence[int]) -> dict[int, int]:
        """See IndexRows."""
        return await self.database.read(lambda connection: queries.sent_days(connection, account, messages))

    async def sort_keys(self, account: int, messages: Sequence[int]) -> dict[int, SortKeys]:
        """See IndexRows."""
        return await self.database.read(lambda connection: queries.sort_keys(connection, account, messages))

    async def missing(self, account: int, messages: Sequence[int]) -> list[int]:
        """See IndexRows."""
        return await self.database.read(lambda connection: queries.missing(connection, account, messages))

    async def add(self, account: int, records: Sequence[tuple[int, IndexRecord]]) -> None:
        """See IndexRows."""
        await self.database.write(lambda connection: queries.add(connection, account, records))

    async def remove(self, account: int, messages: Sequence[int]) -> None:
        """See IndexRows."""
        await self.database.write(lambda connection: queries.remove(connection, account, messages))

    async def remove_some(self, account: int, count: int) -> bool:
        """See IndexRows."""
        return await self.database.write(lambda connection: queries.remove_some(connection, account, count))

    async def followed(self, account: int) -> int:
        """See IndexRows."""
        return await self.database.read(lambda connection: queries.followed(connection, account))

    async def note_followed(self, account: int, modseq: int) -> None:
        """See IndexRows."""
        await self.database.write(lambda connection: queries.note_followed(connection, account, modseq))

    async def close(self) -> None:
        """See IndexRows."""
        await self.database.close()
