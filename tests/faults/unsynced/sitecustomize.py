"""Makes posthouse skip a sync: the mistake that the power cuts must catch. Python runs this file if it is on its path.

SKIPPED_SYNC says which: that of the packs, or that of the databases.
"""

import os
from pathlib import Path
from typing import Any

import apsw

from posthouse.database import connection
from posthouse.mailstore.files import Files

_open_connection = connection.open_connection


def _skip(self: Files, fd: int) -> None:
    """Say that it is durable."""


def _open_unsynced(path: Path, **options: Any) -> apsw.Connection:
    return _open_connection(path, **(options | {"durability": connection.Durability.OFF}))


match os.environ["SKIPPED_SYNC"]:
    case "packs":
        Files.sync = _skip  # type: ignore[method-assign]
    case "databases":
        connection.open_connection = _open_unsynced
