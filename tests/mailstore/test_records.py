import zlib

from posthouse.mailstore.places import OFFSET_BITS, Place, alone, unfold
from posthouse.mailstore.records import HEADER_OCTETS, Header, crc_of, make_header, parse_header


def test_a_header_says_what_was_put_in() -> None:
    header = make_header([b"second", b"first"], 1 << 35, bytes(range(32)))
    assert len(header) == HEADER_OCTETS == 56
    crc = zlib.crc32(header[:52] + b"secondfirst")
    assert parse_header(header + b"more") == Header(11, 1 << 35, bytes(range(32)), crc)
    assert crc_of(header, b"secondfirst") == crc
    assert crc_of(bytearray(header), memoryview(b"secondfirsT")) != crc


def test_what_is_no_header() -> None:
    header = make_header([], 5, bytes(32))
    assert parse_header(header[:-1]) is None
    assert parse_header(bytes(HEADER_OCTETS)) is None
    assert parse_header(b"X" + header[1:]) is None
    assert parse_header(header[:4] + b"\xff" + header[5:]) is None


def test_places_unfold() -> None:
    assert alone(7 << OFFSET_BITS | 123) == (7, 123)
    assert unfold("3:1000:90:90:40") == Place(3, 1000, 1056, 40, 1146)
    assert unfold("3:1000:90:30:30") == Place(3, 1000, 1116, 30, 1146)
