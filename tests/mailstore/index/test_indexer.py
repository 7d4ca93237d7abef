"""The indexer comes before the question."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from posthouse.mailstore.changes import LocalBus
from posthouse.mailstore.index import MessageIndex, indexer
from posthouse.mailstore.index.indexer import Indexer
from posthouse.mailstore.interface import MessageRef, StoreError, StoreFullError
from posthouse.mailstore.sqlite.store import SqliteMailstore
from tests.mailstore.index.messages import ACCOUNT, keep, mail
from tests.stores import append, box_of, deliver, ids_of, letter


@pytest.fixture
def bus() -> LocalBus:
    return LocalBus()


@pytest.fixture
async def store(tmp_path: Path, bus: LocalBus) -> AsyncIterator[SqliteMailstore]:
    opened = SqliteMailstore.open(tmp_path, bus=bus, reserve_octets=65_536)
    yield opened
    await opened.close()


@pytest.fixture
async def at_work(
    index: MessageIndex, store: SqliteMailstore, bus: LocalBus, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Indexer]:
    monkeypatch.setattr(indexer, "QUIET_SECONDS", 0.02)
    monkeypatch.setattr(indexer, "LATEST_SECONDS", 0.2)
    worker = Indexer(index, store, bus)
    task = asyncio.create_task(worker.run())
    yield worker
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not bus._watchers


async def _absent(index: MessageIndex, store: SqliteMailstore, account: int = ACCOUNT) -> list[int]:
    ids = [message for box in await store.mailboxes(account) for message in await ids_of(store, account, box.name)]
    return await index._rows.missing(account, ids)


async def _caught_up(index: MessageIndex, store: SqliteMailstore, account: int = ACCOUNT) -> None:
    deadline = time.monotonic() + 60
    while await index.followed(account) < store.modseq(account):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    assert await _absent(index, store, account) == []


async def test_what_is_there_and_what_comes(index: MessageIndex, store: SqliteMailstore, at_work: Indexer) -> None:
    await store.create(ACCOUNT, "Other")
    await keep(store, *(mail(f"Number {number}") for number in range(30)))
    await keep(store, mail("There"), mailbox="Other")
    at_work.watch_account(ACCOUNT)
    at_work.watch_account(ACCOUNT)
    await _caught_up(index, store)
    for _ in range(3):
        await deliver(store, ACCOUNT, mail("New"))
        await append(store, ACCOUNT, letter(mail("New")), mailbox="Other")
        await _caught_up(index, store)


async def test_what_goes(index: MessageIndex, store: SqliteMailstore, at_work: Indexer) -> None:
    ids = await keep(store, *(mail(f"Number {number}") for number in range(5)))
    at_work.watch_account(ACCOUNT)
    await _caught_up(index, store)
    await store.remove(ACCOUNT, (await box_of(store, ACCOUNT)).id, ids[1:3], marked=False)
    await _caught_up(index, store)
    assert await index._rows.missing(ACCOUNT, ids) == ids[1:3]


async def test_nobody_is_looked_after_unasked(index: MessageIndex, store: SqliteMailstore, at_work: Indexer) -> None:
    await keep(store, mail())
    await keep(store, mail(), account=2)
    at_work.watch_account(2)
    await _caught_up(index, store, 2)
    assert len(await _absent(index, store)) == 1


async def test_a_large_account_does_not_hold_up_another(
    index: MessageIndex, store: SqliteMailstore, at_work: Indexer
) -> None:
    await keep(store, *(mail(f"Number {number}") for number in range(400)))
    await keep(store, mail(), account=2)
    at_work.watch_account(ACCOUNT)
    at_work.watch_account(2)
    await _caught_up(index, store, 2)
    assert len(await _absent(index, store)) > 200
    await _caught_up(index, store)


async def test_news_that_keep_coming(
    index: MessageIndex, store: SqliteMailstore, at_work: Indexer, bus: LocalBus
) -> None:
    await keep(store, mail())
    at_work.watch_account(ACCOUNT)
    until = time.monotonic() + 0.6
    while time.monotonic() < until:
        bus.publish(ACCOUNT, 1)
        await asyncio.sleep(0.005)
    assert await _absent(index, store) == []


async def test_trouble_does_not_end_it(
    index: MessageIndex, store: SqliteMailstore, at_work: Indexer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise StoreFullError("full")

    with monkeypatch.context() as trouble:
        trouble.setattr(index, "ensure", fail)
        await keep(store, mail())
        at_work.watch_account(ACCOUNT)
        await asyncio.sleep(0.2)
        assert len(await _absent(index, store)) == 1
    await deliver(store, ACCOUNT, mail())
    await _caught_up(index, store)
    with monkeypatch.context() as trouble:
        trouble.setattr(store, "changes", fail)
        await deliver(store, ACCOUNT, mail())
        await asyncio.sleep(0.2)
    await deliver(store, ACCOUNT, mail())
    await _caught_up(index, store)


async def test_the_oldest_are_let_go(
    index: MessageIndex, store: SqliteMailstore, at_work: Indexer, monkeypatch: pytest.MonkeyPatch, bus: LocalBus
) -> None:
    monkeypatch.setattr(indexer, "_KEPT", 2)
    for account in (1, 2, 3):
        at_work.watch_account(account)
    assert set(bus._watchers) == {2, 3}
    assert issubclass(StoreFullError, StoreError)


async def test_an_account_is_followed_again_after_an_error_that_nobody_thought_of(
    index: MessageIndex,
    store: SqliteMailstore,
    at_work: Indexer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await keep(store, mail("First"))

    async def fail(account: int) -> int:
        raise ZeroDivisionError

    with monkeypatch.context() as broken:
        broken.setattr(index, "followed", fail)
        at_work.watch_account(ACCOUNT)
        deadline = time.monotonic() + 60
        while "could not be indexed" not in caplog.text:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
    await keep(store, mail("Second"))
    await _caught_up(index, store)


async def test_started_again_it_still_watches(
    index: MessageIndex, store: SqliteMailstore, bus: LocalBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexer, "QUIET_SECONDS", 0.02)
    worker = Indexer(index, store, bus)
    worker.watch_account(ACCOUNT)

    def fail(now: float) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as broken:
        broken.setattr(worker, "_begin", fail)
        with pytest.raises(ZeroDivisionError):
            await worker.run()
    task = asyncio.create_task(worker.run())
    await keep(store, mail("New"))
    await _caught_up(index, store)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not bus._watchers


async def test_one_that_cannot_be_read_now_holds_up_no_other(
    index: MessageIndex, store: SqliteMailstore, at_work: Indexer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await keep(store, mail("One"), mail("Two"), mail("Three"))
    box = await box_of(store, ACCOUNT)
    ids = await ids_of(store, ACCOUNT)
    busy = (await store.items(ACCOUNT, box.id, ids))[1].entry
    read = store.read

    async def reading(entry: MessageRef, offset: int, length: int) -> bytes:
        if entry == busy:
            raise StoreError("not now")
        return await read(entry, offset, length)

    with monkeypatch.context() as patch:
        patch.setattr(store, "read", reading)
        at_work.watch_account(ACCOUNT)
        deadline = time.monotonic() + 60
        while await _absent(index, store) != [busy.message]:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        assert await index.followed(ACCOUNT) < store.modseq(ACCOUNT)
    await append(store, ACCOUNT, letter(mail("Four")))
    await _caught_up(index, store)
