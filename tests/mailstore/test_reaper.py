"""Space of removed mail is given back, and only that."""

import asyncio
import errno
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from posthouse.mailstore.changes import LocalBus
from posthouse.mailstore.fsck import check
from posthouse.mailstore.interface import INBOX, DeliveryResult, StoreError, Target
from posthouse.mailstore.records import HEADER_OCTETS, PACK_HEAD_OCTETS, make_pack_head
from posthouse.mailstore.sqlite.reaper import GRACE_SECONDS
from posthouse.mailstore.sqlite.store import SqliteMailstore
from tests.mailstore.faulty import FaultyFiles
from tests.store_invariants import assert_sound
from tests.stores import NOW, PREFIX, Bytes, contents, deliver, delivery_id


class Clock:
    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(tmp_path: Path, files: FaultyFiles, clock: Clock) -> AsyncIterator[SqliteMailstore]:
    opened = SqliteMailstore.open(
        tmp_path, bus=LocalBus(), clock=clock, files=files, pack_octets=1_000_000, reserve_octets=4096
    )
    yield opened
    await opened.close()
    assert_sound(tmp_path)


def blocks(folder: Path) -> int:
    return sum(file.stat().st_blocks * 512 for file in (folder / "packs").iterdir())


def count(folder: Path, table: str) -> int:
    connection = apsw.Connection(str(folder / "posthouse.db"))
    try:
        return int(connection.execute(f"SELECT count(*) FROM {table}").get)
    finally:
        connection.close()


async def remove(store: SqliteMailstore, account: int, start: int = 0, step: int = 1) -> None:
    entries = await store.entries(account)
    await store.expunge(account, INBOX, [entry.message for entry in entries[start::step]])


async def test_not_before_the_grace_is_over(store: SqliteMailstore, tmp_path: Path, clock: Clock) -> None:
    await deliver(store, 1, b"x" * 100_000)
    await deliver(store, 1, b"y" * 1000)
    await store.expunge(1, INBOX, [(await store.entries(1))[0].message])
    before = blocks(tmp_path)
    assert (await store.reap(clock.now + GRACE_SECONDS - 1)).blobs == 0
    assert blocks(tmp_path) == before
    reaped = await store.reap(clock.now + GRACE_SECONDS)
    assert (reaped.blobs, reaped.packs, reaped.holes) == (1, 0, True)
    assert reaped.octets >= 100_000
    assert blocks(tmp_path) <= before - 90_000
    assert await contents(store, 1) == [PREFIX + b"y" * 1000]
    assert (await store.reap(clock.now + GRACE_SECONDS)).blobs == 0


async def test_a_body_others_still_have_stays(store: SqliteMailstore, tmp_path: Path) -> None:
    placements = [Target(1, PREFIX), Target(1, PREFIX, "Junk"), Target(2, PREFIX)]
    await store.deliver(delivery_id(), Bytes(b"z" * 50_000), placements, NOW, all_or_nothing=True)
    await store.forget(1)
    assert (await store.reap(NOW * 2)).blobs == 0
    assert await contents(store, 2) == [PREFIX + b"z" * 50_000]
    await store.forget(2)
    assert (await store.reap(NOW * 2)).blobs == 1


async def test_small_messages_that_go_one_by_one_give_their_blocks_back(store: SqliteMailstore, tmp_path: Path) -> None:
    """Neighbours share blocks: a hole reaches as far as nothing is left."""
    await asyncio.gather(*(deliver(store, 1 + number % 2, b"s" * 1500) for number in range(100)))
    before = blocks(tmp_path)
    await remove(store, 1)
    await store.reap(NOW * 2)
    await remove(store, 2, step=2)
    await store.reap(NOW * 2)
    assert await contents(store, 2) == [PREFIX + b"s" * 1500] * 25
    await remove(store, 2)
    reaped = await store.reap(NOW * 2)
    assert reaped.packs == 0  # the store still writes to it
    assert blocks(tmp_path) <= before // 10
    await deliver(store, 3)
    assert len(await contents(store, 3)) == 1


