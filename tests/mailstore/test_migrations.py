"""Data of before: it comes over as it is, and its mail is served."""

import hashlib
import struct
import zlib
from pathlib import Path

import apsw
import pytest

from posthouse.database.migrations import migrate
from posthouse.mailstore.changes import LocalBus
from posthouse.mailstore.fsck import check
from posthouse.mailstore.interface import INBOX, StoreError
from posthouse.mailstore.sqlite.migrations import MIGRATIONS
from posthouse.mailstore.sqlite.store import SqliteMailstore
from tests.store_invariants import assert_sound
from tests.stores import NOW, PREFIX, contents, deliver


def record(prefix: bytes, body: bytes) -> bytes:
    """A record of version 1: without identity."""
    fields = struct.pack("<4sHHIQ32s", b"PHrc", 1, 0, len(prefix), len(body), hashlib.sha256(body).digest())
    return fields + struct.pack("<I", zlib.crc32(prefix, zlib.crc32(fields))) + prefix + body


def old_store(folder: Path, bodies: list[bytes]) -> apsw.Connection:
    """A store with the second schema and one pack without a head: a message of account 1 for each body."""
    (folder / "packs").mkdir()
    connection = apsw.Connection(str(folder / "posthouse.db"))
    migrate(connection, MIGRATIONS[:2])
    octets = sum(len(PREFIX) + len(body) for body in bodies)
    count = len(bodies)
    connection.execute("INSERT INTO account VALUES (1, ?, ?, 2, ?, ?, ?, 0)", (count, count + 1, NOW, count, octets))
    connection.execute(
        "INSERT INTO mailbox VALUES (1, 'INBOX', 1, ?, ?, ?, ?, ?, 0, ?, '')",
        (NOW, count + 1, count, count, count, octets),
    )
    data = b""
    for n, body in enumerate(bodies, 1):
        connection.execute(
            "INSERT INTO blob VALUES (?, ?, 1, ?, ?, ?, 0, 1, NULL)",
            (n, hashlib.sha256(body).digest(), len(data), len(PREFIX), len(body)),
        )
        size = len(PREFIX) + len(body)
        connection.execute(
            "INSERT INTO message VALUES (1, 1, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?)",
            (n, n, n, len(PREFIX), len(PREFIX), size, NOW, n, NOW, n),
        )
        data += record(PREFIX, body)
    connection.execute("INSERT INTO pack VALUES (1, ?, ?, 1)", (len(data), count))
    (folder / "packs" / "1.pack").write_bytes(data)
    return connection


async def test_mail_of_before_there_were_identities(tmp_path: Path) -> None:
    bodies = [b"%d\r\n" % number * 500 for number in range(20)]
    old_store(tmp_path, bodies).close()
    before = (tmp_path / "packs" / "1.pack").read_bytes()
    store = SqliteMailstore.open(tmp_path, bus=LocalBus(), reserve_octets=4096)
    assert await contents(store, 1) == [PREFIX + body for body in bodies]
    await deliver(store, 1, b"new\r\n")
    assert (tmp_path / "packs" / "1.pack").read_bytes() == before  # a pack without a head is only read
    assert await contents(store, 1) == [PREFIX + body for body in [*bodies, b"new\r\n"]]
    entries = await store.entries(1)
    await store.expunge(1, INBOX, [entry.message for entry in entries[:20:2]])
    assert (await store.reap(NOW * 2)).blobs == 10
    assert await contents(store, 1) == [PREFIX + body for body in [*bodies[1::2], b"new\r\n"]]
    await store.close()
    assert_sound(tmp_path)


async def test_a_place_that_was_given_twice(tmp_path: Path) -> None:
    """As a full disk could leave it: the younger row is right, and the older one is damage, not another's mail."""
    connection = old_store(tmp_path, [b"one\r\n" * 100, b"two\r\n" * 100])
    connection.execute("UPDATE blob SET offset = 0 WHERE blob_id = 2")
    connection.close()
    pack = tmp_path / "packs" / "1.pack"
    pack.write_bytes(record(PREFIX, b"two\r\n" * 100))
    store = SqliteMailstore.open(tmp_path, bus=LocalBus(), reserve_octets=4096)
    lost, kept = await store.entries(1)
    assert await store.read(kept, 0, kept.octets) == PREFIX + b"two\r\n" * 100
    with pytest.raises(StoreError):
        await store.read(lost, 0, lost.octets)
    await store.close()
    assert {finding.kind for finding in check(tmp_path)} == {"damaged message"}
