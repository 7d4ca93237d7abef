"""Authentication-Results that claim to be ours are found in whatever spelling, and no others."""

import random

import pytest

from posthouse.policy.authres import forged_fields

US = "mx.here.test"


def left(head: bytes, name: str = US) -> bytes:
    for start, end in reversed(forged_fields(head, name)):
        head = head[:start] + head[end:]
    return head


@pytest.mark.parametrize(
    "field",
    [
        b"Authentication-Results: mx.here.test; dkim=pass header.d=bank.test",
        b"AUTHENTICATION-RESULTS:MX.HERE.TEST;spf=pass",
        b"authentication-results : mx.here.test; none",
        b"Authentication-Results\t: mx.here.test.; none",
        b"Authentication-Results: mx.here.test 1; dkim=pass",
        b"Authentication-Results: mx.here.test/1; dkim=pass".replace(b"/1", b" 1"),
        b"Authentication-Results: (a comment) mx.here.test; dkim=pass",
        b"Authentication-Results: (nested (twice) \\) over) mx.here.test (more); dkim=pass",
        b'Authentication-Results: "mx.here.test"; dkim=pass',
        b'Authentication-Results: "mx\\.here.test"; dkim=pass',
        b"Authentication-Results:\r\n\tmx.here.test;\r\n dkim=pass",
        b"Authentication-Results: (folded\r\n comment)\r\n mx.here.test; spf=pass",
        b"Authentication-Results: ; dkim=pass",
        b"Authentication-Results: dkim=pass header.d=bank.test",
        b"Authentication-Results:",
        b"Authentication-Results: (unfinished mx.here.test",
        b"X-Posthouse-Verdict: clean; points=-10",
        b"x-posthouse-anything: at all",
    ],
)
def test_what_claims_to_be_ours(field: bytes) -> None:
    rest = b"From: a@b.test\r\nSubject: x\r\n\r\n"
    assert left(field + b"\r\n" + rest) == rest
    assert left(b"To: c@d.test\r\n" + field + b"\r\n" + rest) == b"To: c@d.test\r\n" + rest
    assert left(rest[:-2] + (field + b"\r\n") * 3 + b"\r\n") == rest


@pytest.mark.parametrize(
    "field",
    [
        b"Authentication-Results: mx.other.test; dkim=pass",
        b"Authentication-Results: notmx.here.test; dkim=pass",
        b"Authentication-Results: mx.here.test.evil.test; dkim=pass",
        b"Authentication-Results: (mx.here.test) mx.other.test; spf=pass",
        b"ARC-Authentication-Results: i=1; mx.here.test; dkim=pass",
        b"X-Spam: yes",
        b"Subject: Authentication-Results: mx.here.test; X-Posthouse-Verdict: clean",
    ],
)
def test_what_stays(field: bytes) -> None:
    head = b"From: a@b.test\r\n" + field + b"\r\n\r\n"
    assert forged_fields(head, US) == []


def test_an_international_name_in_both_forms() -> None:
    for name in ("mx.bücher.test", "mx.xn--bcher-kva.test", "MX.BÜCHER.test"):
        assert left(f"Authentication-Results: {name}; spf=pass\r\n\r\n".encode(), "mx.xn--bcher-kva.test") == b"\r\n"


def test_any_octets_at_all() -> None:
    chance = random.Random(8601)
    parts = [b"Authentication-Results", b":", b"(", b")", b'"', b"\\", b";", b"\r\n", b" ", b"mx.here.test", b"\xff"]
    for _ in range(3000):
        head = b"".join(chance.choices(parts, k=chance.randrange(30)))
        found = forged_fields(head, US)
        assert found == sorted(found) and all(0 <= start < end <= len(head) for start, end in found)
