import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from posthouse.mailstore.changes import LocalBus
from posthouse.mailstore.sqlite.store import SqliteMailstore
from posthouse.net.loop import new_event_loop
from tests.mailstore.faulty import FaultyFiles
from tests.store_invariants import assert_sound


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The store asks little of a loop. What has sockets is tried on both."""
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    if item.path.name == "test_socket_bus.py":
        loops["uvloop"] = new_event_loop
    return loops


@pytest.fixture
def files() -> FaultyFiles:
    return FaultyFiles()


@pytest.fixture
async def store(tmp_path: Path, files: FaultyFiles) -> AsyncIterator[SqliteMailstore]:
    """A store whose disk can fail. Sound at the end of every test."""
    opened = SqliteMailstore.open(tmp_path, bus=LocalBus(), files=files, pack_octets=100_000, reserve_octets=65_536)
    yield opened
    await opened.close()
    assert_sound(tmp_path)