async def test_a_pack_without_mail_is_removed(store: SqliteMailstore, tmp_path: Path) -> None:
    await deliver(store, 1, b"x" * 1_000_000)
    await deliver(store, 2, b"y" * 100)
    assert len(list((tmp_path / "packs").iterdir())) == 2
    await store.forget(1)
    reaped = await store.reap(NOW * 2)
    assert reaped.packs == 1
    assert [file.name for file in (tmp_path / "packs").iterdir()] == ["2.pack"]
    assert count(tmp_path, "pack") == 1
    await deliver(store, 1, b"x" * 1_000_000)
    await deliver(store, 1)
    assert sorted(file.name for file in (tmp_path / "packs").iterdir()) == ["2.pack", "3.pack"]  # 1 is not given again


async def test_bodies_that_nobody_kept_give_their_space_back(store: SqliteMailstore, tmp_path: Path) -> None:
    delivery = delivery_id()
    assert await deliver(store, 1, b"x" * 100_000, quota=5) is DeliveryResult.OVER_QUOTA
    assert await deliver(store, 1, delivery=delivery) is DeliveryResult.KEPT
    assert await deliver(store, 1, b"x" * 100_000, delivery=delivery) is DeliveryResult.ALREADY
    before = blocks(tmp_path)
    assert (await store.reap(NOW)).blobs == 2
    assert blocks(tmp_path) <= before - 180_000
    assert len(await contents(store, 1)) == 1


async def test_where_no_holes_can_be_punched(store: SqliteMailstore, files: FaultyFiles, tmp_path: Path) -> None:
    files.can_punch = False
    await deliver(store, 1, b"x" * 1_000_000)
    await deliver(store, 2, b"x")
    await store.forget(1)
    reaped = await store.reap(NOW * 2)
    assert (reaped.blobs, reaped.packs, reaped.holes) == (1, 1, False)


async def test_an_error_of_the_disk_keeps_the_rows(store: SqliteMailstore, files: FaultyFiles, tmp_path: Path) -> None:
    await deliver(store, 1, b"x" * 50_000)
    await deliver(store, 2)
    await store.forget(1)
    files.punch_error = errno.EIO
    with pytest.raises(StoreError, match="Input/output"):
        await store.reap(NOW * 2)
    assert count(tmp_path, "blob") == 2
    files.punch_error = 0
    assert (await store.reap(NOW * 2)).blobs == 1


async def test_stopped_between_the_hole_and_the_row(store: SqliteMailstore, tmp_path: Path, files: FaultyFiles) -> None:
    await deliver(store, 1, b"x" * 50_000)
    await deliver(store, 2)
    await store.forget(1)

    async def stop(unit: object) -> None:
        raise StoreError("killed")

    real, store._reaper._submit = store._reaper._submit, stop
    with pytest.raises(StoreError, match="killed"):
        await store.reap(NOW * 2)
    assert len(files.punched) == 1
    assert_sound(tmp_path)
    store._reaper._submit = real
    assert (await store.reap(NOW * 2)).blobs == 1


async def test_two_reapers_at_once(store: SqliteMailstore, tmp_path: Path) -> None:
    other = SqliteMailstore.open(tmp_path, bus=LocalBus(), reserve_octets=4096)
    await asyncio.gather(*(deliver(store, 1, b"x" * 20_000) for _ in range(120)))
    await remove(store, 1)
    both = await asyncio.gather(store.reap(NOW * 2), other.reap(NOW * 2))
    assert sum(reaped.blobs for reaped in both) == 120
    assert count(tmp_path, "blob") == 0
    await other.close()


async def test_old_deliveries_are_forgotten(store: SqliteMailstore, tmp_path: Path) -> None:
    old, recent = delivery_id(NOW - 31 * 86400), delivery_id(NOW - 29 * 86400)
    for delivery in (old, recent):
        await deliver(store, 1, delivery=delivery)
    await store.reap(NOW)
    assert count(tmp_path, "delivery") == 1
    assert await deliver(store, 1, delivery=recent) is DeliveryResult.ALREADY


async def test_very_many(store: SqliteMailstore, tmp_path: Path) -> None:
    await asyncio.gather(*(deliver(store, 1, b"x" * 500) for _ in range(2500)))
    await remove(store, 1)
    assert (await store.reap(NOW * 2)).blobs == 2500
    assert count(tmp_path, "blob") == 0


