"""Batches that fail in part or as a whole: what was acknowledged before and after them stays as it was."""

import asyncio
import errno
import os
from pathlib import Path

import apsw
import pytest

from posthouse.mailstore.changes import LocalBus
from posthouse.mailstore.interface import (
    INBOX,
    DeliveryResult,
    MailboxExistsError,
    NoSuchMailboxError,
    Role,
    StoreError,
    StoreFullError,
    Target,
)
from posthouse.mailstore.sqlite.store import SqliteMailstore
from tests.mailstore.faulty import FaultyFiles
from tests.store_invariants import assert_sound
from tests.stores import NOW, PREFIX, Bytes, append, contents, deliver, delivery_id, letter, octets_used


def writer_of(store: SqliteMailstore) -> apsw.Connection:
    return store._commit._connection


class FullDatabase:
    """No page more, as on a full disk, while the block runs."""

    def __init__(self, store: SqliteMailstore) -> None:
        self._connection = writer_of(store)

    def __enter__(self) -> None:
        self._connection.pragma("max_page_count", self._connection.pragma("page_count"))

    def __exit__(self, *_: object) -> None:
        self._connection.pragma("max_page_count", 1 << 30)


async def fill(store: SqliteMailstore) -> None:
    """Make mailboxes until there is no room for another."""
    for number in range(3000):
        try:
            await store.create(9, f"{number} " + "x" * 200)
        except StoreFullError:
            return
    raise AssertionError("it never was full")


async def test_a_full_batch_without_mail_leaves_the_batch_before_alone(store: SqliteMailstore) -> None:
    kept = [PREFIX + b"%d" % number * 3000 for number in range(3)]
    for number in range(3):
        await deliver(store, 1, b"%d" % number * 3000)
    with FullDatabase(store):
        await fill(store)
    assert await contents(store, 1) == kept
    await deliver(store, 2, b"of another\r\n")
    assert await contents(store, 1) == kept
    assert await contents(store, 2) == [PREFIX + b"of another\r\n"]


async def test_refused_mail_gives_its_space_back_and_its_place_to_nobody(
    store: SqliteMailstore, files: FaultyFiles, tmp_path: Path
) -> None:
    await deliver(store, 1, b"before\r\n")
    pack = tmp_path / "packs" / "1.pack"
    before = octets_used(pack)
    writes: list[str] = []

    def note(_: object, statement: str, __: object) -> bool:
        writes.append(statement)
        return True

    writer_of(store).set_exec_trace(note)
    with FullDatabase(store):
        await fill(store)
        placements = [Target(1, PREFIX, f"{number} " + "y" * 200) for number in range(100)]
        with pytest.raises(StoreFullError):
            await store.deliver(delivery_id(), Bytes(b"refused" * 9000), placements, NOW, all_or_nothing=True)
    await deliver(store, 1, b"after\r\n")
    ((start, length),) = files.punched
    assert start == before and length > 60_000
    # First a commit that overwrites what the failed one may have left in the log, or a crash would bring its rows back.
    assert any(statement.startswith("UPDATE pack SET end = max") for statement in writes)
    assert octets_used(pack) > before + length
    assert await contents(store, 1) == [PREFIX + b"before\r\n", PREFIX + b"after\r\n"]


async def test_two_workers_and_a_pack_whose_row_is_not_committed(store: SqliteMailstore, tmp_path: Path) -> None:
    other = SqliteMailstore.open(tmp_path, bus=LocalBus(), reserve_octets=4096)
    await deliver(store, 1, b"ann\r\n")
    connection = writer_of(other)
    connection.set_authorizer(_no_packs)
    for _ in range(2):
        with pytest.raises(StoreError):
            await deliver(other, 2, b"ben\r\n")
    connection.set_authorizer(None)
    assert sorted(file.name for file in (tmp_path / "packs").iterdir()) == ["1.pack"]
    third = SqliteMailstore.open(tmp_path, bus=LocalBus(), reserve_octets=4096)
    for _ in range(3):
        assert await deliver(other, 2, b"ben\r\n") is DeliveryResult.KEPT
        assert await deliver(third, 3, b"cat\r\n") is DeliveryResult.KEPT
    assert await contents(store, 2) == [PREFIX + b"ben\r\n"] * 3
    assert await contents(store, 3) == [PREFIX + b"cat\r\n"] * 3
    await other.close()
    await third.close()


