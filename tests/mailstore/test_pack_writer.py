"""The tail of a pack, errors of the disk, and who may write where."""

import asyncio
import errno
import fcntl
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from posthouse.mailstore.changes import LocalBus
from posthouse.mailstore.interface import DeliveryResult, StoreError, StoreFullError
from posthouse.mailstore.pack_writer import is_pack
from posthouse.mailstore.records import HEADER_OCTETS, PACK_HEAD_OCTETS, make_pack_head
from posthouse.mailstore.sqlite.store import SqliteMailstore
from tests.mailstore.faulty import FaultyFiles
from tests.store_invariants import assert_sound
from tests.stores import NOW, PREFIX, contents, deliver, octets_used


def packs(folder: Path) -> dict[str, int]:
    return {file.name: octets_used(file) for file in (folder / "packs").iterdir()}


def test_names_of_packs() -> None:
    assert is_pack("12.pack")
    assert not is_pack("x.pack")
    assert not is_pack("12.pack.bak")
    assert not is_pack("reserve")


async def test_one_write_and_one_sync_for_a_message(store: SqliteMailstore, files: FaultyFiles) -> None:
    await deliver(store, 1)
    await deliver(store, 1)
    assert files.synced == ["1.pack"] * 3  # the first one makes the pack


async def test_a_full_pack_is_followed_by_another(store: SqliteMailstore, tmp_path: Path) -> None:
    for _ in range(5):
        await deliver(store, 1, b"x" * 60_000)
    assert sorted(packs(tmp_path)) == ["1.pack", "2.pack", "3.pack"]
    assert await contents(store, 1) == [PREFIX + b"x" * 60_000] * 5


async def test_a_pack_is_taken_up_again_behind_whatever_stands_in_it(store: SqliteMailstore, tmp_path: Path) -> None:
    """What lies behind the known end may be mail, if the database is older than the pack: nothing is ever cut off."""
    await deliver(store, 1, b"kept\r\n")
    await store.close()
    pack = tmp_path / "packs" / "1.pack"
    end = pack.stat().st_size
    with pack.open("ab") as file:
        file.write(b"torn" * 10_000)
    again = SqliteMailstore.open(tmp_path, bus=LocalBus(), reserve_octets=4096)
    assert pack.stat().st_size > end  # opening alone touches nothing
    await deliver(again, 1, b"next\r\n")
    assert packs(tmp_path) == {"1.pack": end + 40_000 + HEADER_OCTETS + len(PREFIX) + len(b"next\r\n")}
    assert pack.read_bytes()[end : end + 40_000] == b"torn" * 10_000
    assert await contents(again, 1) == [PREFIX + b"kept\r\n", PREFIX + b"next\r\n"]
    await again.close()


async def test_a_pack_that_lost_its_end_is_not_written_to(store: SqliteMailstore, tmp_path: Path) -> None:
    await deliver(store, 1)
    (lost,) = await store.entries(1)
    await store.close()
    os.truncate(tmp_path / "packs" / "1.pack", 100)
    again = SqliteMailstore.open(tmp_path, bus=LocalBus(), reserve_octets=4096)
    await deliver(again, 2)
    assert packs(tmp_path)["1.pack"] == 100
    assert await contents(again, 2) == [PREFIX + b"Subject: x\r\n\r\nhello\r\n"]
    with pytest.raises(StoreError):
        await again.read(lost, 0, 10)
    await again.expunge(1, "INBOX", [lost.message])
    await again.close()


