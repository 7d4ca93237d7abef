"""Leases that can be had while their rows cannot be written: a disk that takes no changes must not stop reading.

Such a hold is known to this process alone. Nothing can be changed under it while the disk is as it is; as soon as rows
can be written again, renewing makes it a real one, or finds that another has one and that it is lost.
"""

import time
from collections.abc import Callable

import apsw

from posthouse.database.errors import DatabaseError
from posthouse.database.leases import Lease, Leases

_UNWRITTEN = 0  # the token of a hold that has no row; real ones begin with 1
_NO_WRITING = (apsw.ReadOnlyError, apsw.FullError, apsw.IOError, apsw.CantOpenError)


class FallbackLeases:
    """See Leases. `clock` gives seconds and is never set back. Raises DatabaseError when the rows are only busy."""

    def __init__(self, leases: Leases, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._leases = leases
        self._clock = clock
        self._until: dict[str, float] = {}  # by name
        self._written: dict[str, Lease] = {}  # those that have become real

    async def take(self, name: str, seconds: float) -> Lease | None:
        """See Leases."""
        now = self._clock()
        if self._until.get(name, 0.0) > now:
            return None
        try:
            return await self._leases.take(name, seconds)
        except DatabaseError as error:
            if not isinstance(error.__cause__, _NO_WRITING):
                raise
        self._until[name] = now + seconds
        return Lease(name, _UNWRITTEN)

    async def renew(self, lease: Lease, seconds: float) -> bool:
        """See Leases."""
        if lease.token != _UNWRITTEN:
            return await self._leases.renew(lease, seconds)
        if lease.name not in self._until:
            return False
        try:
            real = await self._made_real(lease.name, seconds)
        except DatabaseError:
            real = True  # nobody can write, so nobody else can have it
        if real:
            self._until[lease.name] = self._clock() + seconds
        else:
            self._forget(lease.name)
        return real

    async def release(self, lease: Lease) -> None:
        """See Leases."""
        if lease.token == _UNWRITTEN:
            real = self._forget(lease.name)
            if real is None:
                return
            lease = real
        await self._leases.release(lease)

    async def _made_real(self, name: str, seconds: float) -> bool:
        real = self._written.get(name)
        if real is not None:
            return await self._leases.renew(real, seconds)
        real = await self._leases.take(name, seconds)
        if real is not None:
            self._written[name] = real
        return real is not None

    def _forget(self, name: str) -> Lease | None:
        self._until.pop(name, None)
        return self._written.pop(name, None)