async def test_two_goes_leave_nothing_behind(store: SqliteMailstore, tmp_path: Path) -> None:
    """What lies between two holes of one round belongs to both of them, and to their neighbours of before."""
    await asyncio.gather(*(deliver(store, 1, b"s" * 700) for _ in range(1200)))
    before = blocks(tmp_path)
    entries = await store.entries(1)
    for part in (entries[:-1:3], entries[1:-1:3], entries[2:-1:3]):
        await store.expunge(1, INBOX, [entry.message for entry in part])
        await store.reap(NOW * 2)
    assert len(await contents(store, 1)) == 1
    assert blocks(tmp_path) <= before // 50


async def test_a_pack_that_goes_on_behind_its_end_is_spared(store: SqliteMailstore, tmp_path: Path) -> None:
    """What lies there may be mail that only a younger database knew of: fsck --salvage finds it."""
    await deliver(store, 1, b"x" * 1_000_000)
    await deliver(store, 2)
    pack = tmp_path / "packs" / "1.pack"
    with pack.open("ab") as file:
        file.write(b"more")
    await store.forget(1)
    assert (await store.reap(NOW * 2)).packs == 0
    assert pack.read_bytes().endswith(b"more")


async def test_mail_that_no_row_knows_is_not_given_back_with_its_neighbours(
    store: SqliteMailstore, tmp_path: Path
) -> None:
    """The database may be older than the pack: what lies between two rows is left as it is."""
    for number in range(20):
        await deliver(store, 1 + number % 4, b"%d" % (number % 10) * 1500)
    pack = tmp_path / "packs" / "1.pack"
    before = pack.read_bytes()
    connection = apsw.Connection(str(tmp_path / "posthouse.db"))
    of_it = "SELECT blob_id FROM message WHERE account_id = 2"
    loose: list[Any] = connection.execute(f"SELECT offset, octets FROM blob WHERE blob_id IN ({of_it})").fetchall()
    connection.execute(f"DELETE FROM blob WHERE blob_id IN ({of_it})")
    connection.execute("DELETE FROM message WHERE account_id = 2")
    connection.close()
    for account in (1, 3, 4):
        await store.forget(account)
    await store.reap(NOW * 2)
    after = pack.read_bytes()
    for offset, octets in loose:
        end = offset + HEADER_OCTETS + len(PREFIX) + octets
        assert after[offset:end] == before[offset:end]
    assert after.count(b"PHrc") == len(loose)
    list(check(tmp_path, repair=True))


async def test_a_pack_of_another_store_is_neither_punched_nor_removed(store: SqliteMailstore, tmp_path: Path) -> None:
    """The wrong disk is mounted where the packs were."""
    await deliver(store, 1, b"x" * 50_000)
    await deliver(store, 2, b"y" * 50_000)
    await store.forget(1)
    pack = tmp_path / "packs" / "1.pack"
    ours = pack.read_bytes()
    strange = make_pack_head(bytes(16), 1) + ours[PACK_HEAD_OCTETS:]
    pack.write_bytes(strange)
    with pytest.raises(StoreError, match="not the pack"):
        await store.reap(NOW * 2)
    await store.close()
    again = SqliteMailstore.open(tmp_path, bus=LocalBus(), reserve_octets=4096)
    await again.forget(2)
    with pytest.raises(StoreError, match="not the pack"):
        await again.reap(NOW * 2)
    assert pack.read_bytes() == strange.rstrip(b"\0")  # without what was kept ready behind its end
    pack.write_bytes(ours)
    assert (await again.reap(NOW * 2)).packs == 1
    await again.close()


async def test_bodies_that_lie_over_each_other_get_no_holes(store: SqliteMailstore, tmp_path: Path) -> None:
    """An old fault gave a place twice; who knows whose octets these are."""
    await deliver(store, 1, b"v" * 200_000)
    await deliver(store, 2, b"g" * 10_000)
    connection = apsw.Connection(str(tmp_path / "posthouse.db"))
    for table in ("message", "blob"):
        connection.execute(f"UPDATE {table} SET blob_id = (1 << 40) + 50064 WHERE blob_id > (1 << 40) + 64")
    connection.close()
    await store.forget(2)
    await store.reap(NOW * 2)
    assert await contents(store, 1) == [PREFIX + b"v" * 200_000]


