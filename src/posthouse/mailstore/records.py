"""A pack's head, and its records: one body and the trace headers of all its copies.

    head of the pack | record | record | ...
    record: header | prefix n | ... | prefix 2 | prefix 1 | body

Prefixes stand in reverse order, so that prefix 1 and the body, the whole message where there is one recipient, are one
contiguous read. A prefix that several copies share stands there once. All numbers are little-endian.

    header of a record                                       head of a pack
    octets  0   4  magic                                     octets  0   4  magic
            4   2  version                                           4   2  version
            6   2  identity, its upper 16 bits                       6   2  unused, 0
            8   4  octets of all prefixes                            8  16  id of the store
           12   5  octets of the body                               24   8  number of the pack
           17   3  identity, its lower 24 bits                      32  28  unused, 0
           20  16  digest of the body (digests.py)                  60   4  CRC-32 of the 60 octets before
           36  16  unused, 0
           52   4  CRC-32 of the 52 octets before and of all prefixes

The identity is a random number that the record's row in the database has, too. The reader compares the two, so a
reference to what was there before, or elsewhere, finds damage and never another person's mail. Records of version 1,
and packs without a head, were written before there were identities and heads: theirs is 0. Up to version 2 the digest
is a SHA-256 of 32 octets.
"""

import random
import secrets
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from posthouse.mailstore.digests import DIGEST_OCTETS

_FIELDS = struct.Struct("<4sHHIQ32s")
_CRC = struct.Struct("<I")
_QUICK = struct.Struct("<4sHHIQ32xI")  # the whole header without the digest
_DIGESTS = (0, 32, 32, DIGEST_OCTETS)  # octets, by version
_MAGIC = b"PHrc"
_VERSION = 3
_BODY_BITS = 40
_BODY_MASK = (1 << _BODY_BITS) - 1
_LOW_BITS = 24
_LOW_MASK = (1 << _LOW_BITS) - 1

_PACK_HEAD = struct.Struct("<4sH2x16sQ28x")
_PACK_MAGIC = b"PHpk"
_PACK_VERSION = 1

HEADER_OCTETS = _FIELDS.size + _CRC.size
PACK_HEAD_OCTETS = _PACK_HEAD.size + _CRC.size
STORE_ID_OCTETS = 16


class Header(NamedTuple):
    """What a record's header says."""

    prefixes: int  # octets
    body: int  # octets
    digest: bytes  # of the body
    crc: int
    identity: int


class PackHead(NamedTuple):
    """What the head of a pack says."""

    store: bytes  # id of the store it belongs to
    pack: int  # its number


def identities() -> Iterator[int]:
    """Random identities of 40 bits, none of them 0. For one process: a fork would go on with the same.

    Chance is what they are against, so they need not be secret; asking the kernel for each would cost a microsecond.
    """
    source = random.Random(secrets.randbits(256))
    while True:
        yield source.getrandbits(16 + _LOW_BITS) or 1


def make_header(prefixes: Sequence[bytes], body: int, digest: bytes, identity: int) -> bytes:
    """The header of a record with these prefixes, in the order they are written in."""
    high, low = identity >> _LOW_BITS, identity & _LOW_MASK
    fields = _FIELDS.pack(_MAGIC, _VERSION, high, sum(map(len, prefixes)), low << _BODY_BITS | body, digest)
    crc = zlib.crc32(fields)
    for prefix in prefixes:
        crc = zlib.crc32(prefix, crc)
    return fields + _CRC.pack(crc)


def parse_header(data: bytes | bytearray) -> Header | None:
    """What the first octets of a record say; None when they are no header of a version we know."""
    if len(data) < HEADER_OCTETS:
        return None
    magic, version, high, prefixes, body, digest = _FIELDS.unpack_from(data)
    if magic != _MAGIC or not 0 < version <= _VERSION:
        return None
    (crc,) = _CRC.unpack_from(data, _FIELDS.size)
    identity = high << _LOW_BITS | body >> _BODY_BITS
    return Header(prefixes, body & _BODY_MASK, digest[: _DIGESTS[version]], crc, identity)


def is_start(data: memoryview, octets: int, identity: int) -> bool:
    """Whether `data` begins with a sound header of the record of that identity and so many octets (prefixes and body).

    The CRC is looked at when all prefixes are at hand. Made for speed: it stands on the path of every read.
    """
    magic, version, high, prefixes, body, crc = _QUICK.unpack_from(data)
    if (
        magic != _MAGIC
        or not 0 < version <= _VERSION
        or prefixes + (body & _BODY_MASK) != octets
        or high << _LOW_BITS | body >> _BODY_BITS != identity
    ):
        return False
    end = HEADER_OCTETS + prefixes
    return end > len(data) or zlib.crc32(data[HEADER_OCTETS:end], zlib.crc32(data[: _FIELDS.size])) == crc  # type: ignore[no-any-return]


def crc_of(header: bytes | bytearray, prefixes: bytes | bytearray | memoryview) -> int:
    """What the header's CRC must be, given the octets of the header and of all prefixes."""
    return zlib.crc32(prefixes, zlib.crc32(memoryview(header)[: _FIELDS.size]))


def make_pack_head(store: bytes, pack: int) -> bytes:
    """The first octets of a pack of that store."""
    fields = _PACK_HEAD.pack(_PACK_MAGIC, _PACK_VERSION, store, pack)
    return fields + _CRC.pack(zlib.crc32(fields))


def parse_pack_head(data: bytes) -> PackHead | None:
    """What the first octets of a pack say; None when they are no head (a pack of before there were any has none)."""
    if len(data) < PACK_HEAD_OCTETS:
        return None
    magic, version, store, pack = _PACK_HEAD.unpack_from(data)
    (crc,) = _CRC.unpack_from(data, _PACK_HEAD.size)
    if magic != _PACK_MAGIC or version != _PACK_VERSION or crc != zlib.crc32(data[: _PACK_HEAD.size]):
        return None
    return PackHead(store, pack)
