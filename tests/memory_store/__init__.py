"""A mailstore in memory, as a model: the real ones must do what it does (decision 044)."""

from tests.memory_store.store import MemoryMailstore

__all__ = ["MemoryMailstore"]