async def test_a_sick_pack_keeps_nobody_elses_space(store: SqliteMailstore, files: FaultyFiles, tmp_path: Path) -> None:
    for account in (1, 2, 3):
        await deliver(store, account, b"x" * 1_000_000)
    await deliver(store, 4)
    for account in (1, 2, 3):
        await store.forget(account)
    (tmp_path / "packs" / "2.pack").rename(tmp_path / "gone")
    (tmp_path / "packs" / "2.pack").mkdir()
    with pytest.raises(StoreError, match="directory"):
        await store.reap(NOW * 2)
    assert count(tmp_path, "blob") == 2
    (tmp_path / "packs" / "2.pack").rmdir()
    (tmp_path / "gone").rename(tmp_path / "packs" / "2.pack")
    await store.reap(NOW * 2)
    assert count(tmp_path, "blob") == 1


async def test_what_was_removed_while_the_clock_was_ahead(store: SqliteMailstore, clock: Clock) -> None:
    await deliver(store, 1, b"x" * 50_000)
    await deliver(store, 2)
    clock.now += 400 * 86400
    await store.forget(1)
    clock.now -= 400 * 86400
    assert (await store.reap(clock.now)).blobs == 1


async def test_where_no_holes_can_be_punched_what_was_removed_is_no_record_any_more(
    store: SqliteMailstore, files: FaultyFiles, tmp_path: Path
) -> None:
    files.can_punch = False
    await deliver(store, 1, b"x" * 5000)
    await deliver(store, 2, b"y" * 5000)
    await store.forget(1)
    await store.reap(NOW * 2)
    assert (tmp_path / "packs" / "1.pack").read_bytes().count(b"PHrc") == 1
    assert await contents(store, 2) == [PREFIX + b"y" * 5000]


@pytest.mark.parametrize("octets", [0, 20, PACK_HEAD_OCTETS])
async def test_a_pack_whose_maker_died_goes(store: SqliteMailstore, tmp_path: Path, octets: int) -> None:
    connection = apsw.Connection(str(tmp_path / "posthouse.db"))
    connection.execute("INSERT INTO pack (end, live, opened, headed) VALUES (0, 0, 0, 1)")
    (store_id,) = connection.execute("SELECT id FROM store").fetchall()[0]
    connection.close()
    head = make_pack_head(bytes(store_id), 1)  # type: ignore[arg-type]
    (tmp_path / "packs" / "1.pack").write_bytes(head[:octets])
    await store.reap(NOW * 2)
    assert list((tmp_path / "packs").iterdir()) == []
    assert count(tmp_path, "pack") == 0


async def test_a_hole_never_reaches_where_mail_is_written_next(
    store: SqliteMailstore, files: FaultyFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The zeros behind the last record are the place of the next one, which may be written meanwhile."""
    loop = asyncio.get_running_loop()
    punch = files.punch

    def deliver_then_punch(fd: int, offset: int, length: int) -> bool:
        # The range is settled; before it is punched another message is kept, and acknowledged.
        delivered = asyncio.run_coroutine_threadsafe(deliver(store, 2, b"kept\r\n"), loop)
        assert delivered.result(60) is DeliveryResult.KEPT
        return punch(fd, offset, length)

    await deliver(store, 1, b"x" * 5000)
    await remove(store, 1)
    monkeypatch.setattr(files, "punch", deliver_then_punch)
    assert (await store.reap(NOW * 2)).blobs == 1
    assert await contents(store, 2) == [PREFIX + b"kept\r\n"]


async def test_a_round_that_is_cancelled_closes_no_file_under_its_thread(
    store: SqliteMailstore, files: FaultyFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread may be about to cut the pack: by then the number of its file must not be that of another one."""
    begun, go_on = threading.Event(), threading.Event()
    cut = files.cut

    def wait_then_cut(fd: int, length: int) -> None:
        if length == 0:
            begun.set()
            assert go_on.wait(60)
        cut(fd, length)

    await deliver(store, 1, b"x" * 1_000_000)
    await deliver(store, 1, b"y")  # into another pack, so that nobody writes to the first
    await remove(store, 1)
    monkeypatch.setattr(files, "cut", wait_then_cut)
    round_ = asyncio.ensure_future(store.reap(NOW * 2))
    await asyncio.to_thread(begun.wait, 60)
    round_.cancel()
    await asyncio.sleep(0)  # twice: it is cancelled, and would let go
    await asyncio.sleep(0)
    other = tmp_path / "spool-of-somebody"
    with other.open("wb", buffering=0) as file:
        file.write(b"acknowledged")
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await round_
        await store.reap(NOW * 2)  # behind what the thread did
    assert other.read_bytes() == b"acknowledged"
    assert not (tmp_path / "packs" / "1.pack").exists()
