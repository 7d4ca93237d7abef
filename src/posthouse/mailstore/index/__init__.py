"""What is derived from messages: envelopes and structures ready to send, keys to sort by, and full-text search."""

from posthouse.mailstore.index.index import MessageIndex, prepare
from posthouse.mailstore.index.sqlite import Shown, SortKeys

__all__ = ["MessageIndex", "Shown", "SortKeys", "prepare"]
