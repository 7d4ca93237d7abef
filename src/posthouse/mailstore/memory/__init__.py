"""The mailstore in memory: for tests and for trying things out. Gone when the process ends."""

from posthouse.mailstore.memory.store import MemoryMailstore

__all__ = ["MemoryMailstore"]
