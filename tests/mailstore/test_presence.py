"""Whether the packs that are there are this store's: what a start looks at."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from posthouse.mailstore.changes import LocalBus
from posthouse.mailstore.interface import INBOX
from posthouse.mailstore.loose import head_at
from posthouse.mailstore.records import PackHead
from posthouse.mailstore.sqlite.presence import Presence, presence
from posthouse.mailstore.sqlite.store import SqliteMailstore
from tests.stores import NOW, deliver

SOUND = Presence((), 0, (), (), ())


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    return folder


@pytest.fixture
def other(tmp_path: Path) -> Path:
    folder = tmp_path / "other"
    folder.mkdir()
    return folder


async def make(folder: Path, *, emptied: bool = False) -> None:
    """A store with one message; `emptied`: the message is gone, and its pack waits to be removed."""
    store = SqliteMailstore.open(folder, bus=LocalBus(), reserve_octets=4096)
    await deliver(store, 1)
    if emptied:
        await store.expunge(1, INBOX, [entry.message for entry in await store.entries(1)])
        await store.reap(NOW * 2, grace=0)  # the pack stays: we are its writer
    await store.close()


@pytest.mark.parametrize("emptied", [False, True])
async def test_packs_of_another_store_are_noticed_whether_or_not_mail_is_missed(
    emptied: bool, mine: Path, other: Path
) -> None:
    await make(mine, emptied=emptied)
    await make(other)
    assert presence(mine) == SOUND
    shutil.rmtree(mine / "packs")
    shutil.copytree(other / "packs", mine / "packs")
    assert presence(mine).foreign == (1,)
    assert presence(mine, accepted=[1]).foreign == ()


async def test_however_many_packs_there_are_few_heads_are_read(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SqliteMailstore.open(mine, bus=LocalBus(), pack_octets=1000, reserve_octets=4096)
    for _ in range(9):
        await deliver(store, 1, b"x" * 2000)
    await store.close()
    looked: list[str] = []

    def counting(path: Path) -> PackHead | None:
        looked.append(path.name)
        return head_at(path)

    monkeypatch.setattr("posthouse.mailstore.sqlite.presence.head_at", counting)
    assert presence(mine, heads=2) == SOUND
    assert looked == ["1.pack", "2.pack", "8.pack", "9.pack"]


async def test_a_head_that_the_disk_does_not_give_is_named_and_keeps_nothing_from_starting(
    mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make(mine)

    def broken(fd: int, octets: int, offset: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "pread", broken)
    assert presence(mine) == Presence((), 0, (), (), (1,))
