from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from posthouse.mailstore.index import MessageIndex
from posthouse.mailstore.index.sqlite.rows import SqliteIndexRows
from posthouse.mailstore.sqlite.store import SqliteMailstore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index.db"


@pytest.fixture
def rows(path: Path) -> SqliteIndexRows:
    return SqliteIndexRows(path)


@pytest.fixture
async def index(rows: SqliteIndexRows, store: SqliteMailstore) -> AsyncIterator[MessageIndex]:
    opened = MessageIndex(rows, store)
    yield opened
    await opened.close()
