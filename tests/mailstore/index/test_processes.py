"""Several processes on one index."""

import asyncio
import multiprocessing
from pathlib import Path

from posthouse.mailstore.changes import LocalBus
from posthouse.mailstore.index import open_index
from posthouse.mailstore.sqlite.store import SqliteMailstore
from tests.mailstore.index.messages import ACCOUNT, keep, mail, search
from tests.mailstore.index.test_index import _spoil_pages
from tests.stores import append, ids_of, letter

_EACH = 40


async def _work(folder: Path, who: int) -> None:
    store = SqliteMailstore.open(folder, bus=LocalBus(), reserve_octets=4096)
    index = open_index(folder / "index.db", store)
    for number in range(_EACH):
        await append(store, ACCOUNT, letter(mail(f"who{who} number{number}.")))
        assert len(await search(index, store, "subject", f"who{who} number{number}.")) == 1
        assert len(await search(index, store, "text", f"who{who} ")) == number + 1
        await index.forget(who)
    await index.close()
    await store.close()


def _process(folder: Path, who: int) -> None:
    asyncio.run(_work(folder, who))


def _run(folder: Path, count: int) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_process, args=(folder, who)) for who in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0


async def test_two_at_once(tmp_path: Path) -> None:
    await SqliteMailstore.open(tmp_path, bus=LocalBus(), reserve_octets=4096).close()
    await asyncio.to_thread(_run, tmp_path, 2)
    store = SqliteMailstore.open(tmp_path, bus=LocalBus(), reserve_octets=4096)
    index = open_index(tmp_path / "index.db", store)
    assert len(await search(index, store, "subject", "number")) == 2 * _EACH
    await index.close()
    await store.close()


async def test_two_that_find_a_spoilt_file(tmp_path: Path) -> None:
    store = SqliteMailstore.open(tmp_path, bus=LocalBus(), reserve_octets=4096)
    index = open_index(tmp_path / "index.db", store)
    await keep(store, *(mail("who9 number", "x" * 3000) for _ in range(60)))
    await search(index, store, "text", "x")
    await index.close()
    _spoil_pages(tmp_path / "index.db")
    await asyncio.to_thread(_run, tmp_path, 3)
    index = open_index(tmp_path / "index.db", store)
    assert len(await search(index, store, "subject", "number")) == 60 + 3 * _EACH == len(await ids_of(store, ACCOUNT))
    await index.close()
    await store.close()
