"""What is derived from messages: envelopes and structures ready to send, keys to sort by, and full-text search."""

from posthouse.mailstore.contents.index import MessageIndex, prepare
from posthouse.mailstore.contents.sqlite import Shown, SortKeys

__all__ = ["MessageIndex", "Shown", "SortKeys", "prepare"]
