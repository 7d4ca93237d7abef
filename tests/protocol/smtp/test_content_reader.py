"""A message on its way in: limits, and which fault wins however the octets are cut."""

import pytest

from posthouse.protocol.smtp import replies
from posthouse.protocol.smtp.content_reader import ContentReader
from posthouse.protocol.smtp.settings import SmtpSettings

SETTINGS = SmtpSettings("mx.test", max_size=100, max_header=50)
CUTS = [1, 2, 3, 10, 1000]


def taken(data: bytes, cut: int, *, binary: bool = False) -> tuple[ContentReader, bytes]:
    reader = ContentReader(SETTINGS, binary=binary)
    got = b"".join([reader.take_data(data[at : at + cut]) for at in range(0, len(data), cut)])
    assert reader.data.ended
    return reader, got


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"A: b\r\n\r\nbody\r\n", None),
        (b"\r\n" + b"x" * 96 + b"\r\n", None),
        (b"\r\n" + b"x" * 97 + b"\r\n", replies.TOO_LARGE),
        (b"x" * 48 + b"\r\n\r\nbody\r\n", None),
        (b"x" * 49 + b"\r\n\r\nbody\r\n", replies.HEADER_TOO_LARGE),
        (b"A: b\r\n\r\nbo\ndy\r\n", replies.BARE_CR_OR_LF),
        (b"A\n: b" + b"x" * 60 + b"\r\n", replies.HEADER_TOO_LARGE),
        (b"A: b\r\n\r\nbo\ndy" + b"x" * 100 + b"\r\n", replies.TOO_LARGE),
        (b"x" * 60 + b"\r\nbo\ndy" + b"x" * 100 + b"\r\n", replies.TOO_LARGE),
    ],
)
def test_which_fault_wins(content: bytes, fault: bytes | None, cut: int) -> None:
    reader, got = taken(content + b".\r\n", cut)
    assert reader.fault == fault
    assert content.startswith(got)
    if fault is None:
        assert got == content and reader.octets == len(content)


def test_nothing_is_handed_on_once_refused() -> None:
    reader = ContentReader(SETTINGS, binary=False)
    assert reader.take_data(b"A: b\r\n\r\nx") == b"A: b\r\n\r\nx"
    reader.refuse(replies.TOO_LARGE)
    assert reader.take_data(b"more\r\n.\r\n") == b""
    assert reader.data.ended


@pytest.mark.parametrize("cut", CUTS)
def test_binary_chunks_may_hold_anything(cut: int) -> None:
    reader = ContentReader(SETTINGS, binary=True)
    content = b"a\rb\nc\r\n.d\0\xff\r"
    reader.begin_chunk(len(content), last=True)
    assert b"".join([reader.take_chunk(content[at : at + cut]) for at in range(0, len(content), cut)]) == content
    reader.finish_chunks()
    assert reader.fault is None
    assert reader.chunks.bare_cr_or_lf and reader.chunks.has_leading_dots


def test_a_chunk_is_refused_before_it_comes() -> None:
    reader = ContentReader(SETTINGS, binary=False)
    reader.begin_chunk(60, last=False)
    assert reader.take_chunk(b"\r\n" + b"x" * 58) and reader.fault is None
    reader.begin_chunk(41, last=True)
    assert reader.fault == replies.TOO_LARGE
    assert reader.take_chunk(b"x" * 41) == b""
    assert reader.chunks.left == 0
