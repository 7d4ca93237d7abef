"""PROXY headers of both versions: whole, in pieces, and wrong."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.net.proxy import ProxyError, ProxyHeader, ProxyParser
from tests.fuzz.fuzz_proxy import try_input

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
TCP4 = bytes((192, 0, 2, 7, 198, 51, 100, 1)) + struct.pack("!HH", 4711, 25)
TCP6 = bytes.fromhex("20010db800000000000000000000000720010db8000000000000000000000001") + struct.pack("!HH", 9, 465)
MAPPED = bytes.fromhex("00000000000000000000ffffc000020700000000000000000000ffffc6336401") + TCP4[8:]
CRC_TLV = b"\x03\x00\x04\x12\x34\x56\x78"
NOOP_TLV = b"\x04\x00\x02\x00\x00"


def v2(command: int, family: int, content: bytes, length: int | None = None) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(content) if length is None else length) + content


FROM_4 = ProxyHeader(("192.0.2.7", 4711), ("198.51.100.1", 25))
FROM_6 = ProxyHeader(("2001:db8::7", 9), ("2001:db8::1", 465))
NOT_TOLD = ProxyHeader(None, None)

GOOD = {
    "v1 TCP4": (b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 25\r\n", FROM_4),
    "v1 TCP6": (b"PROXY TCP6 2001:db8::7 2001:db8::1 9 465\r\n", FROM_6),
    "v1 TCP6, longest": (
        b"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
        ProxyHeader((":".join(["ffff"] * 8), 65535), (":".join(["ffff"] * 8), 65535)),
    ),
    "v1 UNKNOWN": (b"PROXY UNKNOWN\r\n", NOT_TOLD),
    "v1 UNKNOWN, longest": (b"PROXY UNKNOWN " + b"f" * 91 + b"\r\n", NOT_TOLD),
    "v2 TCP4": (v2(0x21, 0x11, TCP4), FROM_4),
    "v2 TCP6": (v2(0x21, 0x21, TCP6), FROM_6),
    "v1 TCP6, mapped": (b"PROXY TCP6 ::ffff:192.0.2.7 ::FFFF:c633:6401 4711 25\r\n", FROM_4),
    "v2 TCP6, mapped": (v2(0x21, 0x21, MAPPED), FROM_4),
    "v2 with TLVs": (v2(0x21, 0x11, TCP4 + CRC_TLV + NOOP_TLV), FROM_4),
    "v2 LOCAL": (v2(0x20, 0x00, b""), NOT_TOLD),
    "v2 LOCAL with addresses": (v2(0x20, 0x11, TCP4), NOT_TOLD),
    "v2 UNIX": (v2(0x21, 0x31, b"/run/a".ljust(108, b"\0") + b"/run/b".ljust(108, b"\0")), NOT_TOLD),
    "v2 unspecified": (v2(0x21, 0x00, b"anything"), NOT_TOLD),
    "v2 UDP": (v2(0x21, 0x12, TCP4), NOT_TOLD),
}

BAD = {
    "a command": b"EHLO me\r\n",
    "nearly v1": b"PROXI",
    "nearly v2": b"\r\n\r\n\0\r\nQUIX",
    "v1 without end": b"PROXY TCP4 " + b"1" * 96,
    "v1, one too long": b"PROXY UNKNOWN " + b"f" * 92 + b"\r\n",
    "v1 with LF": b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 25\n" + b"x" * 65,
    "v1 of five words": b"PROXY TCP4 192.0.2.7 198.51.100.1 4711\r\n",
    "v1 with two spaces": b"PROXY TCP4  192.0.2.7 198.51.100.1 4711 25\r\n",
    "v1 of another kind": b"PROXY UDP4 192.0.2.7 198.51.100.1 4711 25\r\n",
    "v1 of no kind": b"PROXY \r\n",
    "v1 with the wrong family": b"PROXY TCP4 2001:db8::7 2001:db8::1 9 465\r\n",
    "v1 with a zone": b"PROXY TCP6 fe80::1%eth0 2001:db8::1 9 465\r\n",
    "v1 with a name": b"PROXY TCP4 localhost 198.51.100.1 4711 25\r\n",
    "v1 with a large port": b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 25\r\n",
    "v1 with a long port": b"PROXY TCP4 192.0.2.7 198.51.100.1 000025 25\r\n",
    "v1 with a padded port": b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 025\r\n",
    "v1 with a signed port": b"PROXY TCP4 192.0.2.7 198.51.100.1 +25 25\r\n",
    "v1 with 8-bit": b"PROXY TCP4 192.0.2.\xb2 198.51.100.1 4711 25\r\n",
    "v2 of version 3": v2(0x31, 0x11, TCP4),
    "v2 with another command": v2(0x22, 0x11, TCP4),
    "v2 with a reserved family": v2(0x21, 0x41, TCP4),
    "v2 with a reserved transport": v2(0x21, 0x13, TCP4),
    "v2 too short": v2(0x21, 0x11, TCP4[:11]),
    "v2 TCP6 with TCP4 addresses": v2(0x21, 0x21, TCP4),
    "v2 too long": v2(0x21, 0x11, b"", length=4097),
}


@pytest.mark.parametrize("name", GOOD)
def test_good(name: str) -> None:
    data, header = GOOD[name]
    parser = ProxyParser()
    assert parser.receive(data + b"EHLO me\r\n") == header
    assert parser.rest() == b"EHLO me\r\n"


@pytest.mark.parametrize("name", GOOD)
def test_good_octet_by_octet(name: str) -> None:
    data, header = GOOD[name]
    parser = ProxyParser()
    for octet in data[:-1]:
        assert parser.receive(bytes([octet])) is None
    assert parser.receive(data[-1:]) == header
    assert parser.rest() == b""


@pytest.mark.parametrize("name", BAD)
def test_bad(name: str) -> None:
    with pytest.raises(ProxyError):
        ProxyParser().receive(BAD[name])


@pytest.mark.parametrize("name", BAD)
def test_bad_octet_by_octet(name: str) -> None:
    parser = ProxyParser()

    def feed() -> None:
        for octet in BAD[name]:
            assert parser.receive(bytes([octet])) is None

    with pytest.raises(ProxyError):
        feed()


def test_wrong_is_seen_at_the_first_octet() -> None:
    with pytest.raises(ProxyError):
        ProxyParser().receive(b"E")


@given(st.sampled_from([b"", b"PROXY TCP4 ", b"PROXY TCP6 ", SIGNATURE, SIGNATURE + b"\x21\x11\0\x0c"]), st.binary())
def test_anything(start: bytes, rest: bytes) -> None:
    try_input(start + rest)
