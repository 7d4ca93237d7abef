"""Pieces of header fields."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.message.mime.fields import Scanner, parameters, unquoted


@given(st.lists(st.sampled_from([b"\\", b"\\\\", b'"', b"a", b"\n", b"\xff"]), max_size=12).map(b"".join))
def test_pairs_lose_their_backslash(text: bytes) -> None:
    assert unquoted(text) == re.sub(rb"\\(.)", rb"\1", text, flags=re.DOTALL)


@pytest.mark.parametrize("piece", [b"()", b"(", b"(\\a)", b";", b"; ;", b"=;", b'"";'])
def test_what_is_no_parameter_is_given_up(piece: bytes) -> None:
    """Half a second went by over a field of semicolons."""
    assert parameters(Scanner(piece + b";a=b")) == (() if piece == b"(" else ((b"a", b"b"),))
    assert parameters(Scanner(piece * 30_000 + b";a=b")) == ()
