"""Digests of bodies: which they are, and that those of before are still compared."""

import hashlib
import struct
import zlib
from pathlib import Path

import apsw
import pytest

from posthouse.mailstore.changes import LocalBus
from posthouse.mailstore.digests import DIGEST_OCTETS, digest_of, hasher_like, new_digest
from posthouse.mailstore.fsck import check
from posthouse.mailstore.interface import DamagedError
from posthouse.mailstore.records import HEADER_OCTETS, PACK_HEAD_OCTETS, parse_header
from posthouse.mailstore.sqlite.store import SqliteMailstore
from tests.stores import PREFIX, contents, deliver

BODY = b"Subject: kept before\r\n\r\n" + b"text\r\n" * 1000


def test_the_digest_is_the_one_that_is_written_down_for_it() -> None:
    """XXH3 of 128 bits, high octets first: what lies on disks must never depend on the version of a library."""
    assert new_digest().digest().hex() == "99aa06d3014798d86001c324468d497f"
    assert new_digest(b"Posthouse").digest() == digest_of(b"Posthouse", bytes(DIGEST_OCTETS))
    assert len(new_digest().digest()) == DIGEST_OCTETS


@pytest.mark.parametrize("known", [bytes(DIGEST_OCTETS), bytes(32)])
def test_in_pieces_and_at_once(known: bytes) -> None:
    hasher = hasher_like(known)
    hasher.update(b"Post")
    hasher.update(b"house")
    assert hasher.digest() == digest_of(memoryview(b"Posthouse"), known)
    assert len(hasher.digest()) == len(known)


def as_version_2(folder: Path) -> int:
    """Give the one record of the store the header and the row it would have had; where its body is."""
    pack = folder / "packs" / "1.pack"
    data = bytearray(pack.read_bytes())
    start, end = PACK_HEAD_OCTETS, PACK_HEAD_OCTETS + HEADER_OCTETS
    header = parse_header(data[start:end])
    assert header is not None
    digest = hashlib.sha256(BODY).digest()
    magic, _, high, prefixes, rest = struct.unpack_from("<4sHHIQ", data, start)
    fields = struct.pack("<4sHHIQ32s", magic, 2, high, prefixes, rest, digest)
    data[start:end] = fields + struct.pack("<I", zlib.crc32(data[end : end + prefixes], zlib.crc32(fields)))
    pack.write_bytes(data)
    with apsw.Connection(str(folder / "posthouse.db")) as connection:
        connection.execute("UPDATE blob SET digest = ?", (digest,))
    connection.close()
    return int(end + prefixes)


async def test_a_record_with_a_sha_256_is_read_and_its_damage_found(store: SqliteMailstore, tmp_path: Path) -> None:
    await deliver(store, 1, BODY)
    await store.close()
    body = as_version_2(tmp_path)
    again = SqliteMailstore.open(tmp_path, bus=LocalBus(), reserve_octets=4096)
    assert await contents(again, 1) == [PREFIX + BODY]
    assert not [*check(tmp_path)]
    pack = tmp_path / "packs" / "1.pack"
    data = bytearray(pack.read_bytes())
    data[body + 100] ^= 1
    pack.write_bytes(data)
    with pytest.raises(DamagedError):
        await contents(again, 1)
    await again.close()
    assert [finding.what.partition(" (")[0] for finding in check(tmp_path)] == ["the body is damaged"]
    data[body + 100] ^= 1
    pack.write_bytes(data)
