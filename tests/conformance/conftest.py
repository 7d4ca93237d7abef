"""Every store that there is, one after the other."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from posthouse.mailstore.changes import LocalBus
from posthouse.mailstore.interface import Mailstore
from posthouse.mailstore.sqlite.store import SqliteMailstore
from tests.memory_store import MemoryMailstore
from tests.store_invariants import assert_sound


class Clock:
    """A clock that a test can set."""

    now: float | None = None

    def __call__(self) -> float:
        return time.time() if self.now is None else self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def bus() -> LocalBus:
    return LocalBus()


@pytest.fixture(params=["sqlite", "memory"])
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, bus: LocalBus, clock: Clock
) -> AsyncIterator[Mailstore]:
    if request.param == "memory":
        memory = MemoryMailstore(bus, clock=clock)
        yield memory
        await memory.close()
        return
    sqlite = SqliteMailstore.open(tmp_path, bus=bus, clock=clock, reserve_octets=4096)
    yield sqlite
    await sqlite.close()
    assert_sound(tmp_path)