def _no_packs(action: int, first: str | None, *_: object) -> int:
    made = action == apsw.SQLITE_INSERT and first == "pack"
    return apsw.SQLITE_DENY if made else apsw.SQLITE_OK


async def test_a_pack_that_cannot_be_taken_up_is_let_go_of_whole(
    store: SqliteMailstore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row is there, its file is made, and then the commit that takes it up fails: with an error, or for good."""
    from posthouse.mailstore.sqlite.catalogue import SqliteCatalogue

    real = SqliteCatalogue.reopen
    failures: list[Exception] = [apsw.IOError("disk I/O error"), apsw.FullError("full")]

    def reopen(catalogue: SqliteCatalogue, pack: int) -> int | None:
        if failures:
            raise failures.pop()
        return real(catalogue, pack)

    monkeypatch.setattr(SqliteCatalogue, "reopen", reopen)
    for kind in (StoreFullError, StoreError):
        with pytest.raises(kind):
            await deliver(store, 1)
        assert list((tmp_path / "packs").iterdir()) == []
    await deliver(store, 1)
    assert [file.name for file in (tmp_path / "packs").iterdir()] == ["3.pack"]
    await store.reap(NOW * 2)
    connection = apsw.Connection(str(tmp_path / "posthouse.db"))
    assert connection.execute("SELECT pack FROM pack").fetchall() == [(3,)]  # the rows without a file went
    connection.close()


async def test_a_row_dropped_before_its_file_was_there(
    store: SqliteMailstore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reaper of another process sees the row of a pack that is just being made."""
    from posthouse.mailstore.sqlite.catalogue import SqliteCatalogue

    real = SqliteCatalogue.add
    dropped: list[int] = []

    def add(catalogue: SqliteCatalogue, above: int) -> int:
        pack = real(catalogue, above)
        if not dropped:
            dropped.append(pack)
            connection = apsw.Connection(str(tmp_path / "posthouse.db"))
            connection.execute("DELETE FROM pack WHERE pack = ? AND live = 0 AND opened = 0", (pack,))
            connection.close()
        return pack

    monkeypatch.setattr(SqliteCatalogue, "add", add)
    await deliver(store, 1)
    assert dropped == [1]
    assert [file.name for file in (tmp_path / "packs").iterdir()] == ["2.pack"]


async def test_beside_a_refused_command_a_hole_never_reaches_a_living_message(store: SqliteMailstore) -> None:
    """An append and a delivery in one batch: their bodies do not lie in the order in which they are filed."""
    await store.create(1, "Archive")
    await store.create(2, "Taken")
    await deliver(store, 2, b"earlier\r\n")

    async def refused() -> None:
        with pytest.raises(MailboxExistsError):
            await store.create(2, "Taken")

    appended, _, _ = await asyncio.gather(
        append(store, 1, letter(b"a" * 20_000), mailbox="Archive"), refused(), deliver(store, 2, b"d" * 20_000)
    )
    assert appended.uids == [1]
    messages = list((await store.snapshot(1, "Archive")).messages)
    await store.expunge(1, "Archive", messages)
    assert (await store.reap(NOW * 2)).blobs == 1
    assert await contents(store, 2) == [PREFIX + b"earlier\r\n", PREFIX + b"d" * 20_000]


async def test_a_removal_is_acknowledged_when_the_reserve_cannot_be_had_again(
    store: SqliteMailstore, files: FaultyFiles
) -> None:
    await deliver(store, 1)
    (entry,) = await store.entries(1)
    writer = writer_of(store)
    fulls = [apsw.FullError("database or disk is full")]

    def once(statement: str) -> None:
        if statement.startswith("COMMIT") and fulls:
            files.reserve_error = files.cut_error = errno.EIO
            raise fulls.pop()

    real = store._commit._transact

    def transact(units, apply):  # type: ignore[no-untyped-def]
        once("COMMIT")
        real(units, apply)

    store._commit._transact = transact  # type: ignore[method-assign]
    assert await store.expunge(1, INBOX, [entry.message]) == 1
    files.reserve_error = files.cut_error = 0
    assert writer.in_transaction is False
    assert await store.entries(1) == []


async def test_a_mailbox_is_gone_though_its_messages_cannot_be_removed_now(
    store: SqliteMailstore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from posthouse.mailstore.sqlite import removing

    await store.create(1, "Old")
    await append(store, 1, letter(), letter(), mailbox="Old")

    def fail(*_: object) -> int:
        raise apsw.IOError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(removing, "purge", fail)
        await store.delete(1, "Old")
    assert await store.mailbox(1, "Old") is None
    await store.reap(NOW * 2)
    assert (await store.usage(1)).messages == 0


async def test_inbox_is_renamed_beside_the_removal_of_the_account(store: SqliteMailstore) -> None:
    for _ in range(20):
        await deliver(store, 1)
        outcomes = await asyncio.gather(
            store.forget(1), store.rename(1, INBOX, "Before"), store.forget(1), return_exceptions=True
        )
        assert all(outcome is None or isinstance(outcome, NoSuchMailboxError) for outcome in outcomes)
        await store.forget(1)
        assert [box.name for box in await store.mailboxes(1)] == [INBOX]
        await store.create(1, "x", Role.NONE)
        await store.forget(1)


async def test_closing_lets_go_of_everything_whatever_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SqliteMailstore.open(tmp_path, bus=LocalBus(), reserve_octets=4096)
    await deliver(store, 1)
    held = _held_open(tmp_path)
    assert len(held) >= 5

    async def fail() -> None:
        await real()
        raise StoreError("something about the threads")

    real = store._commit.close
    monkeypatch.setattr(store._commit, "close", fail)
    with pytest.raises(StoreError, match="threads"):
        await store.close()
    monkeypatch.undo()
    await store.close()
    assert _held_open(tmp_path) == []
    again = SqliteMailstore.open(tmp_path, bus=LocalBus(), reserve_octets=4096)
    await deliver(again, 1)
    assert [file.name for file in (tmp_path / "packs").iterdir()] == ["1.pack"]  # it was not locked any more
    await again.close()
    assert_sound(tmp_path)


def _held_open(folder: Path) -> list[str]:
    names = [os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()]
    return [name for name in names if name.startswith(str(folder))]


async def test_space_of_removed_mail_is_had_at_once_on_a_full_disk(
    store: SqliteMailstore, files: FaultyFiles, tmp_path: Path
) -> None:
    """Without it a user who deletes to make room would wait for an hour."""
    await deliver(store, 1, b"x" * 60_000)
    await deliver(store, 1, b"kept\r\n")
    await store.expunge(1, INBOX, [(await store.entries(1))[0].message])
    real = files.punch

    def punch(fd: int, offset: int, length: int) -> bool:
        files.write_error = 0
        return real(fd, offset, length)

    files.punch = punch  # type: ignore[method-assign]
    files.write_error = errno.ENOSPC
    both = await asyncio.gather(deliver(store, 1, b"first\r\n"), append(store, 1, letter(b"second\r\n")))
    assert both[0] is DeliveryResult.KEPT
    assert sorted(await contents(store, 1)) == sorted([PREFIX + b"kept\r\n", PREFIX + b"first\r\n", b"second\r\n"])
    files.write_error = errno.ENOSPC
    for _ in range(2):
        with pytest.raises(StoreFullError):
            await deliver(store, 1)
    files.write_error = 0


async def test_a_mailbox_that_is_removed_as_soon_as_it_was_made(store: SqliteMailstore) -> None:
    """Making it succeeded, whatever the other one did in the next moment."""
    made, removed = await asyncio.gather(store.create(1, "A/B"), store.delete(1, "A/B"))
    assert (made.name, removed) == ("A/B", None)
    assert await store.mailbox(1, "A/B") is None
