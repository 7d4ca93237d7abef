"""Fixtures of the queue's tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from posthouse.mailstore.changes import LocalBus
from posthouse.mailstore.sqlite.store import SqliteMailstore
from posthouse.queue.sqlite.schema import MIGRATIONS, ROOM
from tests.queue.fixture import Fixture
from tests.store_invariants import assert_sound


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Fixture]:
    store = SqliteMailstore.open(tmp_path, bus=LocalBus(), reserve_octets=4096, rooms={ROOM: MIGRATIONS})
    yield Fixture(store, tmp_path / "posthouse.db")
    await store.close()
    assert_sound(tmp_path)
