"""The rows of packs, as the pack writer needs them."""

import apsw

from posthouse.database.locks import FileLock
from posthouse.mailstore.sqlite.rows import fetch

# One that was made before packs had heads is not appended to.
_REOPEN = "UPDATE pack SET opened = opened + 1 WHERE pack = ? AND headed = 1 RETURNING end"
_LAST = "SELECT max(coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'pack'), 0), ?)"
_NOTE_END = "UPDATE pack SET end = max(end, ?2) WHERE pack = ?1"
_ADD = "INSERT INTO pack (pack, end, live, opened, headed) VALUES (?, 0, 0, 0, 1)"


class SqliteCatalogue:
    """Each call is a transaction of its own. Used in the commit thread, between batches."""

    def __init__(self, connection: apsw.Connection, lock: FileLock) -> None:
        self._connection = connection
        self._lock = lock

    def reopen(self, pack: int) -> int | None:
        """See Catalogue."""
        with self._lock:
            rows = fetch(self._connection, _REOPEN, (pack,))
        return int(rows[0][0]) if rows else None

    def add(self, above: int) -> int:
        """See Catalogue."""
        with self._lock, self._connection:
            pack = int(fetch(self._connection, _LAST, (above,))[0][0]) + 1
            self._connection.execute(_ADD, (pack,))
        return pack

    def note_end(self, pack: int, end: int) -> None:
        """See Catalogue."""
        with self._lock:
            fetch(self._connection, _NOTE_END, (pack, end))
