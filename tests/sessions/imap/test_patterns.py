"""Patterns of LIST, beside a plain way to match them, and those made to take for ever."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.sessions.imap.patterns import Patterns


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("*", "a/b", True),
        ("%", "a/b", False),
        ("%", "a", True),
        ("%/%", "a/b", True),
        ("a*", "a", True),
        ("*b", "a/b", True),
        ("%b", "a/b", False),
        ("%*", "a/b", True),
        ("*%/", "a/b", False),
        ("a", "a", True),
        ("a", "ab", False),
        ("ab", "a", False),
        ("inb*", "INBOX", True),
        ("inbox/%", "INBOX/x", True),
        ("In%X", "INBOX", True),
        ("x*", "INBOX", False),
        ("a?", "ab", False),
        ("gru\u0308n", "gr\u00fcn", True),
        ("", "a", False),
    ],
)
def test_who_fits(pattern: str, name: str, fits: bool) -> None:
    assert Patterns([pattern]).fit(name) is fits


def test_one_of_many_is_enough() -> None:
    patterns = Patterns(["x", "b%", "y*"])
    assert [name for name in ("a", "bc", "b/c", "y/z", "x") if patterns.fit(name)] == ["bc", "y/z", "x"]


@given(st.text("ab/*%", max_size=8), st.text("ab/", min_size=1, max_size=10))
def test_as_a_regular_expression_has_it(pattern: str, name: str) -> None:
    wild = {"*": ".*", "%": "[^/]*"}
    plain = re.compile("".join(wild.get(char, re.escape(char)) for char in pattern))
    assert Patterns([pattern]).fit(name) is bool(plain.fullmatch(name))


@pytest.mark.parametrize("piece", ["*", "%", "*%", "%*", "%x", "*x", "*x%y", "x*", "%/", "*/", "x%"])
def test_thousands_of_wildcards_come_to_an_end(piece: str) -> None:
    """Each of these took longer than anybody would wait when places in the pattern were tried one by one."""
    name = "x" * 400 + "/" + "x" * 400 + "/" + "x" * 190
    few, many = Patterns([piece * 450]), Patterns([piece * 30_000])
    patterns = Patterns(piece * count for count in range(400, 500))
    for _ in range(100):
        assert few.fit(name) is (piece in ("*", "*%", "%*", "*x", "x*"))
        assert many.fit(name) is (piece in ("*", "*%", "%*"))
    assert patterns.fit(name) is few.fit(name)
