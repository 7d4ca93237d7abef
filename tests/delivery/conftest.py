"""What several files here use."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.delivery.house import House


@pytest.fixture
async def at(tmp_path: Path) -> AsyncIterator[House]:
    """A directory, a store, a queue and a router."""
    made = House(tmp_path)
    yield made
    await made.close()
