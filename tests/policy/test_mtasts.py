"""MTA-STS policies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.policy.mtasts import MAX_AGE, MAX_POLICY, Mode, MtaStsPolicy, PolicyError, parse, policy_id

GOOD = b"version: STSv1\r\nmode: enforce\r\nmx: mx1.x.test\r\nmx: *.Mail.x.test.\r\nmax_age: 86400\r\n"


def test_a_policy() -> None:
    assert parse(GOOD) == MtaStsPolicy(Mode.ENFORCE, 86400, ("mx1.x.test", "*.mail.x.test"))
    assert parse(GOOD.replace(b"\r\n", b"\n")) == parse(GOOD)
    assert parse(GOOD.replace(b"86400", b"9999999999")).max_age == MAX_AGE
    assert parse(b"version: STSv1\nmode: none\nmax_age: 1\n") == MtaStsPolicy(Mode.NONE, 1, ())
    assert parse(GOOD + b"extension: yes\r\nmode: none\r\n").mode is Mode.ENFORCE  # the first counts


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("mx1.x.test", True),
        ("MX1.X.TEST.", True),
        ("mx2.x.test", False),
        ("a.mail.x.test", True),
        ("mail.x.test", False),
        ("a.b.mail.x.test", False),
        ("evilmail.x.test", False),
    ],
)
def test_hosts(host: str, allowed: bool) -> None:
    assert parse(GOOD).allows(host) is allowed


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"<html>",
        GOOD.replace(b"STSv1", b"STSv2"),
        GOOD.replace(b"enforce", b"please"),
        GOOD.replace(b"max_age: 86400", b"max_age: soon"),
        b"version: STSv1\nmode: enforce\nmax_age: 1\n",
        b"x" * (MAX_POLICY + 1),
        GOOD + b"\n" * 2000,
    ],
)
def test_refused(text: bytes) -> None:
    with pytest.raises(PolicyError):
        parse(text)


@pytest.mark.parametrize(
    ("records", "found"),
    [
        ([b"v=STSv1; id=20260101;"], "20260101"),
        ([b"v=STSv1;id=a1"], "a1"),
        ([b"other", b"v=STSv1; id=x; y=z"], "x"),
        ([b"v=STSv1; id=a", b"v=STSv1; id=b"], ""),
        ([b"v=STSv1; id=with space"], ""),
        ([b"v=STSv1"], ""),
        ([b"v=STSv10; id=a"], ""),
        ([b" v=STSv1; id=a"], ""),
        ([], ""),
        ([b"\xff\xfe"], ""),
    ],
)
def test_ids(records: list[bytes], found: str) -> None:
    assert policy_id(records) == found


@given(st.binary(max_size=400))
def test_never_another_exception(text: bytes) -> None:
    try:
        parse(text)
    except PolicyError as error:
        assert str(error)
    policy_id([text])
