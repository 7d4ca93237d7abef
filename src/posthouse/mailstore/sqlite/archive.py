"""The mailstore for one who only looks, beside a running server: commands that show messages."""

from collections.abc import Collection, Sequence
from pathlib import Path
from types import TracebackType

import apsw

from posthouse.database.errors import DatabaseError
from posthouse.database.opening import open_existing_reader
from posthouse.mailstore.interface import INBOX, MessageRef, StoreError, Usage
from posthouse.mailstore.pack_reader import PackReader
from posthouse.mailstore.sqlite import queries, recovering
from posthouse.mailstore.sqlite.layout import DATABASE, PACKS


class Archive:
    """Reads what is in a data folder; a context manager. Raises StoreError."""

    def __init__(self, folder: Path) -> None:
        try:
            self._connection = open_existing_reader(folder / DATABASE)
        except (apsw.Error, DatabaseError, OSError) as error:
            raise StoreError(f"there is no mail to read in {folder}: {error}") from error
        self._packs = PackReader(folder / PACKS)

    def __enter__(self) -> "Archive":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()
        self._packs.close()

    def entries(self, account: int, mailbox: str = INBOX) -> list[MessageRef]:
        """The messages of a mailbox, by uid."""
        try:
            return queries.entries(self._connection, account, mailbox)
        except apsw.Error as error:
            raise StoreError(str(error)) from error

    def find(self, account: int, mailbox: str, messages: Sequence[int]) -> list[MessageRef]:
        """Those of the messages that are there."""
        try:
            return queries.find(self._connection, account, mailbox, messages)
        except apsw.Error as error:
            raise StoreError(str(error)) from error

    def usage(self, account: int) -> Usage:
        """What an account holds."""
        try:
            return queries.usage(self._connection, account)
        except apsw.Error as error:
            raise StoreError(str(error)) from error

    def unknown_accounts(self, known: Collection[int]) -> list[tuple[int, int]]:
        """(account, messages) of those who hold mail and are not `known`."""
        try:
            return recovering.unknown_accounts(self._connection, known)
        except apsw.Error as error:
            raise StoreError(str(error)) from error

    def read(self, entry: MessageRef, octets: int | None = None) -> bytes:
        """The message, or its first `octets`."""
        return self._packs.fetch(entry, 0, entry.octets if octets is None else octets)
