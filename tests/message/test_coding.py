"""Transfer encodings, against those of the standard library."""

import base64
import quopri
from email.header import decode_header, make_header

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.message.coding import (
    MAX_LINE,
    LineCheck,
    base64_lines,
    has_lines,
    has_true_breaks,
    header_text,
    is_seven_bit,
    quoted_printable,
)

WORDS = ["\r\n", " ", "\t", ".", "=", "ü", "\0", "x" * 20, "a", "  \r\n", "y" * 69]


@given(st.one_of(st.binary(max_size=300), st.lists(st.sampled_from(WORDS)).map(lambda words: "".join(words).encode())))
def test_quoted_printable_is_read_back(data: bytes) -> None:
    text = data if has_true_breaks(data) else data.replace(b"\r", b"").replace(b"\n", b"\r\n")
    coded = quoted_printable(text)
    lines = coded.split(b"\r\n")
    assert is_seven_bit(coded)
    assert max(map(len, lines)) <= 76  # RFC 2045 6.7 (5)
    assert not any(line.endswith((b" ", b"\t")) for line in lines)
    assert quopri.decodestring(coded.replace(b"=\r\n", b"")) == text


@pytest.mark.parametrize("length", range(70, 80))
@pytest.mark.parametrize("end", [b" ", b"\t", b"  ", b"= ", b"\xff "])
def test_a_space_at_the_end_of_a_full_line(length: int, end: bytes) -> None:
    text = b"x" * length + end + b"\r\nnext\r\n"
    coded = quoted_printable(text)
    assert max(map(len, coded.split(b"\r\n"))) <= 76
    assert quopri.decodestring(coded.replace(b"=\r\n", b"")) == text


@given(st.binary(max_size=300))
def test_base64_is_read_back(data: bytes) -> None:
    coded = base64_lines(data)
    assert is_seven_bit(coded)
    assert max(map(len, coded.split(b"\r\n"))) <= 76
    assert base64.b64decode(coded) == data


@given(st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=300))
def test_header_text_is_read_back(text: str) -> None:
    coded = header_text(text)
    assert coded.isascii()
    if not text.isascii():
        assert all(len(line) <= 76 for line in coded.split("\r\n"))
        assert str(make_header(decode_header(coded.replace("\r\n", "")))) == text


@pytest.mark.parametrize(
    ("data", "lines", "seven"),
    [
        (b"", True, True),
        (b"a\r\nb", True, True),
        (b"\xff\r\n", True, False),
        (b"a\0b", False, False),
        (b"a\nb", False, False),
        (b"a\rb", False, False),
        (b"a\n\r", False, False),
        (b"x" * MAX_LINE + b"\r\n" + b"x" * MAX_LINE, True, True),
        (b"\r\n" + b"x" * (MAX_LINE + 1), False, False),
    ],
)
def test_what_needs_no_coding(data: bytes, lines: bool, seven: bool) -> None:
    assert (has_lines(data), is_seven_bit(data)) == (lines, seven)


@given(
    st.lists(st.sampled_from([b"\r\n", b"\0", b"x" * 499, b"x", b"xy"]), max_size=12).map(b"".join), st.integers(1, 700)
)
def test_the_line_check_does_not_depend_on_cuts(data: bytes, cut: int) -> None:
    data += b"\r\n"
    check = LineCheck()
    for at in range(0, len(data), cut):
        check.feed(data[at : at + cut])
    assert check.fits == has_lines(data)
