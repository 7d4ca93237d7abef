from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from posthouse.mailstore.index import MessageIndex
from posthouse.mailstore.sqlite.store import SqliteMailstore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index.db"


@pytest.fixture
async def index(path: Path, store: SqliteMailstore) -> AsyncIterator[MessageIndex]:
    opened = MessageIndex(path, store)
    yield opened
    await opened.close()
