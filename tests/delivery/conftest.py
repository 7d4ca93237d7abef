"""What several files here use."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.delivery.fixture import Fixture


@pytest.fixture
async def at(tmp_path: Path) -> AsyncIterator[Fixture]:
    """A directory, a store, a queue and a router."""
    made = Fixture(tmp_path)
    yield made
    await made.close()
