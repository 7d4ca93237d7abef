"""The spool: what is kept where, and that a disk which stands still holds up its sender alone."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from posthouse.delivery.content.spool import Spool, SpoolBudget
from posthouse.mailstore.interface import StoreFullError, Traits
from tests.net.fixture import until

OCTETS, IN_MEMORY = 1 << 20, 1 << 16
PIECE = b"x" * 1022 + b"\r\n"


@pytest.fixture
def budget(tmp_path: Path) -> SpoolBudget:
    return SpoolBudget(tmp_path / "spool", octets=OCTETS, in_memory=IN_MEMORY)


@contextmanager
def standing_still(budget: SpoolBudget) -> Iterator[None]:
    """The disk takes nothing, as long as the block runs."""
    go_on = threading.Event()
    for _ in range(2):
        budget.writers.submit(go_on.wait)
    try:
        yield
    finally:
        go_on.set()


async def write(spool: Spool, data: bytes) -> None:
    spool.write(data)
    if spool.is_due:
        await spool.flush()


def descriptors(budget: SpoolBudget) -> int:
    """Files of spools that are open; they have no name any more."""
    links = [str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
    return sum(link.startswith(str(budget.folder)) for link in links)


async def test_what_fits_touches_no_file(budget: SpoolBudget) -> None:
    budget.folder.rmdir()  # no file could be made
    spool = Spool(budget)
    for _ in range(IN_MEMORY // len(PIECE)):
        await write(spool, PIECE)
    assert b"".join(spool.chunks()) == PIECE * (IN_MEMORY // len(PIECE))
    assert budget.left == OCTETS - spool.octets
    spool.close()
    assert budget.left == OCTETS


async def test_what_does_not_fit_is_in_a_file(budget: SpoolBudget) -> None:
    before = descriptors(budget)
    spool, whole = Spool(budget), bytearray()
    for number in range(1000):
        piece = b"%d " % number + PIECE
        whole += piece
        await write(spool, piece)
        assert OCTETS - budget.left <= 256 * 1024 + len(piece)
    assert b"".join(spool.chunks()) == whole
    assert (spool.octets, spool.traits, bytes(spool.head)) == (len(whole), Traits.NONE, bytes(whole[: 256 << 10]))
    spool.close()
    assert budget.left == OCTETS and not list(budget.folder.iterdir()) and descriptors(budget) == before


async def test_all_spools_share_one_budget(budget: SpoolBudget) -> None:
    spools = [Spool(budget) for _ in range(40)]
    for spool in spools:
        await write(spool, PIECE * 60)
        assert budget.left >= 0
    assert all(b"".join(spool.chunks()) == PIECE * 60 for spool in spools)
    for spool in spools:
        spool.close()
    assert budget.left == OCTETS


async def test_a_disk_that_stands_still_holds_up_the_one_who_writes(budget: SpoolBudget) -> None:
    large, small = Spool(budget), Spool(budget)
    large.write(PIECE * 100)
    with standing_still(budget):
        flushing = asyncio.create_task(large.flush())
        for _ in range(10):
            await asyncio.sleep(0)  # the loop goes on
            await write(small, PIECE)
        assert not flushing.done()
    await flushing
    assert b"".join(large.chunks()) == PIECE * 100 and b"".join(small.chunks()) == PIECE * 10
    large.close()
    small.close()
    assert budget.left == OCTETS


async def test_closed_while_it_is_written(budget: SpoolBudget) -> None:
    """The descriptor is open until the thread is done with it: else it would write into another's file."""
    before = descriptors(budget)
    spool = Spool(budget)
    await write(spool, PIECE * 100)
    spool.write(PIECE)
    with standing_still(budget):
        flushing = asyncio.create_task(spool.flush())
        await asyncio.sleep(0)
        flushing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await flushing
        spool.close()
        assert descriptors(budget) == before + 1
    await until(lambda: descriptors(budget) == before)
    assert budget.left == OCTETS


async def test_no_room(budget: SpoolBudget, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    spool = Spool(budget)
    spool.write(PIECE * 100)
    with monkeypatch.context() as patch:
        patch.setattr("posthouse.delivery.content.spool.os.write", full)
        with pytest.raises(StoreFullError):
            await spool.flush()
    spool.close()
    assert budget.left == OCTETS
