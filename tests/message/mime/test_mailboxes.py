"""Addresses that are none, in fields of a megabyte: reading them has an end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.message.mime.fields import unfolded
from posthouse.message.mime.mailboxes import MAX_ADDRESSES, _Reader, read
from tests.outside.odd_messages import odd_messages

GARBAGE = (b":", b"[", b")", b"<", b">", b"()", b"a@b(c)", b"<a>b ", b'"a"')


@pytest.mark.parametrize(
    "address", [b'"A. Name" <a.b@c.test> (x), ', b"First Middle Last <f.m.l@long.name.test>,\r\n "]
)
def test_all_that_are_well_formed_are_read(address: bytes) -> None:
    assert len(read(address * MAX_ADDRESSES)) == MAX_ADDRESSES


def _pieces() -> list[bytes]:
    return [
        b"joe",
        b"joe public",
        b"j.",
        b"@",
        b"x.test",
        b"<",
        b">",
        b'"',
        b'"J. P."',
        b"\\",
        b",",
        b" ",
        b"\r\n ",
        b"\t",
        b"(c)",
    ]


@given(st.lists(st.sampled_from(_pieces()), max_size=8).map(b"".join))
def test_the_short_way_leads_where_the_long_one_does(field: bytes) -> None:
    assert read(field) == _Reader(unfolded(field)).run()


def test_the_short_way_in_real_fields() -> None:
    for message in odd_messages().values():
        for line in message.split(b"\r\n"):
            _, _, value = line.partition(b":")
            assert read(value) == _Reader(unfolded(value)).run(), value


def test_comments_in_comments_are_given_up() -> None:
    deep = b"(" * MAX_ADDRESSES + b")" * MAX_ADDRESSES
    assert read(deep + b"a@b.test")[0].mailbox == b"a"
    assert read(deep * 11 + b"a@b.test") == []


@pytest.mark.parametrize("piece", GARBAGE)
def test_what_is_none_is_given_up(piece: bytes) -> None:
    """A message with such a header was looked at for a second, and all the others had to wait."""
    garbage = piece * (MAX_ADDRESSES * 20)
    found = read(b"first@a.test, " + garbage + b", last@a.test")
    assert found[0].mailbox == b"first"
    assert all(shown.mailbox != b"last" for shown in found)
    assert any(shown.mailbox == b"last" for shown in read(b"first@a.test, " + piece + b", last@a.test"))
