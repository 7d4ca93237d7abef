"""Fields with their places."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.message.edit import placed_fields


def test_places_cover_the_fields_with_their_folds() -> None:
    head = b"To: a@b.test\r\nBCC:c@d.test,\r\n\te@f.test\r\nSubject : x\r\n\r\n"
    found = list(placed_fields(head))
    assert [(each.name, each.value) for each in found] == [
        (b"to", b" a@b.test"),
        (b"bcc", b"c@d.test,\r\n\te@f.test"),
        (b"subject", b" x"),
    ]
    assert [head[each.start : each.end] for each in found] == [
        b"To: a@b.test\r\n",
        b"BCC:c@d.test,\r\n\te@f.test\r\n",
        b"Subject : x\r\n",
    ]
    assert [each.plain for each in found] == [True, True, False]


@pytest.mark.parametrize("head", [b"", b"\r\n", b"\r\n\r\n"])
def test_no_field(head: bytes) -> None:
    assert list(placed_fields(head)) == []


@pytest.mark.parametrize(
    "line",
    [
        b"\tFrom: x",
        b"From : x",
        b"From\t: x",
        b" From: x",
        b"Fr om: x",
        b"From\0: x",
        b"From\x0b: x",
        b"\xef\xbb\xbfFrom: x",
        b"From\xa0:x",
    ],
)
def test_a_field_in_disguise_has_its_name_and_is_not_plain(line: bytes) -> None:
    (field,) = placed_fields(line + b"\r\n\r\n")
    assert (field.name, field.plain) == (b"from", False)


@pytest.mark.parametrize("line", [b"no colon", b": no name", b"\xff: x"])
def test_a_line_that_is_no_field(line: bytes) -> None:
    (field,) = placed_fields(line + b"\r\n")
    assert (field.name, field.plain) == (b"", False)


def test_a_head_that_is_cut_short() -> None:
    assert [(each.name, each.start, each.end) for each in placed_fields(b"A: b\r\nC: d")] == [
        (b"a", 0, 6),
        (b"c", 6, 10),
    ]


LINES = st.lists(
    st.sampled_from([b"A: b", b"\r\n", b" c", b"\t", b":", b"\r", b"\n", b"\0", b"\xff", b"Bcc"]), max_size=30
)


@given(LINES)
def test_places_are_in_order_and_whole(pieces: list[bytes]) -> None:
    head = b"".join(pieces)
    found = list(placed_fields(head))
    at = 0
    for each in found:
        assert head[at : each.start].strip(b"\r\n") == b"" and each.start < each.end
        at = each.end
    assert head[at:].strip(b"\r\n") == b""
    lines = [line for line in re.split(rb"\r\n(?![ \t])", head) if line]
    assert [each.value for each in found] == [line.partition(b":")[2] for line in lines]
