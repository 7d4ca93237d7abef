"""The kinds of stores there are, by name. What one keeps its mail in is known here only."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from posthouse.mailstore.changes import ChangeBus
from posthouse.mailstore.interface import Mailstore
from posthouse.mailstore.sqlite.store import SqliteMailstore
from tests import memory_store
from tests.memory_store import MemoryMailstore
from tests.store_invariants import assert_sound

Clock = Callable[[], float]


class Backend(Protocol):
    """A kind of store, and one place for its mail. close() gives the place back."""

    def open(self, bus: ChangeBus, *, clock: Clock = time.time) -> Mailstore:
        """A store over that place. A durable one that was closed holds what it held."""

    def assert_sound(self) -> None:
        """What must hold of what a closed store has left."""

    def limit(self, patch: pytest.MonkeyPatch, **limits: int) -> None:
        """Have other limits, by their names in mailstore.interface."""

    def close(self) -> None:
        """Leave nothing behind."""


class SqliteBackend:
    """Rows and packs in a folder."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="posthouse-conformance-")

    def open(self, bus: ChangeBus, *, clock: Clock = time.time) -> Mailstore:
        return SqliteMailstore.open(Path(self._folder.name), bus=bus, clock=clock, reserve_octets=4096)

    def assert_sound(self) -> None:
        assert_sound(Path(self._folder.name))

    def limit(self, patch: pytest.MonkeyPatch, **limits: int) -> None:
        for name, value in limits.items():
            module = "removing" if name == "LOG_ROWS" else "keywords"
            patch.setattr(f"posthouse.mailstore.sqlite.{module}.{name}", value)
        if "LOG_ROWS" in limits:
            patch.setattr("posthouse.mailstore.sqlite.removing._LOG_SLACK", 3)

    def close(self) -> None:
        self._folder.cleanup()


class MemoryBackend:
    """The model, which keeps every expunge."""

    def open(self, bus: ChangeBus, *, clock: Clock = time.time) -> Mailstore:
        return MemoryMailstore(bus, clock=clock)

    def assert_sound(self) -> None:
        pass  # it has no counters that could be wrong

    def limit(self, patch: pytest.MonkeyPatch, **limits: int) -> None:
        for name, value in limits.items():
            if name != "LOG_ROWS":
                patch.setattr(memory_store.keywords, name, value)

    def close(self) -> None:
        pass


BACKENDS: dict[str, Callable[[], Backend]] = {"sqlite": SqliteBackend, "memory": MemoryBackend}
