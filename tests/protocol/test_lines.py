"""Command lines: ended by CRLF alone, bounded in length and in memory, the same however the octets are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.protocol.lines import MAX_AUTH_LINE, MAX_COMMAND, MAX_SKIPPED, LineBuffer, LineFault

BARE, LONG, ENDLESS = LineFault.BARE_LF, LineFault.TOO_LONG, LineFault.ENDLESS


def lines_of(data: bytes, cut: int = 1 << 20) -> list[bytes | LineFault]:
    """Every line and fault of `data`, fed in pieces of `cut` octets, up to the fault that ends a connection."""
    buffer = LineBuffer()
    found: list[bytes | LineFault] = []
    for at in range(0, len(data), cut):
        buffer.add(data[at : at + cut])
        while (line := buffer.next_line()) is not None:
            found.append(line)
            if line is ENDLESS:
                return found
        assert held(buffer) <= MAX_AUTH_LINE + cut
    return found


def held(buffer: LineBuffer) -> int:
    return len(buffer._data) + sum(map(len, buffer._parts))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", []),
        (b"NOOP", []),
        (b"NOOP\r", []),
        (b"NOOP\r\n", [b"NOOP"]),
        (b"\r\n", [b""]),
        (b"A\r\nB\r\nC", [b"A", b"B"]),
        (b"A\rB\r\n", [b"A\rB"]),
        (b"A\r\r\n", [b"A\r"]),
        (b"A\n", [BARE]),
        (b"\n", [BARE]),
        (b"A\nB\r\nC\r\n", [BARE, BARE, b"C"]),
        (b"A\nB\nC\r\nD\r\n", [BARE, BARE, BARE, b"D"]),
        (b"A\n\r\nB\r\n", [BARE, BARE, b"B"]),
        (b"A\n\rB\r\nC\r\n", [BARE, BARE, b"C"]),
    ],
)
@pytest.mark.parametrize("cut", [1, 2, 3, 1000])
def test_lines(data: bytes, expected: list[bytes | LineFault], cut: int) -> None:
    assert lines_of(data, cut) == expected


@pytest.mark.parametrize("cut", [1, 7, 4096, 1 << 20])
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"x" * (MAX_COMMAND - 2) + b"\r\nA\r\n", [b"x" * (MAX_COMMAND - 2), b"A"]),
        (b"x" * (MAX_COMMAND - 1) + b"\r\nA\r\n", [LONG, b"A"]),
        (b"x" * 5000 + b"\r\nA\r\n", [LONG, b"A"]),
        (b"x" * 5000 + b"\nA\r\nB\r\n", [LONG, BARE, BARE, b"B"]),
        (b"x" * 5000 + b"\r\nx\nA\r\nB\r\n", [LONG, BARE, BARE, b"B"]),
        (b"x" * 5000, [LONG]),
        (b"auth " + b"x" * (MAX_AUTH_LINE - 7) + b"\r\nA\r\n", [b"auth " + b"x" * (MAX_AUTH_LINE - 7), b"A"]),
        (b"AUTH " + b"x" * (MAX_AUTH_LINE - 6) + b"\r\nA\r\n", [LONG, b"A"]),
        (b"x" * (MAX_SKIPPED - 1) + b"\r\nA\r\n", [LONG, b"A"]),
        (b"x" * MAX_SKIPPED + b"\r\nA\r\n", [LONG, ENDLESS]),
        (b"x" * (MAX_SKIPPED + 70_000), [LONG, ENDLESS]),
    ],
    ids=lambda value: None,
)
def test_long_lines(data: bytes, expected: list[bytes | LineFault], cut: int) -> None:
    assert lines_of(data, cut) == expected


@given(data=st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"A", b"\0"])).map(b"".join), cut=st.integers(1, 5))
def test_cutting_changes_nothing(data: bytes, cut: int) -> None:
    assert lines_of(data, cut) == lines_of(data)


def test_many_pieces_before_anybody_looks() -> None:
    buffer = LineBuffer()
    for _ in range(10_000):
        buffer.add(b"NOOP\r\n")
    assert [buffer.next_line() for _ in range(10_001)] == [b"NOOP"] * 10_000 + [None]
    assert held(buffer) == 0


def test_the_limit_of_a_response() -> None:
    buffer = LineBuffer()
    buffer.add(b"x" * (MAX_AUTH_LINE - 2) + b"\r\n")
    line = buffer.next_line(MAX_AUTH_LINE)
    assert isinstance(line, bytes) and len(line) == MAX_AUTH_LINE - 2


def test_taking_and_giving_back() -> None:
    buffer = LineBuffer()
    buffer.add(b"DATA\r\ncontent")
    assert buffer.next_line() == b"DATA"
    assert buffer.take_all() == b"content"
    assert buffer.take_all() == b""
    buffer.add(b"OP\r\n")
    buffer.put_back(b"NO")
    assert buffer.next_line() == b"NOOP"
    buffer.add(b"x\ny")
    assert buffer.next_line() is BARE
    buffer.clear()
    buffer.add(b"A\r\n")
    assert buffer.next_line() == b"A"
