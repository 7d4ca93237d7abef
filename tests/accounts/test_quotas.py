import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.accounts.errors import BadQuotaError
from posthouse.accounts.quotas import parse_quota


@pytest.mark.parametrize(
    ("text", "octets"),
    [("", None), (" none ", None), ("unlimited", None), ("0", None), ("0GB", None), ("1048576B", 1 << 20),
     ("500MB", 500 << 20), ("2GB", 2 << 30), ("2 gib", 2 << 30), ("1T", 1 << 40), ("7k", 7 << 10), ("9b", 9)],
)  # fmt: skip
def test_sizes(text: str, octets: int | None) -> None:
    assert parse_quota(text) == octets


@pytest.mark.parametrize("text", ["-1", "1.5GB", "GB", "5 Mo", "1e3", "٥", "5\0", "9" * 16])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(BadQuotaError, match="write a size like 500MB"):
        parse_quota(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2000", r"a quota of 2000 has no unit; write 2000MB, or 2000B if octets are meant"),
        ("9999999999TB", "more than can be kept; write none"),
    ],
)
def test_what_is_refused_with_its_fix(text: str, said: str) -> None:
    with pytest.raises(BadQuotaError, match=said):
        parse_quota(text)


@given(st.text(max_size=20))
def test_any_text_is_a_quota_or_refused(text: str) -> None:
    try:
        octets = parse_quota(text)
    except BadQuotaError as error:
        assert str(error).isprintable()
    else:
        assert octets is None or 0 < octets < 1 << 63
