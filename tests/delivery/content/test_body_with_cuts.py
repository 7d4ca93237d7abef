"""Bodies with pieces left out."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from posthouse.delivery.content.body_with_cuts import tail, trim, without
from posthouse.mailstore.digests import new_digest
from tests.stores import Bytes

_cuts = st.lists(st.integers(0, 60), max_size=8, unique=True).map(
    lambda ends: [(a, b) for a, b in zip(sorted(ends)[::2], sorted(ends)[1::2], strict=False)]
)


@given(st.binary(min_size=60, max_size=80), _cuts, st.integers(1, 80))
def test_what_is_left_is_the_same_however_the_pieces_are_cut(
    data: bytes, cuts: list[tuple[int, int]], chunk: int
) -> None:
    expected = without(data, cuts)
    trimmed = asyncio.run(trim(Bytes(data, chunk=chunk), cuts))
    assert b"".join(trimmed.chunks()) == expected
    assert b"".join(trimmed.chunks()) == expected  # from the start on every call
    assert trimmed.octets == len(expected)
    assert trimmed.digest == new_digest(expected).digest()


@given(st.binary(max_size=80), st.integers(0, 90), st.integers(1, 80))
def test_behind(data: bytes, octets: int, chunk: int) -> None:
    assert b"".join(tail(Bytes(data, chunk=chunk), octets)) == data[octets:]
