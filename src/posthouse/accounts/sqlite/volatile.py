"""Opens volatile.db, which may be lost: counters of failed logins and of sent mail, digests of passwords."""

from pathlib import Path

import apsw

from posthouse.accounts.sqlite import sending_limits, throttle, verified_passwords
from posthouse.database.connection import Durability
from posthouse.database.opening import OpenPolicy, check_all_pages, open_database

_ROOMS = {
    throttle.THROTTLE: throttle.MIGRATIONS,
    sending_limits.SENDING_LIMITS: sending_limits.MIGRATIONS,
    verified_passwords.VERIFIED_PASSWORDS: verified_passwords.MIGRATIONS,
}


def check_volatile(path: Path) -> None:
    """Have a file that is whole, before the processes that use it start. Raises as open_volatile()."""
    open_database(path, _ROOMS, policy=OpenPolicy.REPLACE, durability=Durability.OFF, first=check_all_pages).close()


def open_volatile(path: Path) -> apsw.Connection:
    """A connection for one process. A file that is damaged or of a later version is replaced.

    Raises DatabaseError, apsw.Error, OSError.
    """
    return open_database(path, _ROOMS, policy=OpenPolicy.REPLACE, durability=Durability.OFF)
