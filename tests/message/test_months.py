"""Names of months."""

import time

import pytest

from posthouse.message.months import MONTHS, month_number


def test_all_of_them() -> None:
    assert [time.strptime(name, "%b").tm_mon for name in MONTHS] == list(range(1, 13))
    assert [month_number(name) for name in MONTHS] == list(range(1, 13))
    assert [month_number(name.upper().encode()) for name in MONTHS] == list(range(1, 13))


@pytest.mark.parametrize("name", ["", "January", "Mai", b"\xff\xff\xff", b""])
def test_what_is_no_month(name: str | bytes) -> None:
    assert month_number(name) is None
