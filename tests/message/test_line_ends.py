"""Line ends made CRLF: every form, however it is cut, and nothing else changed."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.message.line_ends import MAX_HEAD, LineEnds

PIECES = st.lists(
    st.sampled_from([b"\r", b"\n", b"\r\n", b"\r\r\n", b"A: b", b"text", b"\0", b"\xff", b".", b"\n\n"])
).map(b"".join)


def made(message: bytes, cut: int, *, binary: bool = False) -> bytes:
    """All of it, fed in pieces."""
    ends = LineEnds(binary=binary)
    pieces = [ends.feed(message[at : at + cut]) for at in range(0, len(message), cut)]
    return b"".join(pieces) + ends.end()


def slowly(message: bytes) -> bytes:
    """The rule, written down the short way."""
    return re.sub(rb"\r\r\n|\r\n|\r|\n", b"\r\n", message)


@given(PIECES, st.integers(1, 9))
def test_every_line_ends_with_crlf(message: bytes, cut: int) -> None:
    assert made(message, cut) == slowly(message)


@given(PIECES, st.integers(1, 9))
def test_the_body_of_binary_data_keeps_its_octets(body: bytes, cut: int) -> None:
    head = b"A: b\r\r\nC: d\n"
    assert made(head + b"\n" + body, cut, binary=True) == b"A: b\r\nC: d\r\n\r\n" + body
    labelled = b"Content-transfer-encoding : BINARY\r\n\r\n"
    assert made(labelled + body, cut) == labelled + body


@pytest.mark.parametrize("label", [b"Content-Transfer-Encoding: 8bit", b"X: binary", b"A: b\r\n content: binary"])
def test_other_labels_do_not_count(label: bytes) -> None:
    assert made(label + b"\r\n\r\na\nb", 100) == label + b"\r\n\r\na\r\nb"


@pytest.mark.parametrize("cut", [1000, 1 << 20])
def test_a_header_without_end_is_not_held(cut: int) -> None:
    line = b"A: " + b"x" * 95 + b"\n"
    ends = LineEnds()
    count = 3 * MAX_HEAD // len(line)
    message = line * count
    got = b"".join(ends.feed(message[at : at + cut]) for at in range(0, len(message), cut))
    assert got == line.replace(b"\n", b"\r\n") * count
    assert ends.end() == b""
