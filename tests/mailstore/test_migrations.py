"""Data of before: it comes over as it is, and its mail is served."""

import hashlib
import struct
import tarfile
import zlib
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from posthouse.database.migrations import migrate
from posthouse.mailstore.changes import LocalBus
from posthouse.mailstore.fsck import check
from posthouse.mailstore.interface import INBOX, KEYWORD_SHIFT, SYSTEM_FLAGS, Flag, StoreError
from posthouse.mailstore.sqlite.migrations import MIGRATIONS
from posthouse.mailstore.sqlite.store import SqliteMailstore
from tests.store_invariants import assert_sound
from tests.stores import NOW, PREFIX, contents, deliver, rows_of

UPGRADE = Path(__file__).parent.parent / "upgrade"


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


async def _keywords(store: SqliteMailstore, account: int, name: str) -> list[tuple[int, set[str]]]:
    """The system flags of the messages in a mailbox, and their keywords."""
    sets = {0: (), **await store.keyword_sets(account)}
    rows = await rows_of(store, account, name)
    return [(row.flags & SYSTEM_FLAGS, set(sets[row.flags >> KEYWORD_SHIFT])) for row in rows]


async def test_keywords_of_a_folder_that_had_them_as_bits(tmp_path: Path) -> None:
    with tarfile.open(UPGRADE / "keywords-as-bits.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    with closing(apsw.Connection(str(tmp_path / "posthouse.db"))) as connection:
        bob = int(connection.execute("SELECT DISTINCT account_id FROM keyword").get)
    store = SqliteMailstore.open(tmp_path, bus=LocalBus(), reserve_octets=4096)
    seen, deleted = int(Flag.SEEN), int(Flag.DELETED)
    assert await _keywords(store, bob, INBOX) == [(seen, {"Projekt-X"}), (deleted, {"Projekt-X"})]
    assert await _keywords(store, bob, "Work") == [(seen, {"$Label1", "Projekt-X"}), (deleted, {"Projekt-X"})]
    assert await store.keywords(bob) == ["$Label1", "Projekt-X"]  # what no message has any more did not come along
    await store.delete(bob, "Work")
    assert await store.keywords(bob) == ["Projekt-X"]
    await store.close()
    assert_sound(tmp_path)


async def test_all_the_bits_there_were(tmp_path: Path) -> None:
    connection = old_store(tmp_path, [b"%d\r\n" % number for number in range(60)])
    names = [f"k{number}" for number in range(57)]
    for bit, name in enumerate(names, 5):
        connection.execute("INSERT INTO keyword VALUES (1, ?, ?)", (bit, name))
        connection.execute("UPDATE message SET flags = ? WHERE message_id = ?", (1 | 1 << bit, bit - 4))
    connection.execute("UPDATE message SET flags = ? WHERE message_id = 58", ((1 << 62) - 1,))
    connection.execute("DELETE FROM keyword WHERE name = 'k7'")  # as in a database that lost a row
    connection.execute("UPDATE mailbox SET unseen = 2, deleted = 1")
    connection.close()
    names[7:8] = []
    store = SqliteMailstore.open(tmp_path, bus=LocalBus(), reserve_octets=4096)
    one_each: list[tuple[int, set[str]]] = [(1, {name}) for name in names]
    one_each.insert(7, (1, set()))
    assert await _keywords(store, 1, INBOX) == [*one_each, (31, set(names)), (0, set()), (0, set())]
    assert await store.keywords(1) == names
    await store.close()
    assert_sound(tmp_path)
