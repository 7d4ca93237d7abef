import re
from hashlib import sha256
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.policy.dkim.canonical import RelaxedBody, relaxed_field


def hashed(*pieces: bytes) -> bytes:
    body = RelaxedBody()
    for piece in pieces:
        body.feed(piece)
    return body.digest()


def by_the_book(body: bytes) -> bytes:
    """RFC 6376 3.4.4, word for word."""
    ended = body if body.endswith(b"\r\n") or not body else body + b"\r\n"
    reduced = re.sub(rb"[ \t]+", b" ", re.sub(rb"[ \t]+\r\n", b"\r\n", ended))
    while reduced.endswith(b"\r\n\r\n"):
        reduced = reduced[:-2]
    return b"" if reduced == b"\r\n" else reduced


@pytest.mark.parametrize(
    ("body", "canonical"),
    [
        (b"", b""),
        (b"\r\n\r\n", b""),
        (b" \r\n\t\r\n ", b""),
        (b" C \r\nD \t E\r\n\r\n\r\n", b" C\r\nD E\r\n"),  # the example of RFC 6376 3.4.5
        (b"no line end", b"no line end\r\n"),
        (b"no line end \t", b"no line end\r\n"),
        (b"a\r\n\r\nb", b"a\r\n\r\nb\r\n"),
        (b"a\rb\nc\r\r\n", b"a\rb\nc\r\r\n"),
        (b"a \r", b"a \r\r\n"),
        (b"a\n\r\n\r\n", b"a\n\r\n"),
    ],
)
def test_bodies(body: bytes, canonical: bytes) -> None:
    assert by_the_book(body) == canonical
    assert hashed(body) == sha256(canonical).digest()
    assert hashed(*(body[at : at + 1] for at in range(len(body)))) == sha256(canonical).digest()


octets = st.lists(st.sampled_from([b" ", b"\t", b"\r\n", b"\r", b"\n", b"a", b".", b"\xff"]), max_size=40).map(b"".join)


@given(octets, st.lists(st.integers(0, 60), max_size=8))
def test_cuts_change_nothing(body: bytes, cuts: list[int]) -> None:
    ends = [0, *sorted(cuts), len(body)]
    pieces = [body[start:end] for start, end in pairwise(ends)]
    assert hashed(*pieces) == sha256(by_the_book(body)).digest()


def test_a_body_of_empty_lines_costs_no_memory() -> None:
    assert hashed(*[b"\r\n" * 50_000] * 20) == sha256(b"").digest()
    many = [b"\r\n" * 10_000] * 5
    assert hashed(*many, b"x") == sha256(b"\r\n" * 50_000 + b"x\r\n").digest()


@pytest.mark.parametrize(
    ("name", "value", "canonical"),
    [
        (b"A", b" X", b"a:X"),  # the examples of RFC 6376 3.4.5
        (b"B ", b" Y\t\r\n\tZ  ", b"b:Y Z"),
        (b"Subject", b"", b"subject:"),
        (b"Subject", b"\r\n \r\n\ta", b"subject:a"),
        (b"Subject", b"a\x0bb\xa0 ", b"subject:a\x0bb\xa0"),
    ],
)
def test_fields(name: bytes, value: bytes, canonical: bytes) -> None:
    assert relaxed_field(name, value) == canonical
