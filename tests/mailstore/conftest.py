from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from posthouse.mailstore.changes import LocalBus
from posthouse.mailstore.sqlite.store import SqliteMailstore
from tests.mailstore.faulty import FaultyFiles
from tests.store_invariants import assert_sound


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
