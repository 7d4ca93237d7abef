"""What is derived from messages: how IMAP shows them, what they are sorted by, and the text that is searched.

It is kept in a database of its own, `index.db`, which may be deleted at any time: whatever is missing is made from the
messages when somebody asks for it. So no answer is ever stale, and nothing here needs to survive a power failure.
"""

from pathlib import Path

from posthouse.mailstore.index.index import MessageIndex
from posthouse.mailstore.index.records import MessageSummary, SortKeys
from posthouse.mailstore.index.sqlite.rows import SqliteIndexRows
from posthouse.mailstore.index.sqlite.schema import prepare
from posthouse.mailstore.interface import MessageReader

__all__ = ["MessageIndex", "MessageSummary", "SortKeys", "open_index", "prepare"]


def open_index(path: Path, store: MessageReader) -> MessageIndex:
    """The index over the file at `path`, which is made when it is missing. Raises StoreError."""
    return MessageIndex(SqliteIndexRows(path), store)
