from itertools import pairwise

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.message.header import fields
from posthouse.message.signing import SigningKey
from posthouse.policy.dkim.coverage import MAX_INSTANCES, cover
from posthouse.policy.dkim.keys import UnusableKeyError, public_record
from posthouse.policy.dkim.signer import Signer
from tests.policy.dkim.keys import DOMAIN, NOW, der, ed25519_key, rsa_key
from tests.policy.dkim.messages import message
from tests.policy.dkim.verifiers import by_dkimpy


def tags(field: bytes) -> dict[str, str]:
    ((name, value),) = fields(field)
    assert name == b"dkim-signature"
    pairs = (tag.split("=", 1) for tag in value.decode("ascii").split(";"))
    return {name.strip(): "".join(content.split()) for name, content in pairs}


def test_one_field_per_key_in_their_order() -> None:
    head, body = message("plain")
    signed = Signer([rsa_key(), ed25519_key()]).sign(head, [body], NOW)
    rsa, ed25519 = (tags(b"DKIM-Signature:" + field) for field in signed.split(b"DKIM-Signature:")[1:])
    assert (rsa["a"], rsa["s"], ed25519["a"], ed25519["s"]) == ("rsa-sha256", "ph2026r", "ed25519-sha256", "ph2026e")
    for one in (rsa, ed25519):
        assert (one["v"], one["c"], one["d"], one["t"]) == ("1", "relaxed/relaxed", DOMAIN, str(NOW))
        assert one.keys() == {"v", "a", "c", "d", "s", "t", "h", "bh", "b"}
    assert rsa["bh"] == ed25519["bh"]


def test_lines_are_short_and_end_in_crlf() -> None:
    head, body = message("duplicate headers")
    signed = Signer([rsa_key(), ed25519_key()]).sign(head, [body], NOW)
    assert signed.endswith(b"\r\n")
    lines = signed[:-2].split(b"\r\n")
    assert max(map(len, lines)) < 78
    assert all(line.startswith((b" ", b"DKIM-Signature: ")) and line.strip() for line in lines)


def test_names_are_signed_once_more_than_they_stand_there() -> None:
    head, body = message("duplicate headers")
    names = tags(Signer([ed25519_key()]).sign(head, [body], NOW))["h"].split(":")
    counts = {name: names.count(name) for name in names}
    assert counts == {
        "From": 2, "To": 4, "Subject": 3, "List-Id": 2, "Cc": 1, "Date": 1, "Message-ID": 1, "Reply-To": 1,
        "Sender": 1, "MIME-Version": 1, "Content-Type": 1, "Content-Transfer-Encoding": 1, "In-Reply-To": 1,
        "References": 1,
    }  # fmt: skip


def test_instances_are_hashed_from_the_bottom_up() -> None:
    _, signed = cover(b"To: one\r\nFrom: a\r\nTo: two\r\nReceived: x\r\nTO : three\r\n\r\n")
    assert signed == b"from:a\r\nto:three\r\nto:two\r\nto:one\r\n"


def test_a_flood_of_fields_is_covered_in_part() -> None:
    names, signed = cover(b"To: x\r\n" * 100_000 + b"To: last\r\n")
    assert names.count(b"To") == MAX_INSTANCES + 1
    assert signed.startswith(b"to:last\r\n") and signed.count(b"\r\n") == MAX_INSTANCES


def test_the_longest_domain_stands_on_a_line_of_its_own() -> None:
    domain = ".".join(["a" * 61] * 4)
    key = SigningKey(domain, "ph2026e", "ed25519-sha256", ed25519_key().private)
    signed = Signer([key]).sign(message("plain")[0], [], NOW)
    assert tags(signed)["d"] == domain
    assert sorted(map(len, signed.split(b"\r\n")))[-2] < 78


@pytest.mark.parametrize(
    ("algorithm", "private", "said"),
    [
        ("rsa-sha256", b"nonsense", "cannot be read"),
        ("rsa-sha256", b"", "cannot be read"),
        ("rsa-sha256", rsa_key(1024).private, "less than 2048 bits"),
        ("rsa-sha256", der(Ed25519PrivateKey.generate()), "is none for rsa-sha256"),
        ("rsa-sha1", rsa_key().private, "is none for rsa-sha1"),
    ],
    ids=["nonsense", "empty", "short", "of another kind", "of an old kind"],
)
def test_keys_that_cannot_sign(algorithm: str, private: bytes, said: str) -> None:
    key = SigningKey(DOMAIN, "ph2026r", algorithm, private)
    for use in (lambda: Signer([key]), lambda: public_record(key)):
        with pytest.raises(UnusableKeyError, match=said):
            use()


def test_a_key_is_not_shown() -> None:
    assert "private" not in repr(rsa_key())


words = st.text("abc: ,<>@.;=äß\t ", max_size=30).map(lambda text: text.encode())
names = st.sampled_from([b"From", b"to", b"SUBJECT", b"Cc", b"X-Other", b"Received", b"Date", b"List-Id", b"Sender"])
values = st.lists(words, min_size=1, max_size=3).map(lambda parts: b"\r\n\t".join(part or b"." for part in parts))
heads = st.lists(st.tuples(names, values), min_size=1, max_size=12)
bodies = st.lists(st.sampled_from([b" ", b"\t", b"\r\n", b"a", b".", b"\xff", b"b  c"]), max_size=60).map(b"".join)


@settings(max_examples=150)
@given(heads, bodies, st.lists(st.integers(0, 80), max_size=6))
def test_whatever_is_signed_verifies(head: list[tuple[bytes, bytes]], body: bytes, cuts: list[int]) -> None:
    section = b"From: a@example.test\r\n" + b"".join(name + b":" + value + b"\r\n" for name, value in head) + b"\r\n"
    ended = body + b"\r\n"
    ends = [0, *sorted(cuts), len(ended)]
    pieces = [ended[start:end] for start, end in pairwise(ends)]
    signer = Signer([rsa_key()])
    signed = signer.sign(section, pieces, NOW)
    assert signed == signer.sign(section, [ended], NOW)  # RSA of PKCS #1 v1.5 has no chance in it
    assert by_dkimpy(signed + section + ended, 1) == [True]
