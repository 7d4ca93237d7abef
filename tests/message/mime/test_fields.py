"""Pieces of header fields."""

import re

from hypothesis import given
from hypothesis import strategies as st

from posthouse.message.mime.fields import unquoted


@given(st.lists(st.sampled_from([b"\\", b"\\\\", b'"', b"a", b"\n", b"\xff"]), max_size=12).map(b"".join))
def test_pairs_lose_their_backslash(text: bytes) -> None:
    assert unquoted(text) == re.sub(rb"\\(.)", rb"\1", text, flags=re.DOTALL)
