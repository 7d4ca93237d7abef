"""A queued message on its way out."""

from pathlib import Path

import pytest

from posthouse.delivery.content.queued import QueuedContent
from posthouse.mailstore.changes import LocalBus
from posthouse.mailstore.interface import DamagedError
from posthouse.mailstore.sqlite.store import SqliteMailstore
from tests.stores import PREFIX, deliver, octets_used


@pytest.mark.parametrize("size", [200, 100_000, 400_000, 3_000_000])
async def test_no_octet_of_a_damaged_message_goes_out(tmp_path: Path, size: int) -> None:
    store = SqliteMailstore.open(tmp_path, bus=LocalBus(), reserve_octets=4096)
    await deliver(store, 1, b"x" * size)
    (entry,) = await store.entries(1)
    assert b"".join([piece async for piece in QueuedContent(store, entry).pieces()]) == PREFIX + b"x" * size
    pack = tmp_path / "packs" / "1.pack"
    data = bytearray(pack.read_bytes())
    data[octets_used(pack) - 1] ^= 1
    pack.write_bytes(data)
    await store.close()
    store = SqliteMailstore.open(tmp_path, bus=LocalBus(), reserve_octets=4096)  # what was checked is remembered
    sent = []
    with pytest.raises(DamagedError):
        async for piece in QueuedContent(store, entry).pieces():
            sent.append(piece)
    assert sent == []
    await store.close()
