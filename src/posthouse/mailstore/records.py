"""A record of a pack: one body and the trace headers of all its placements.

    header | prefix n | ... | prefix 2 | prefix 1 | body

Prefixes stand in reverse order, so that prefix 1 and the body, the whole message where there is one recipient, are one
contiguous read. A prefix that several placements share stands there once. The header's numbers are little-endian.

    octets  0   4  magic
            4   2  version
            6   2  unused, 0
            8   4  octets of all prefixes
           12   8  octets of the body
           20  32  SHA-256 of the body
           52   4  CRC-32 of the 52 octets before and of all prefixes
"""

import struct
import zlib
from collections.abc import Sequence
from typing import NamedTuple

_FIELDS = struct.Struct("<4sHHIQ32s")
_CRC = struct.Struct("<I")
_QUICK = struct.Struct("<4sH2xIQ32xI")  # the whole header without the digest
_MAGIC = b"PHrc"
_VERSION = 1

HEADER_OCTETS = _FIELDS.size + _CRC.size


class Header(NamedTuple):
    """What a record's header says."""

    prefixes: int  # octets
    body: int  # octets
    sha256: bytes
    crc: int


def make_header(prefixes: Sequence[bytes], body: int, sha256: bytes) -> bytes:
    """The header of a record with these prefixes, in the order they are written in."""
    fields = _FIELDS.pack(_MAGIC, _VERSION, 0, sum(map(len, prefixes)), body, sha256)
    crc = zlib.crc32(fields)
    for prefix in prefixes:
        crc = zlib.crc32(prefix, crc)
    return fields + _CRC.pack(crc)


def parse_header(data: bytes | bytearray) -> Header | None:
    """What the first octets of a record say; None when they are no header of a version we know."""
    if len(data) < HEADER_OCTETS:
        return None
    magic, version, _, prefixes, body, sha256 = _FIELDS.unpack_from(data)
    if magic != _MAGIC or version != _VERSION:
        return None
    return Header(prefixes, body, sha256, _CRC.unpack_from(data, _FIELDS.size)[0])


def is_start(data: memoryview, octets: int) -> bool:
    """Whether `data` begins with a sound header of a record of so many octets (prefixes and body).

    The CRC is looked at when all prefixes are at hand. Made for speed: it stands on the path of every read.
    """
    magic, version, prefixes, body, crc = _QUICK.unpack_from(data)
    if magic != _MAGIC or version != _VERSION or prefixes + body != octets:
        return False
    end = HEADER_OCTETS + prefixes
    return end > len(data) or zlib.crc32(data[HEADER_OCTETS:end], zlib.crc32(data[: _FIELDS.size])) == crc  # type: ignore[no-any-return]


def crc_of(header: bytes | bytearray, prefixes: bytes | bytearray | memoryview) -> int:
    """What the header's CRC must be, given the octets of the header and of all prefixes."""
    return zlib.crc32(prefixes, zlib.crc32(memoryview(header)[: _FIELDS.size]))
