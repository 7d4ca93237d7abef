"""What goes on the wire, read back by clients of both kinds, however the message is cut into pieces."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from posthouse.protocol.stuffing import Stuffing

CRLF_TEXT = st.lists(st.sampled_from([b".", b"..", b".x", b"", b"x", b"x.", b"line"])).map(
    lambda lines: b"".join(line + b"\r\n" for line in lines)
)
ANY_TEXT = st.lists(st.sampled_from([b".", b"\r\n", b"\n", b"\r", b"x", b"\r\n.\r\n"])).map(b"".join)
CUTS = st.lists(st.integers(0, 60))


def pieces(message: bytes, cuts: list[int]) -> Iterator[bytes]:
    places = [0, *sorted(cut for cut in cuts if cut < len(message)), len(message)]
    return (message[start:end] for start, end in pairwise(places))


def sent(message: bytes, cuts: list[int], lines: int | None = None) -> bytes:
    dots = message.startswith(b".") or b"\n." in message
    stuffing = Stuffing(dots, not message.endswith(b"\r\n"), lines)
    wire = b""
    for piece in pieces(message, cuts):
        wire += stuffing.feed(piece)
        if stuffing.done:
            break
    return wire + stuffing.end()


def read_by_crlf(wire: bytes) -> bytes:
    """A client as RFC 1939 3 wants it."""
    lines = wire.split(b"\r\n")
    end = lines.index(b".")
    assert lines[end + 1 :] == [b""], "something follows the end"
    return b"".join((line[1:] if line.startswith(b".") else line) + b"\r\n" for line in lines[:end])


def read_by_lf(wire: bytes) -> bytes:
    """A client that takes a bare LF for the end of a line."""
    lines = wire.split(b"\n")
    end = next(at for at, line in enumerate(lines) if line.removesuffix(b"\r") == b".")
    assert lines[end + 1 :] == [b""], "something follows the end"
    return b"".join((line[1:] if line.startswith(b".") else line) + b"\n" for line in lines[:end])


@given(CRLF_TEXT.filter(bool), CUTS)
@example(b".\r\n", [1, 2])
def test_a_message_comes_back(message: bytes, cuts: list[int]) -> None:
    wire = sent(message, cuts)
    assert read_by_crlf(wire) == read_by_lf(wire) == message
    assert wire == sent(message, [])


@given(ANY_TEXT.filter(bool), CUTS)
@example(b"a\n.\nb\r\n", [])
@example(b"a\r", [])
def test_a_binary_message_never_seems_to_end_early(message: bytes, cuts: list[int]) -> None:
    wire = sent(message, cuts)
    read_by_crlf(wire)
    assert read_by_lf(wire) == message + (b"" if message.endswith(b"\r\n") else b"\r\n")
    assert wire == sent(message, [])


@given(ANY_TEXT.filter(bool), CUTS, st.integers(0, 5))
def test_top_is_a_beginning_in_whole_lines(message: bytes, cuts: list[int], lines: int) -> None:
    wire = sent(message, cuts, lines)
    assert wire == sent(message, [], lines)
    read_by_crlf(wire)
    wanted = top(message, lines)
    assert read_by_lf(wire) == wanted + (b"" if wanted.endswith(b"\r\n") else b"\r\n")


def top(message: bytes, lines: int) -> bytes:
    """RFC 1939 7, said slowly."""
    rows = [row + b"\n" for row in message.split(b"\n")]
    rows[-1] = rows[-1][:-1]
    for at, row in enumerate(rows):
        if row in (b"\n", b"\r\n"):
            return b"".join(rows[: at + 1 + lines])
    return message


def test_a_message_without_dots_is_not_copied() -> None:
    stuffing = Stuffing(False, False, None)
    data = b"x" * 1000
    assert stuffing.feed(data) is data


@pytest.mark.parametrize("cut", range(1, 12))
def test_the_empty_line_is_found_across_pieces(cut: int) -> None:
    message = b"A: b\r\n\r\none\r\ntwo\r\n"
    assert sent(message, [cut], 1) == b"A: b\r\n\r\none\r\n.\r\n"


def test_top_wants_no_more_when_it_has_enough() -> None:
    stuffing = Stuffing(False, False, 0)
    assert stuffing.feed(b"A: b\r\n\r\nbody\r\n") == b"A: b\r\n\r\n"
    assert stuffing.done and stuffing.feed(b"more\r\n") == b""
    assert stuffing.end() == b".\r\n"


def test_a_bare_cr_is_no_empty_line() -> None:
    assert sent(b"A: b\r\n\rx\r\n\r\nbody\r\n", [], 0) == b"A: b\r\n\rx\r\n\r\n.\r\n"
