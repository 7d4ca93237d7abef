"""Long header lines, folded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.message.coding import MAX_LINE
from posthouse.message.folding import fold_long


def unfolded(head: bytes) -> bytes:
    """As a reader sees it (RFC 5322 2.2.3)."""
    return head.replace(b"\r\n ", b" ").replace(b"\r\n\t", b"\t")


def test_short_lines_keep_their_octets() -> None:
    head = b"A: " + b"x" * (MAX_LINE - 3) + b"\r\nB:  two   spaces\t \r\n\r\n"
    assert fold_long(head) is head


@pytest.mark.parametrize(
    "value",
    [
        b" ".join(b"<%d.abc@here.test>" % n for n in range(200)),
        b"\t".join(b"word" for _ in range(500)),
        b", ".join(b"a%d@here.test" % n for n in range(200)),
    ],
)
def test_lines_are_cut_at_spaces(value: bytes) -> None:
    folded = fold_long(b"To: " + value + b"\r\nSubject: x\r\n\r\n")
    assert unfolded(folded) == b"To: " + value.replace(b"\t", b" ") + b"\r\nSubject: x\r\n\r\n"
    assert not folded.startswith(b"To:\r\n")


@pytest.mark.parametrize("value", [b",".join([b"a@here.test"] * 200), b"<a@here.test>" * 200])
def test_lines_without_spaces_are_cut_where_a_value_ends(value: bytes) -> None:
    folded = fold_long(b"References: " + value + b"\r\n\r\n")
    assert max(map(len, folded.split(b"\r\n"))) <= MAX_LINE
    assert unfolded(folded).replace(b" ", b"") == b"References:" + value + b"\r\n\r\n"
    assert all(line.endswith((b",", b">")) for line in folded.split(b"\r\n")[:-3])


LINES = st.lists(
    st.sampled_from([b"a", b" ", b"\t", b",", b">", "ü".encode(), b":", b"x" * 400, b" " * 400]), max_size=40
)


@given(st.lists(LINES.map(b"".join), min_size=1, max_size=4))
def test_no_line_is_too_long_and_no_word_is_lost(values: list[bytes]) -> None:
    head = b"".join(b"A:" + value + b"\r\n" for value in values) + b"\r\n"
    folded = fold_long(head)
    lines = folded.removesuffix(b"\r\n\r\n").split(b"\r\n")
    assert max(map(len, lines)) <= MAX_LINE
    assert all(line.strip() for line in lines)
    assert b"".join(folded.split()) == b"".join(head.split())
    folded.decode()  # no character is cut