async def test_a_new_pack_that_another_process_looks_at_is_left_for_the_next_number(
    store: SqliteMailstore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that looks for a pack locks each file it finds for a moment, one without a head too."""
    looks: list[int] = []
    real = os.open

    def open_and_be_seen(path: Path, flags: int, mode: int = 0o777) -> int:
        fd = real(path, flags, mode)
        if flags & os.O_EXCL and not looks:
            looks.append(real(path, os.O_RDWR))
            fcntl.flock(looks[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
        return fd

    monkeypatch.setattr(os, "open", open_and_be_seen)
    await deliver(store, 1)
    os.close(looks[0])
    assert list(packs(tmp_path)) == ["2.pack"]
    assert await contents(store, 1) == [PREFIX + b"Subject: x\r\n\r\nhello\r\n"]


async def test_a_number_whose_file_exists_is_never_taken(store: SqliteMailstore, tmp_path: Path) -> None:
    strange = tmp_path / "packs" / "7.pack"
    strange.write_bytes(b"mail, perhaps, of a database that is not here any more")
    await deliver(store, 1)
    assert packs(tmp_path) == {
        "7.pack": strange.stat().st_size,
        "8.pack": PACK_HEAD_OCTETS + HEADER_OCTETS + len(PREFIX) + 21,
    }
    assert strange.read_bytes().startswith(b"mail, perhaps")


async def test_a_pack_of_another_store_is_not_appended_to(store: SqliteMailstore, tmp_path: Path) -> None:
    await deliver(store, 1)
    await store.close()
    pack = tmp_path / "packs" / "1.pack"
    own = pack.read_bytes()
    strange = make_pack_head(bytes(16), 1) + own[PACK_HEAD_OCTETS:]
    pack.write_bytes(strange)
    again = SqliteMailstore.open(tmp_path, bus=LocalBus(), reserve_octets=4096)
    await deliver(again, 1)
    assert pack.read_bytes() == strange
    assert sorted(packs(tmp_path)) == ["1.pack", "2.pack"]
    await again.close()
    pack.write_bytes(own)  # fsck would name the other one


async def test_two_stores_write_to_packs_of_their_own(store: SqliteMailstore, tmp_path: Path) -> None:
    other = SqliteMailstore.open(tmp_path, bus=LocalBus(), reserve_octets=4096)
    for number in range(5):
        await deliver(store, 1, b"%d\r\n" % number)
        await deliver(other, 1, b"%d more\r\n" % number)
    assert sorted(packs(tmp_path)) == ["1.pack", "2.pack"]
    expected = [PREFIX + b"%d%s\r\n" % (number, tail) for number in range(5) for tail in (b"", b" more")]
    assert await contents(store, 1) == await contents(other, 1) == expected
    await other.close()
    third = SqliteMailstore.open(tmp_path, bus=LocalBus(), reserve_octets=4096)
    await deliver(third, 1)
    assert sorted(packs(tmp_path)) == ["1.pack", "2.pack"]
    await third.close()


async def test_after_a_failed_sync_the_pack_is_left_alone(
    store: SqliteMailstore, files: FaultyFiles, tmp_path: Path
) -> None:
    await deliver(store, 1, b"before\r\n")
    size = packs(tmp_path)["1.pack"]
    files.sync_error = errno.EIO
    with pytest.raises(StoreError) as caught:
        await deliver(store, 1, b"never\r\n")
    assert not isinstance(caught.value, StoreFullError)
    files.sync_error = 0
    spoilt = packs(tmp_path)["1.pack"]
    assert spoilt > size
    assert await deliver(store, 1, b"after\r\n") is DeliveryResult.KEPT
    assert packs(tmp_path)["1.pack"] == spoilt
    assert files.synced == ["1.pack", "1.pack", "2.pack", "2.pack"]
    assert await contents(store, 1) == [PREFIX + b"before\r\n", PREFIX + b"after\r\n"]
    # Nor by another process, while this one lives.
    other = SqliteMailstore.open(tmp_path, bus=LocalBus(), reserve_octets=4096)
    await deliver(other, 2)
    assert packs(tmp_path)["1.pack"] == spoilt
    await other.close()


async def test_a_disk_that_never_syncs_gathers_no_files(
    store: SqliteMailstore, files: FaultyFiles, tmp_path: Path
) -> None:
    files.sync_error = errno.EIO
    for _ in range(5):
        with pytest.raises(StoreError):
            await deliver(store, 1)
    assert packs(tmp_path) == {}
    files.sync_error = 0
    assert await deliver(store, 1) is DeliveryResult.KEPT


@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, StoreFullError), (errno.EIO, StoreError)])
async def test_a_failed_write_is_not_acknowledged(
    store: SqliteMailstore, files: FaultyFiles, tmp_path: Path, number: int, kind: type[StoreError], partial: bool
) -> None:
    await deliver(store, 1, b"before\r\n")
    size = packs(tmp_path)["1.pack"]
    length = (tmp_path / "packs" / "1.pack").stat().st_size
    files.write_error, files.partial = number, partial
    with pytest.raises(StoreError) as caught:
        await deliver(store, 1, b"x" * 30_000)
    assert type(caught.value) is kind
    if kind is StoreFullError:
        assert (tmp_path / "packs" / "1.pack").stat().st_size == size < length  # a full disk needs the space
    files.write_error = 0
    assert await deliver(store, 1, b"after\r\n") is DeliveryResult.KEPT
    assert await contents(store, 1) == [PREFIX + b"before\r\n", PREFIX + b"after\r\n"]
    assert (await store.usage(1)).messages == 2


async def test_a_tail_that_cannot_be_cut(store: SqliteMailstore, files: FaultyFiles, tmp_path: Path) -> None:
    await deliver(store, 1, b"before\r\n")
    files.write_error, files.partial, files.cut_error = errno.ENOSPC, True, errno.EIO
    with pytest.raises(StoreFullError):
        await deliver(store, 1, b"x" * 30_000)
    files.write_error = files.cut_error = 0
    assert await deliver(store, 1, b"after\r\n") is DeliveryResult.KEPT
    assert sorted(packs(tmp_path)) == ["1.pack", "2.pack"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
async def test_a_pack_that_cannot_be_made(
    store: SqliteMailstore, files: FaultyFiles, tmp_path: Path, number: int
) -> None:
    files.folder_error = number
    with pytest.raises(StoreFullError if number == errno.ENOSPC else StoreError):
        await deliver(store, 1)
    assert packs(tmp_path) == {}
    files.folder_error = 0
    assert await deliver(store, 1) is DeliveryResult.KEPT
    assert_sound(tmp_path)


async def test_a_new_pack_is_locked_from_its_first_moment(
    store: SqliteMailstore, files: FaultyFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process that looks for packs may see the name at once, and must not be quicker."""
    locked = []

    def look(folder: Path) -> None:
        fd = os.open(folder / "1.pack", os.O_RDWR)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            locked.append(True)
        os.close(fd)

    monkeypatch.setattr(files, "sync_folder", look)
    await deliver(store, 1)
    assert locked == [True]


async def test_zeros_stand_ready_behind_small_mail_and_go_when_the_pack_is_closed(tmp_path: Path) -> None:
    """A file that need not become longer is synced in half the time."""
    store = SqliteMailstore.open(tmp_path, bus=LocalBus(), reserve_octets=4096)
    pack = tmp_path / "packs" / "1.pack"
    await deliver(store, 1, b"first\r\n")
    length = pack.stat().st_size
    assert length == octets_used(pack) + (1 << 20)
    for number in range(20):
        await deliver(store, 1, b"%d\r\n" % number * 10_000)
    assert pack.stat().st_size == length
    await deliver(store, 1, b"y" * 1_000_000 + b"\r\n")  # a large one goes beyond them, and leaves none
    assert length < pack.stat().st_size == octets_used(pack)
    await deliver(store, 1, b"last\r\n")
    assert pack.stat().st_size == octets_used(pack) + (1 << 20)
    await store.close()
    assert pack.stat().st_size == octets_used(pack)
    assert pack.read_bytes().endswith(b"last\r\n")


async def test_without_space_for_zeros_it_goes_without(
    store: SqliteMailstore, files: FaultyFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = files.write

    def full(fd: int, buffers: Sequence[bytes], offset: int) -> None:
        if len(buffers[0]) == 1 << 20:
            os.pwrite(fd, bytes(5000), offset)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(fd, buffers, offset)

    monkeypatch.setattr(files, "write", full)
    for number in range(3):
        assert await deliver(store, 1, b"%d\r\n" % number) is DeliveryResult.KEPT
        assert (tmp_path / "packs" / "1.pack").stat().st_size == octets_used(tmp_path / "packs" / "1.pack")
    assert await contents(store, 1) == [PREFIX + b"%d\r\n" % number for number in range(3)]


async def test_after_a_crash_a_pack_goes_on_behind_its_zeros_and_can_be_removed(tmp_path: Path) -> None:
    pack = tmp_path / "packs" / "1.pack"
    first = SqliteMailstore.open(tmp_path, bus=LocalBus(), reserve_octets=4096)
    await deliver(first, 1, b"first\r\n")
    left = pack.read_bytes()
    await first.close()
    pack.write_bytes(left)  # as after a crash
    again = SqliteMailstore.open(tmp_path, bus=LocalBus(), reserve_octets=4096)
    await again.forget(1)
    await again.reap(NOW * 2)
    assert not pack.exists()  # nothing but zeros stood behind what was known
    await deliver(again, 1, b"second\r\n")
    pack = tmp_path / "packs" / "2.pack"
    left = pack.read_bytes()
    await again.close()
    pack.write_bytes(left)
    third = SqliteMailstore.open(tmp_path, bus=LocalBus(), reserve_octets=4096)
    await deliver(third, 1, b"third\r\n")
    assert octets_used(pack) > len(left)
    assert await contents(third, 1) == [PREFIX + b"second\r\n", PREFIX + b"third\r\n"]
    await third.close()
    assert_sound(tmp_path)


async def test_a_close_that_is_cancelled_cuts_no_pack_that_is_written_to(
    store: SqliteMailstore, files: FaultyFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The zeros behind the end go when the pack is closed; the commit thread may have put mail in their place."""
    await deliver(store, 1, b"first\r\n")
    written, go_on = threading.Event(), threading.Event()
    sync = files.sync

    def sync_then_wait(fd: int) -> None:
        sync(fd)
        written.set()
        assert go_on.wait(60)

    monkeypatch.setattr(files, "sync", sync_then_wait)
    delivery = asyncio.ensure_future(deliver(store, 1, b"second\r\n"))
    await asyncio.to_thread(written.wait, 60)
    closing = asyncio.ensure_future(store.close())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.sleep(0)  # twice: it is cancelled, and would let go
    await asyncio.sleep(0)
    go_on.set()
    assert await delivery is DeliveryResult.KEPT
    with pytest.raises(asyncio.CancelledError):
        await closing
    again = SqliteMailstore.open(tmp_path, bus=LocalBus(), reserve_octets=4096)
    assert await contents(again, 1) == [PREFIX + b"first\r\n", PREFIX + b"second\r\n"]
    await again.close()
    assert_sound(tmp_path)
