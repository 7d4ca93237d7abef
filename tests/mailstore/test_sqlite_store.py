"""What only the store on disk promises: several processes, threads and lives on one folder."""

import asyncio
import multiprocessing
from functools import partial
from pathlib import Path

import apsw
import pytest

from posthouse.mailstore.changes import LocalBus
from posthouse.mailstore.interface import INBOX, DeliveryResult, StoreError
from posthouse.mailstore.sqlite.store import SqliteMailstore
from tests.store_invariants import assert_sound
from tests.stores import PREFIX, ascending, contents, deliver

_PER_TASK = 25


async def _send(folder: Path, who: int) -> list[int]:
    """Deliver and expunge beside others; the uids that were seen, look by look, must ascend."""
    store = SqliteMailstore.open(folder, bus=LocalBus(), reserve_octets=4096)
    looks: list[list[int]] = []

    async def client(task: int) -> None:
        for number in range(_PER_TASK):
            data = b"%d %d %d\r\n" % (who, task, number)
            assert (
                await deliver(store, 1, data, delivery=who.to_bytes(6, "big") + data[:-2].rjust(10))
                is DeliveryResult.KEPT
            )
            looks.append([entry.uid for entry in await store.entries(1)])

    await asyncio.gather(*(client(task) for task in range(4)))
    for look in looks:
        assert ascending(look)
    last = max(looks, key=len)  # looks at the same time end in any order
    for look in looks:
        highest = look[-1]
        assert look == [uid for uid in last if uid <= highest]  # nothing came in below what was seen
    await store.close()
    return last


def _send_all(folder: Path, who: int) -> list[int]:
    return asyncio.run(_send(folder, who))


def _process(folder: Path, who: int, results) -> None:  # type: ignore[no-untyped-def]
    results.put(_send_all(folder, who))


async def _verify(folder: Path, senders: int) -> None:
    store = SqliteMailstore.open(folder, bus=LocalBus(), reserve_octets=4096)
    expected = {
        PREFIX + b"%d %d %d\r\n" % (who, task, number)
        for who in range(1, senders + 1)
        for task in range(4)
        for number in range(_PER_TASK)
    }
    assert set(await contents(store, 1)) == expected
    assert [entry.uid for entry in await store.entries(1)] == list(range(1, len(expected) + 1))
    modseqs = [change.modseq for change in await store.changes(1, 0)]
    assert modseqs == list(range(1, len(expected) + 1))
    await store.close()
    assert_sound(folder)


async def test_stores_in_several_processes(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    results = spawn.Queue()
    processes = [spawn.Process(target=_process, args=(tmp_path, who, results)) for who in (1, 2, 3)]
    for process in processes:
        process.start()
    for _ in processes:
        await asyncio.to_thread(results.get, timeout=60)
    for process in processes:
        await asyncio.to_thread(process.join)
        assert process.exitcode == 0
    await _verify(tmp_path, 3)


async def test_stores_in_several_threads(tmp_path: Path) -> None:
    await asyncio.gather(*(asyncio.to_thread(_send_all, tmp_path, who) for who in (1, 2)))
    await _verify(tmp_path, 2)


async def test_what_was_kept_is_there_after_opening_again(tmp_path: Path) -> None:
    expected: list[bytes] = []
    for life in range(4):
        store = SqliteMailstore.open(tmp_path, bus=LocalBus(), reserve_octets=4096)
        assert await contents(store, 1) == expected
        await deliver(store, 1, b"%d\r\n" % life)
        expected.append(PREFIX + b"%d\r\n" % life)
        await store.close()
    assert_sound(tmp_path)


async def test_another_process_sees_it_at_once(tmp_path: Path) -> None:
    first, second = (SqliteMailstore.open(tmp_path, bus=LocalBus(), reserve_octets=4096) for _ in range(2))
    for number in range(20):
        await deliver(first, 1, b"%d\r\n" % number)
        entries = await second.entries(1)
        assert len(entries) == (await second.usage(1)).messages == number + 1
    await second.expunge(1, INBOX, [entry.message for entry in entries[5:]])
    assert len(await first.entries(1)) == (await first.usage(1)).messages == 5
    await first.close()
    await second.close()
    assert_sound(tmp_path)


async def test_more_entries_than_a_page(tmp_path: Path) -> None:
    store = SqliteMailstore.open(tmp_path, bus=LocalBus(), reserve_octets=4096)
    for count in (999, 1, 1, 1499):
        await asyncio.gather(*(deliver(store, 1, b"x") for _ in range(count)))
        entries = await store.entries(1)
        assert [entry.uid for entry in entries] == list(range(1, len(entries) + 1))
        assert [change.uid for change in await store.changes(1, 0)] == list(range(1, len(entries) + 1))
    assert len(entries) == 2500
    assert await store.changes(1, 2499) == (await store.changes(1, 0))[-1:]
    await store.close()


async def test_entries_come_by_uid_whatever_their_ids(tmp_path: Path) -> None:
    store = SqliteMailstore.open(tmp_path, bus=LocalBus(), reserve_octets=4096)
    for _ in range(3):
        await deliver(store, 1)
    connection = apsw.Connection(str(tmp_path / "posthouse.db"))
    connection.execute("UPDATE message SET uid = 9 WHERE message_id = 1")
    connection.close()
    assert [(entry.message, entry.uid) for entry in await store.entries(1)] == [(2, 2), (3, 3), (1, 9)]
    await store.close()


async def test_a_damaged_database_is_an_error_and_not_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "posthouse.db").write_bytes(b"nonsense" * 1000)
    with pytest.raises(StoreError, match="cannot be opened"):
        SqliteMailstore.open(tmp_path, bus=LocalBus())
    with pytest.raises(StoreError, match="cannot be opened"):
        SqliteMailstore.open(tmp_path / "missing", bus=LocalBus())


async def test_a_later_schema_is_refused(tmp_path: Path) -> None:
    await SqliteMailstore.open(tmp_path, bus=LocalBus(), reserve_octets=4096).close()
    connection = apsw.Connection(str(tmp_path / "posthouse.db"))
    connection.pragma("user_version", 99)
    connection.close()
    with pytest.raises(StoreError, match="newer"):
        SqliteMailstore.open(tmp_path, bus=LocalBus())


async def test_only_the_owner_may_look(tmp_path: Path) -> None:
    store = SqliteMailstore.open(tmp_path, bus=LocalBus(), reserve_octets=4096)
    await deliver(store, 1)
    modes = await asyncio.to_thread(partial(_modes, tmp_path))
    assert {mode & 0o077 for mode in modes.values()} == {0}
    assert {"posthouse.db", "posthouse.db-wal", "packs", "1.pack", "reserve"} <= modes.keys()
    await store.close()


def _modes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode for path in folder.rglob("*")}
