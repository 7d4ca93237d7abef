import itertools
import struct
import zlib

from posthouse.mailstore.places import OFFSET_BITS, RecordLocation, parse_place, split_place
from posthouse.mailstore.records import (
    HEADER_OCTETS,
    PACK_HEAD_OCTETS,
    Header,
    PackHead,
    crc_of,
    identities,
    is_start,
    make_header,
    make_pack_head,
    parse_header,
    parse_pack_head,
)


def test_a_header_says_what_was_put_in() -> None:
    identity = 0xFEDCBA9876
    header = make_header([b"second", b"first"], 1 << 39, bytes(range(16)), identity)
    assert len(header) == HEADER_OCTETS == 56
    crc = zlib.crc32(header[:52] + b"secondfirst")
    assert parse_header(header + b"more") == Header(11, 1 << 39, bytes(range(16)), crc, identity)
    assert crc_of(header, b"secondfirst") == crc
    assert crc_of(bytearray(header), memoryview(b"secondfirsT")) != crc


def test_what_is_no_header() -> None:
    header = make_header([], 5, bytes(16), 7)
    assert parse_header(header[:-1]) is None
    assert parse_header(bytes(HEADER_OCTETS)) is None
    assert parse_header(b"X" + header[1:]) is None
    assert parse_header(header[:4] + b"\xff" + header[5:]) is None


def test_a_record_of_before_there_were_identities_has_none() -> None:
    fields = struct.pack("<4sHHIQ32s", b"PHrc", 1, 0, 3, 5, bytes(32))
    header = fields + struct.pack("<I", zlib.crc32(fields + b"abc"))
    parsed = parse_header(header)
    assert parsed is not None
    assert (parsed.prefixes, parsed.body, parsed.identity) == (3, 5, 0)
    assert is_start(memoryview(header + b"abc12345"), 8, 0)


def test_a_record_is_the_one_that_is_wanted() -> None:
    record = make_header([b"abc"], 5, bytes(16), 77) + b"abc12345"
    assert is_start(memoryview(record), 8, 77)
    assert not is_start(memoryview(record), 8, 78)
    assert not is_start(memoryview(record), 9, 77)
    assert not is_start(memoryview(record.replace(b"abc", b"abd")), 8, 77)


def test_identities_differ() -> None:
    made = {*itertools.islice(identities(), 500), *itertools.islice(identities(), 500)}
    assert len(made) == 1000
    assert all(0 < identity < 1 << 40 for identity in made)


def test_the_head_of_a_pack() -> None:
    head = make_pack_head(bytes(range(16)), 1 << 33)
    assert len(head) == PACK_HEAD_OCTETS == 64
    assert parse_pack_head(head + b"PHrc") == PackHead(bytes(range(16)), 1 << 33)
    assert parse_pack_head(head[:-1]) is None
    for at in range(64):
        spoilt = bytearray(head)
        spoilt[at] ^= 1
        assert parse_pack_head(bytes(spoilt)) is None


def test_places_unfold() -> None:
    assert split_place(7 << OFFSET_BITS | 123) == (7, 123)
    assert parse_place("3:1000:90:90:40") == RecordLocation(3, 1000, 1056, 40, 1146)
    assert parse_place("3:1000:90:30:30") == RecordLocation(3, 1000, 1116, 30, 1146)
