"""What an index keeps of messages, in neutral words. Its rows are derived: any of them may be missing at any time."""

from collections.abc import Sequence
from typing import Protocol

from posthouse.mailstore.index.records import IndexRecord, MessageSummary, SortKeys


class IndexRows(Protocol):
    """Each call is one transaction. All raise StoreError when the rows can neither be used nor made again; those that
    write raise StoreFullError when space ran out. Messages that have no rows are passed over.
    """

    @property
    def generation(self) -> int:
        """Another one when all rows were lost since, so that what was there may be missing now."""

    async def summaries(self, account: int, messages: Sequence[int]) -> dict[int, MessageSummary]:
        """What IMAP shows of each."""

    async def find(self, account: int, messages: Sequence[int], field: str, needle: bytes) -> list[int]:
        """Those whose field has the needle, which is folded. Fields as MessageIndex.contains() has them."""

    async def sent_days(self, account: int, messages: Sequence[int]) -> dict[int, int]:
        """The day each was written, in days since 1970."""

    async def sort_keys(self, account: int, messages: Sequence[int]) -> dict[int, SortKeys]:
        """What each is sorted and threaded by."""

    async def missing(self, account: int, messages: Sequence[int]) -> list[int]:
        """Those that have no rows."""

    async def add(self, account: int, records: Sequence[tuple[int, IndexRecord]]) -> None:
        """Keep records, by message id; those that are there already stay as they are."""

    async def remove(self, account: int, messages: Sequence[int]) -> None:
        """Remove the rows of messages."""

    async def remove_some(self, account: int, count: int) -> bool:
        """Remove up to so many rows of each kind that are an account's; whether there may be more."""

    async def followed(self, account: int) -> int:
        """Up to which modseq of the account note_followed() was called; 0: never."""

    async def note_followed(self, account: int, modseq: int) -> None:
        """Remember it; it never goes back."""

    async def close(self) -> None:
        """Finish what waits. More than once does no harm."""
