"""Chains that lead to a trusted authority and are for the host, and all others, with the reason."""

import random
from pathlib import Path

import pytest

from posthouse.net.verify import Authorities, Flaw
from tests.certificates import Issued, authority, leaf

HOST = "mx.example.org"
ROOT = authority()
MIDDLE = authority("middle", ROOT)
OWN = leaf(MIDDLE, HOST, "other.example.org", "*.wild.example.org")
CHAIN = [OWN.der, MIDDLE.der]


@pytest.fixture(name="authorities")
def trusting_the_root(tmp_path: Path) -> Authorities:
    file = tmp_path / "roots.pem"
    file.write_bytes(authority("unused").pem + ROOT.pem)
    return Authorities(file)


@pytest.mark.parametrize("host", [HOST, "MX.Example.org", "other.example.org", "a.wild.example.org"])
def test_a_good_chain(authorities: Authorities, host: str) -> None:
    assert authorities.error(CHAIN, host) == ""
    assert authorities.error([*CHAIN, ROOT.der], host) == "", "with the root, which need not be sent"


@pytest.mark.parametrize("host", ["example.org", "a.mx.example.org", "a.a.wild.example.org", "192.0.2.1", "m x", ""])
def test_another_host(authorities: Authorities, host: str) -> None:
    flaw = authorities.error(CHAIN, host)
    assert "not for" in flaw
    assert flaw.result == "certificate-host-mismatch"


@pytest.mark.parametrize(
    ("chain", "result", "text"),
    [
        ([], "certificate-not-trusted", "no certificate"),
        ([OWN], "certificate-not-trusted", "not valid"),  # the one in the middle is missing
        ([leaf(ROOT, HOST, days=(-30, -1))], "certificate-expired", "expired on 20"),
        ([leaf(ROOT, HOST, days=(1, 30))], "certificate-not-trusted", "not valid"),
        ([leaf(None, HOST)], "certificate-not-trusted", "not valid"),
        ([leaf(authority(), HOST)], "certificate-not-trusted", "not valid"),  # of the same name as the trusted one
        ([leaf(ROOT)], "certificate-host-mismatch", "not for"),  # it names no host at all
        ([leaf(ROOT, subject=HOST)], "certificate-host-mismatch", "not for"),  # RFC 6125 6.4.4: not even there
    ],
    ids=["none", "gap", "expired", "early", "own", "stranger", "nameless", "subject"],
)
def test_what_proves_nothing(authorities: Authorities, chain: list[Issued], result: str, text: str) -> None:
    flaw = authorities.error([each.der for each in chain], HOST)
    assert text in flaw
    assert flaw.result == result


def test_the_kind_does_not_hang_on_words_of_the_hosts_name(authorities: Authorities) -> None:
    host = "expired.names.example"
    assert authorities.error([leaf(None, host).der], host).result == "certificate-not-trusted"


def test_an_authority_that_has_expired_in_the_middle(authorities: Authorities) -> None:
    old = authority("old", ROOT, days=(-30, -1))
    assert authorities.error([leaf(old, HOST).der, old.der], HOST).result == "certificate-not-trusted"


def test_a_chain_is_not_taken_for_another(authorities: Authorities) -> None:
    """What is remembered is about this host and this chain."""
    for _ in range(2):
        assert authorities.error(CHAIN, HOST) == ""
        assert authorities.error(CHAIN[:1], HOST)
        assert authorities.error([b"\0".join(CHAIN)], HOST)
        assert authorities.error(CHAIN, "else.example")


def test_authorities_that_cannot_be_read(tmp_path: Path) -> None:
    """Nothing is trusted meanwhile; and once the file is corrected it counts at once."""
    file = tmp_path / "roots.pem"
    authorities = Authorities(file)
    assert "cannot be read" in authorities.error(CHAIN, HOST)
    file.write_bytes(b"rubbish")
    assert authorities.error(CHAIN, HOST).result == "validation-failure"
    file.write_bytes(ROOT.pem)
    assert authorities.error(CHAIN, HOST) == ""


def test_the_systems_own_authorities_do_not_know_ours() -> None:
    assert Authorities().error(CHAIN, HOST)


def test_certificates_made_to_hurt(authorities: Authorities) -> None:
    """Always an answer, of printable characters; and none that was changed is good."""
    source = random.Random(20261124)
    for _ in range(2000):
        own = bytearray(OWN.der)
        for _ in range(source.randrange(1, 4)):
            own[source.randrange(len(own))] ^= source.randrange(1, 256)
        if bytes(own) == OWN.der:
            continue
        flaw = authorities.error([bytes(own), MIDDLE.der], HOST)
        assert flaw and flaw.result and flaw.isprintable()


def test_the_same_extension_twice(authorities: Authorities) -> None:
    twice = OWN.der.replace(bytes.fromhex("0603551d25"), bytes.fromhex("0603551d13"))
    assert twice != OWN.der
    assert "cannot be read" in authorities.error([twice, MIDDLE.der], HOST)


def test_a_flaw_is_its_text() -> None:
    assert not Flaw()
    assert Flaw("x", "certificate-expired") == "x"
