"""The rows of packs, as the pack writer needs them."""

from collections.abc import Callable

import apsw

from posthouse.database.locks import FileLock
from posthouse.mailstore.sqlite.rows import fetch


class SqliteCatalogue:
    """Each call is a transaction of its own. Used in the commit thread, between batches."""

    def __init__(self, connection: apsw.Connection, lock: FileLock) -> None:
        self._connection = connection
        self._lock = lock

    def adopt(self, pack: int) -> int | None:
        """Take up a pack; where it ends, None when it is not known."""
        with self._lock:
            statement = "UPDATE pack SET opened = opened + 1 WHERE pack = ? RETURNING end"
            rows = fetch(self._connection, statement, (pack,))
        return int(rows[0][0]) if rows else None

    def create(self, make: Callable[[int], None]) -> None:
        """Call `make` with a number never given before; the pack is known when it does not raise."""
        with self._lock, self._connection:
            self._connection.execute("INSERT INTO pack (end, live, opened) VALUES (0, 0, 1)")
            make(self._connection.last_insert_rowid())
