"""MTA-STS: the less usual texts that servers give for a record or a policy, and fuzzed ones."""

import random

import pytest

from posthouse.policy.mtasts import MAX_POLICY, Mode, MtaStsPolicy, PolicyError, parse, policy_id
from tests.fuzz import fuzz_mtasts

GOOD = b"version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\nmax_age: 604800\r\n"


@pytest.mark.parametrize(
    ("records", "found"),
    [
        ([b"v=STSv1; id=20160831085700Z;"], "20160831085700Z"),  # RFC 8461 3.1
        ([b"v=STSv1;id=1"], "1"),
        ([b"v=STSv1 ; \t id=1 ;"], "1"),
        ([b"v=STSv1; x=y; id=abc; z=1"], "abc"),
        ([b"v=spf1 -all", b"v=STSv1; id=1;"], "1"),
        ([b"v=STSv1; id=1;", b"v=STSv1; id=1;"], ""),
        ([b"v=STSv1; id=" + b"a" * 32], "a" * 32),
        ([b"v=STSv1; id=" + b"a" * 33], ""),
        ([b"v=STSv1; id="], ""),
        ([b"v=STSv1; id=a-b;"], ""),
        ([b"v=STSv1; id=\xc3\xa4"], ""),
        ([b"v=STSv1;"], ""),
        ([b"v=STSv1"], ""),
        ([b"v=STSv10; id=1"], ""),
        ([b"v=stsv1; id=1"], ""),
        ([b" v=STSv1; id=1"], ""),
        ([b"id=1; v=STSv1"], ""),
        ([b""], ""),
        ([], ""),
    ],
)
def test_the_record(records: list[bytes], found: str) -> None:
    assert policy_id(records) == found


def test_lenient_where_nothing_is_lost() -> None:
    """RFC 8461 3.2: unknown fields are passed over; of a field given twice the first counts, but for mx."""
    text = b"version:STSv1\nfuture: x\n\nno colon\nmode:  enforce  \nmode: none\n"
    text += b"mx: MX.Example.ORG.\nmax_age: 1\nmax_age: 2"
    assert parse(text) == MtaStsPolicy(Mode.ENFORCE, 1, ("mx.example.org",))


def test_every_host_counts() -> None:
    """One that was dropped silently would be refused its mail."""
    names = [f"mx{n}.example.org" for n in range(500)]
    text = GOOD + b"".join(f"mx: {name}\n".encode() for name in names)
    assert all(parse(text).allows(name) for name in names)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "version"),
        (GOOD.replace(b"STSv1", b"STSv2"), "version"),
        (GOOD.replace(b"version: STSv1\r\n", b""), "version"),
        (GOOD.replace(b"enforce", b"Enforce"), "mode"),
        (GOOD.replace(b"mode: enforce\r\n", b""), "mode"),
        (GOOD.replace(b"604800", b""), "max_age"),
        (GOOD.replace(b"604800", b"-1"), "max_age"),
        (GOOD.replace(b"604800", b"1e9"), "max_age"),
        (GOOD.replace(b"604800", "٣".encode()), "max_age"),
        (GOOD.replace(b"604800", b"1" * 11), "max_age"),
        (GOOD.replace(b"mx: ", b"my: "), "hosts"),
        (b"version: STSv1\nmode: enforce\nmx: *\nmx: a.*.example\nmx: <x>\nmx:\nmax_age: 1\n", "hosts"),
        (b"<!DOCTYPE html>\n<html>: not here", "version"),
        (b"\xff\xfe\0:", "version"),
        (GOOD + b"\n" * 1000, "lines"),
        (GOOD + b"x" * MAX_POLICY, "long"),
    ],
)
def test_what_is_no_policy(text: bytes, why: str) -> None:
    with pytest.raises(PolicyError, match=why):
        parse(text)


def test_fuzzed_for_a_moment() -> None:
    source = random.Random(20261124)
    seeds = [b"\0" + GOOD, b"\1" + GOOD, b"\2v=STSv1; id=1;", b"\3v=STSv1; id=20160831085700Z; x=y"]
    for _ in range(3000):
        data = bytearray(source.choice(seeds))
        for _ in range(source.randrange(1, 6)):
            at = source.randrange(len(data))
            data[at : at + source.randrange(3)] = source.choice(
                (b":", b"\n", b"*", b".", b"\xff", b"9", b";", b"=", b"mx:")
            )
        fuzz_mtasts.fuzz(bytes(data))
