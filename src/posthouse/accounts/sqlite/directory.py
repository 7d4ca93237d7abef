"""The directory over directory.db: the parts, put together."""

import os
from pathlib import Path

from posthouse.accounts.passwords import PasswordHasher
from posthouse.accounts.pool import HashingPool
from posthouse.accounts.sqlite.addresses import SqliteAddresses
from posthouse.accounts.sqlite.logins import SqliteLogins
from posthouse.accounts.sqlite.reader import DirectoryReader
from posthouse.accounts.throttle import Throttle
from posthouse.accounts.verified_passwords import VerifiedPasswordCache
from posthouse.accounts.verifier import FAILURE_SECONDS


class SqliteDirectory:
    """See Directory. Belongs to one event loop's thread.

    Look-ups raise DirectoryBusyError when the file cannot be read (it is damaged or gone).
    """

    def __init__(
        self,
        path: Path,
        throttle: Throttle,
        *,
        hasher: PasswordHasher | None = None,
        pool: HashingPool | None = None,
        verified: VerifiedPasswordCache | None = None,
        separator: str = "+",
        hostname: str = "",
        failure_seconds: float = FAILURE_SECONDS,
    ) -> None:
        """Open `path`, which must be there. `separator` starts the detail of an address; "" switches details off.

        `hostname` is the server's own name, where postmaster is reached too.
        Raises DirectoryBusyError, DirectoryUnusableError.
        """
        self._reader = DirectoryReader(path)
        self._pool = pool or HashingPool(os.cpu_count() or 1)
        self.addresses = SqliteAddresses(self._reader, separator=separator, hostname=hostname)
        self.logins = SqliteLogins(
            self._reader,
            self.addresses.own_domain,
            throttle,
            hasher or PasswordHasher(),
            self._pool,
            verified,
            failure_seconds=failure_seconds,
        )

    def close(self) -> None:
        """Let go of the file and the threads."""
        self._pool.close()
        self._reader.close()
