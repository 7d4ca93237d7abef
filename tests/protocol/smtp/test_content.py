"""Content: the strict end, dot-stuffing, bare breaks, the header's bound; the same however the octets are cut."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.protocol.smtp.content import (
    END,
    BareLfDataReader,
    ChunkReader,
    DataReader,
    HeaderGuard,
    holds_bare_break,
)

PIECES = st.lists(
    st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"a", b"\0", b"\xff", b"\r\n.", b"\r\n..", b"long line of text"])
).map(b"".join)


def read_all(data: bytes, cut: int, kind: type[DataReader] = DataReader) -> tuple[DataReader, bytes, bytes]:
    """The reader after `data`, the content, and what stood behind the end."""
    reader, content = kind(), []
    for at in range(0, len(data), cut):
        content.append(reader.feed(data[at : at + cut]))
        if reader.ended:
            return reader, b"".join(content), reader.rest + data[at + cut :]
    return reader, b"".join(content), b""


def stuffed(content: bytes) -> bytes:
    """As a client sends it (RFC 5321 4.5.2), by lines: the slow and obvious way."""
    lines = content.split(b"\r\n")
    return b"\r\n".join(b"." + line if line.startswith(b".") else line for line in lines)


@given(PIECES, st.integers(1, 9), st.sampled_from([b"", b"NOOP\r\n", b"\r\n.\r\n", b"."]))
def test_a_body_survives_dot_stuffing(body: bytes, cut: int, behind: bytes) -> None:
    content = body + b"\r\n"
    reader, got, rest = read_all(stuffed(content) + b".\r\n" + behind, cut)
    assert reader.ended
    assert rest == behind
    assert reader.has_leading_dots == (content.startswith(b".") or b"\r\n." in content)
    plain = re.sub(rb"(?<![.\r])\r\r\n|\r\n", b"", content)  # CR CR LF is forgiven, but not behind a dot
    assert reader.bare_cr_or_lf == (b"\r" in plain or b"\n" in plain)
    if not reader.bare_cr_or_lf:
        assert got == content.replace(b"\r\r\n", b"\r\n")


@given(PIECES, st.integers(1, 9))
def test_only_the_strict_end_ends(data: bytes, cut: int) -> None:
    reader, _, rest = read_all(data, cut)
    lead = b"\r\n" + data
    assert reader.ended == (END in lead)
    if reader.ended:
        assert rest == lead[lead.index(END) + 5 :]


@given(PIECES, st.integers(1, 9))
def test_skipping_finds_the_same_end(data: bytes, cut: int) -> None:
    wanted, _, rest = read_all(data, cut)
    reader, skipped = DataReader(), 0
    for at in range(0, len(data), cut):
        skipped += reader.skip(data[at : at + cut])
        if reader.ended:
            assert reader.rest + data[at + cut :] == rest
            break
    assert reader.ended == wanted.ended
    assert skipped <= len(data) + 2


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 5, 100])
@pytest.mark.parametrize(
    ("data", "content"),
    [
        (b".\r\n", b""),
        (b"\r\n.\r\n", b"\r\n"),
        (b"..\r\n.\r\n", b".\r\n"),
        (b"...\r\n.\r\n", b"..\r\n"),
        (b".a\r\n.\r\n", b"a\r\n"),
        (b"a\r\n.b\r\n..\r\n.\r\n", b"a\r\nb\r\n.\r\n"),
        (b"a\0\xff\r\n.\r\n", b"a\0\xff\r\n"),
    ],
)
def test_ends(data: bytes, content: bytes, cut: int) -> None:
    reader, got, rest = read_all(data + b"QUIT\r\n", cut)
    assert reader.ended and not reader.bare_cr_or_lf
    assert (got, rest) == (content, b"QUIT\r\n")


@pytest.mark.parametrize("cut", [1, 2, 3, 100])
@pytest.mark.parametrize(
    "odd",
    [
        b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\n.\r", b"\r.\n", b"\n\r.\n\r",
        b"\r\r\n.\r\r\n", b"\n\n.\n\n", b"\r\n.\r\r", b"\r\n\n.\r\n",
    ],
)  # fmt: skip
def test_odd_ends_are_bare_breaks_and_no_end(odd: bytes, cut: int) -> None:
    reader, _, _ = read_all(b"one" + odd + b"two", cut)
    assert not reader.ended
    reader, _, rest = read_all(b"one" + odd + b"two\r\n.\r\nNOOP\r\n", cut)
    assert reader.ended and reader.bare_cr_or_lf
    assert rest == b"NOOP\r\n"


@pytest.mark.parametrize("odd", [b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\r\0\n.\r\n", b"\r\n.\r\0\n"])
def test_a_nul_makes_no_end(odd: bytes) -> None:
    assert not read_all(b"one" + odd + b"two", 100)[0].ended


def test_what_is_held_back_is_small() -> None:
    reader = DataReader()
    for _ in range(1000):
        reader.feed(b"\r\n.\r" + b"x" * 100)
        assert len(reader._held) <= 4


@given(PIECES, st.integers(1, 9), st.sampled_from([b"", b"NOOP\r\n", b"\n.\n", b"."]))
def test_a_loose_reader_makes_lines_of_lf(body: bytes, cut: int, behind: bytes) -> None:
    """Against the slow and obvious way: find the end, then split at each LF."""
    data = body + b"\r\n.\r\n" + behind
    reader, got, rest = read_all(data, cut, BareLfDataReader)
    lead = b"\r\n" + data
    assert reader.ended and rest == lead[lead.index(END) + 5 :]
    said = lead[2 : lead.index(END) + 2]
    lines = said.split(b"\n")[:-1]
    lines = [line.removesuffix(b"\r") if not line.endswith(b".\r\r") else line for line in lines]
    lines = [line.removesuffix(b"\r") if not line.endswith(b".\r\r") else line for line in lines]
    assert reader.bare_cr_or_lf == any(b"\r" in line or line == b"." for line in lines)
    if not reader.bare_cr_or_lf:
        assert got == b"".join(line.removeprefix(b".") + b"\r\n" for line in lines)


@given(PIECES, st.integers(1, 9))
def test_a_loose_reader_is_as_strict_about_the_end(data: bytes, cut: int) -> None:
    strict, _, rest = read_all(data, cut)
    loose, _, loose_rest = read_all(data, cut, BareLfDataReader)
    skipping = BareLfDataReader()
    for at in range(0, len(data), cut):
        skipping.skip(data[at : at + cut])
        if skipping.ended:
            break
    assert (loose.ended, loose_rest) == (strict.ended, rest)
    assert skipping.ended == strict.ended


@given(PIECES)
def test_bare_breaks(data: bytes) -> None:
    plain = data.replace(b"\r\n", b"")
    assert holds_bare_break(data) == (b"\r" in plain or b"\n" in plain)


@given(st.lists(PIECES.filter(bool), min_size=1, max_size=6), st.integers(1, 9))
def test_chunks(chunks: list[bytes], cut: int) -> None:
    reader = ChunkReader()
    for number, chunk in enumerate(chunks, 1):
        reader.begin(len(chunk), last=number == len(chunks))
        for at in range(0, len(chunk), cut):
            reader.feed(chunk[at : at + cut])
        assert reader.left == 0
    reader.finish()
    content = b"".join(chunks)
    plain = content.replace(b"\r\n", b"")
    assert reader.bare_cr_or_lf == (b"\r" in plain or b"\n" in plain)
    assert reader.has_leading_dots == (b"\n." in b"\n" + content)


@given(PIECES, st.integers(1, 9), st.integers(0, 60))
def test_the_header_bound_does_not_depend_on_cuts(data: bytes, cut: int, limit: int) -> None:
    end = (b"\r\n" + data).find(b"\r\n\r\n")
    fits = end <= limit if end >= 0 else len(data) <= limit + 1
    guard = HeaderGuard(limit)
    pieces = [data[at : at + cut] for at in range(0, len(data), cut)]
    assert all(guard.admits(piece) for piece in pieces) == fits


def test_a_body_is_no_header() -> None:
    guard = HeaderGuard(10)
    assert guard.admits(b"A: b\r\n\r\n")
    assert guard.admits(b"x" * 10_000)
