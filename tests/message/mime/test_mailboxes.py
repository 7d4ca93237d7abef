"""Addresses that are none, in fields of a megabyte: reading them has an end."""

import pytest

from posthouse.message.mime.mailboxes import MAX_ADDRESSES, read

GARBAGE = (b":", b"[", b")", b"<", b">", b"()", b"a@b(c)", b"<a>b ", b'"a"')


@pytest.mark.parametrize(
    "address", [b'"A. Name" <a.b@c.test> (x), ', b"First Middle Last <f.m.l@long.name.test>,\r\n "]
)
def test_all_that_are_well_formed_are_read(address: bytes) -> None:
    assert len(read(address * MAX_ADDRESSES)) == MAX_ADDRESSES


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
