"""Sizes, read and written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.message.sizes import MissingUnitError, SizeError, exact_size, format_size, parse_size


@pytest.mark.parametrize(
    ("text", "octets"),
    [("0", 0), ("0MB", 0), ("1B", 1), ("1kb", 1024), ("1 KiB", 1024), ("50MB", 50 << 20), ("2g", 2 << 30)],
)
def test_what_is_read(text: str, octets: int) -> None:
    assert parse_size(text) == octets


@pytest.mark.parametrize(
    "text", ["", "MB", "-1MB", "1.5GB", "1XB", "1MBB", "1 M B", "\u0663MB", "1" * 16 + "B", "1MB\n"]
)
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(SizeError):
        parse_size(text)


def test_a_number_alone() -> None:
    with pytest.raises(MissingUnitError) as caught:
        parse_size("500")
    assert caught.value.number == "500"


@given(st.integers(0, 1 << 45))
def test_the_exact_form_is_read_as_it_was(octets: int) -> None:
    assert parse_size(exact_size(octets)) == octets


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KB"),
        (2150, "2.1 KB"),
        ((1 << 20) - 1, "1.0 MB"),
        (50 << 20, "50.0 MB"),
        (1 << 30, "1.0 GB"),
        (1200 << 30, "1,200.0 GB"),
    ],
)
def test_sizes_for_people(octets: int, text: str) -> None:
    assert format_size(octets) == text
