"""Leases while their rows cannot be written, and afterwards."""

from pathlib import Path

import apsw
import pytest

from posthouse.database.errors import DatabaseError
from posthouse.database.fallback_leases import FallbackLeases
from posthouse.database.leases import Lease
from posthouse.database.sqlite_leases import SqliteLeases


class Disk(SqliteLeases):
    """Leases on a disk that can be made to fail."""

    failure: type[apsw.Error] | None = None

    async def take(self, name: str, seconds: float) -> Lease | None:
        self._check()
        return await super().take(name, seconds)

    async def renew(self, lease: Lease, seconds: float) -> bool:
        self._check()
        return await super().renew(lease, seconds)

    def _check(self) -> None:
        if self.failure is not None:
            raise DatabaseError("leases") from self.failure("as told")


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path / "leases.db")


async def test_a_sound_disk_alone_has_a_say(disk: Disk) -> None:
    leases = FallbackLeases(disk)
    lease = await leases.take("alice", 60)
    assert lease is not None
    assert lease.token == 1
    assert await leases.take("alice", 60) is None
    assert await disk.take("alice", 60) is None
    assert await leases.renew(lease, 60)
    await leases.release(lease)
    assert await disk.take("alice", 60) is not None
    disk.close()


@pytest.mark.parametrize("failure", [apsw.ReadOnlyError, apsw.FullError, apsw.IOError])
async def test_one_that_cannot_be_written(disk: Disk, failure: type[apsw.Error]) -> None:
    now = 100.0
    leases = FallbackLeases(disk, clock=lambda: now)
    disk.failure = failure
    lease = await leases.take("alice", 60)
    assert lease is not None
    assert await leases.take("alice", 60) is None
    assert await leases.take("bob", 60) is not None
    assert await leases.renew(lease, 60)
    now += 61
    assert await leases.take("alice", 60) is not None  # it has expired
    await leases.release(lease)
    assert not await leases.renew(lease, 60)
    assert await leases.take("alice", 60) is not None
    disk.close()


async def test_it_becomes_real_when_the_disk_recovers(disk: Disk) -> None:
    leases = FallbackLeases(disk)
    disk.failure = apsw.ReadOnlyError
    lease = await leases.take("alice", 60)
    assert lease is not None
    disk.failure = None
    assert await leases.take("alice", 60) is None
    for _ in range(2):
        assert await leases.renew(lease, 60)
        assert await disk.take("alice", 60) is None
    await leases.release(lease)
    assert await disk.take("alice", 60) is not None
    disk.close()


async def test_it_is_lost_when_another_was_first(disk: Disk) -> None:
    leases = FallbackLeases(disk)
    disk.failure = apsw.ReadOnlyError
    lease = await leases.take("alice", 60)
    assert lease is not None
    disk.failure = None
    other = await disk.take("alice", 60)
    assert other is not None
    assert not await leases.renew(lease, 60)
    await leases.release(lease)
    assert await disk.renew(other, 60)  # that one is untouched
    disk.close()


async def test_busy_is_no_reason(disk: Disk) -> None:
    leases = FallbackLeases(disk)
    disk.failure = apsw.BusyError
    with pytest.raises(DatabaseError):
        await leases.take("alice", 60)
    disk.close()
