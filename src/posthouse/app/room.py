"""Room on the disk for a start: a server on a full disk must come up, for else nobody can delete anything.

SQLite needs a few files beside each database that is open, and a clean stop has given their space away. So a start that
finds no room takes what was kept for that day: the reserve, and after it what can be made anew.
"""

import os
import tempfile
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from posthouse.app.places import Places
from posthouse.mailstore.files import is_full

START_OCTETS = 4 << 20  # what the files beside the databases and their logs take, with room to spare
_MADE_ANEW = ("index.db", "leases.db", "volatile.db")  # by what is in the mail, or by what happens next


def make_room(places: Places, log: FilteringBoundLogger) -> None:
    """See that a start finds room, if it can be had. Under the server lock, before anything is open. Raises OSError."""
    if _has_room(places.data):
        return
    reserve = places.data / "reserve"
    if reserve.exists():
        os.truncate(reserve, 0)
    if _has_room(places.data):
        log.warning("the disk is full: the reserve was given up to start, no mail is taken in", data=str(places.data))
        return
    for name in _MADE_ANEW:
        for end in ("", "-wal", "-shm", "-journal"):
            (places.data / (name + end)).unlink(missing_ok=True)
    gained = _has_room(places.data)
    log.warning("the disk is full: what can be made anew was removed to start", data=str(places.data), enough=gained)


def _has_room(folder: Path) -> bool:
    """By trying, for a user's share of the disk shows nowhere else."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            os.posix_fallocate(probe.fileno(), 0, START_OCTETS)
    except OSError as error:
        if not is_full(error):
            raise
        return False
    return True
