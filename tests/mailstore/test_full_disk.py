"""A full disk, a real one where we may mount it: nothing is acknowledged, deleting works, it recovers by itself."""

import asyncio
import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from posthouse.mailstore.changes import LocalBus
from posthouse.mailstore.interface import INBOX, DeliveryResult, StoreError, StoreFullError, Target
from posthouse.mailstore.sqlite.store import SqliteMailstore
from tests.mailstore.faulty import FaultyFiles
from tests.store_invariants import assert_sound
from tests.stores import NOW, PREFIX, Bytes, contents, deliver, delivery_id


class Disk:
    """A file system of 24 MB. Without the right to mount one: a folder whose packs and reserve are refused space."""

    def __init__(self, folder: Path, files: FaultyFiles) -> None:
        self.folder = folder
        self._files = files
        self.real = os.geteuid() == 0 and _mount(folder)

    def fill(self, spare: int = 0) -> None:
        """Leave no more than `spare` octets."""
        if not self.real:
            self._files.write_error = self._files.reserve_error = errno.ENOSPC
            return
        with (self.folder / "ballast").open("ab") as ballast:
            try:
                while True:
                    os.posix_fallocate(ballast.fileno(), ballast.seek(0, os.SEEK_END), 4096)
            except OSError as error:
                assert error.errno == errno.ENOSPC
            os.truncate(ballast.fileno(), max(0, os.fstat(ballast.fileno()).st_size - spare))

    def clear(self) -> None:
        """Give the space back."""
        self._files.write_error = self._files.reserve_error = 0
        (self.folder / "ballast").unlink(missing_ok=True)

    def unmount(self) -> None:
        if self.real:
            subprocess.run(["umount", self.folder], check=True)


def _mount(folder: Path) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "posthouse-test", str(folder)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


@pytest.fixture
def disk(tmp_path: Path, files: FaultyFiles) -> Iterator[Disk]:
    made = Disk(tmp_path, files)
    yield made
    made.unmount()


@pytest.fixture
async def store(disk: Disk, files: FaultyFiles):  # type: ignore[no-untyped-def]
    opened = SqliteMailstore.open(disk.folder, bus=LocalBus(), files=files, reserve_octets=4_000_000)
    yield opened
    disk.clear()
    await opened.close()
    assert_sound(disk.folder)


async def test_nothing_is_acknowledged_and_it_recovers_by_itself(store: SqliteMailstore, disk: Disk) -> None:
    await deliver(store, 1, b"before\r\n")
    disk.fill()
    for _ in range(3):
        with pytest.raises(StoreFullError):
            await deliver(store, 1, b"x" * 2_000_000)  # more than is kept ready behind a pack's end
    assert await contents(store, 1) == [PREFIX + b"before\r\n"]
    disk.clear()
    assert await deliver(store, 1, b"after\r\n") is DeliveryResult.KEPT
    assert await contents(store, 1) == [PREFIX + b"before\r\n", PREFIX + b"after\r\n"]


async def test_many_at_once_on_a_disk_that_fills_up(store: SqliteMailstore, disk: Disk) -> None:
    await deliver(store, 2)  # takes the reserve
    if disk.real:
        disk.fill(spare=2_000_000)
    few = asyncio.Semaphore(5)

    async def send(number: int) -> bytes | None:
        body = b"%d\r\n" % number + os.urandom(30_000)
        try:
            async with few:
                await store.deliver(delivery_id(), Bytes(body), [Target(1, PREFIX)], NOW, all_or_nothing=True)
        except StoreFullError:
            return None
        return PREFIX + body

    sent = await asyncio.gather(*(send(number) for number in range(300)))
    kept = [body for body in sent if body]
    assert sorted(await contents(store, 1)) == sorted(kept)
    if disk.real:
        assert 10 < len(kept) < 300


async def test_deleting_works_on_a_full_disk(store: SqliteMailstore, disk: Disk) -> None:
    """More than once, many at a time, and what it frees can be used again."""
    await asyncio.gather(*(deliver(store, 1 + number % 3, b"x" * 3000) for number in range(1500)))
    for account in (1, 2, 3):
        disk.fill()
        with pytest.raises(StoreFullError):
            await deliver(store, 4, b"x" * 3000)
        ids = [entry.message for entry in await store.entries(account)]
        assert await store.expunge(account, INBOX, ids[:-1]) == len(ids) - 1
        assert len(await store.entries(account)) == 1
    disk.fill()
    await store.forget(3)
    assert await store.entries(3) == []
    await store.reap(NOW * 2)
    disk.clear()
    assert await deliver(store, 4, b"x" * 3000) is DeliveryResult.KEPT


async def test_the_reserve_is_not_for_deliveries(store: SqliteMailstore, disk: Disk) -> None:
    await deliver(store, 1)
    disk.fill()
    (disk.folder / "reserve").write_bytes(b"")  # as another process gave it up, to delete
    if disk.real:
        with (disk.folder / "ballast").open("ab") as ballast:
            ballast.truncate(ballast.seek(0, os.SEEK_END) + 1)
            os.posix_fallocate(ballast.fileno(), 0, os.fstat(ballast.fileno()).st_size + 1_000_000)
    with pytest.raises(StoreFullError):
        await deliver(store, 1)
    assert len(await store.entries(1)) == 1


async def test_opening_and_reading_on_a_full_disk(store: SqliteMailstore, disk: Disk, files: FaultyFiles) -> None:
    await deliver(store, 1, b"here\r\n")
    await store.close()
    disk.fill()
    try:
        again = SqliteMailstore.open(disk.folder, bus=LocalBus(), files=files, reserve_octets=4_000_000)
    except StoreError:
        assert disk.real  # there is not even a page for SQLite to remember its readers in
        return
    assert await contents(again, 1) == [PREFIX + b"here\r\n"]
    await again.close()
