"""Sizes, durations and the other kinds of values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.app.config import kinds
from posthouse.message.sizes import exact_size


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("0B", 0),
        ("0", 0),
        (0, 0),
        ("12B", 12),
        ("50MB", 50 << 20),
        ("50 mb", 50 << 20),
        ("1GiB", 1 << 30),
        ("3kB", 3072),
    ],
)
def test_sizes(text: object, octets: int) -> None:
    assert kinds.SIZE.read(text) == octets


@pytest.mark.parametrize("text", ["", "MB", "50 Mo", "1.5GB", "-1", True, None, "٣MB", [1], -1])
def test_no_sizes(text: object) -> None:
    with pytest.raises(ValueError, match="a size like"):
        kinds.SIZE.read(text)


@pytest.mark.parametrize("number", [4096, "4096", "4096 "])
def test_sizes_need_a_unit(number: object) -> None:
    with pytest.raises(ValueError, match=r'with its unit \("4096MB", or "4096B" if octets are meant\)'):
        kinds.SIZE.read(number)


def test_sizes_that_are_too_small() -> None:
    assert kinds.size(64 << 10).read("64KB") == 64 << 10
    for small in ("0", "65535B"):
        with pytest.raises(ValueError, match='at least "64KB"'):
            kinds.size(64 << 10).read(small)


@given(st.integers(0, 1 << 45))
def test_a_size_written_is_the_size_read(octets: int) -> None:
    assert kinds.SIZE.read(exact_size(octets)) == octets


@pytest.mark.parametrize(("text", "seconds"), [("250ms", 0.25), ("10s", 10), ("10m", 600), ("2h", 7200), ("1d", 86400)])
def test_durations(text: str, seconds: float) -> None:
    assert kinds.DURATION.read(text) == seconds
    assert kinds.DURATION.write(seconds) == text


@pytest.mark.parametrize("text", [10, "10", "ten", "1.5h", "", "-1s"])
def test_no_durations(text: object) -> None:
    with pytest.raises(ValueError, match="a duration like"):
        kinds.DURATION.read(text)


def test_durations_that_are_too_short() -> None:
    assert kinds.duration(1.0).read("1s") == 1
    with pytest.raises(ValueError, match='at least "1s"'):
        kinds.duration(1.0).read("0s")


@pytest.mark.parametrize("name", ["mail.example.org", "localhost", "", "bücher.example", "x-1.example"])
def test_hosts(name: str) -> None:
    assert kinds.HOST.read(name) == name


@pytest.mark.parametrize("name", ["a..b", "-a.example", "a b", "a.example.", "x" * 64, 7])
def test_no_hosts(name: object) -> None:
    with pytest.raises(ValueError, match="a host name"):
        kinds.HOST.read(name)


def test_a_secret_is_never_written() -> None:
    assert kinds.SECRET.write(kinds.SECRET.read("hunter2")) == "***"
