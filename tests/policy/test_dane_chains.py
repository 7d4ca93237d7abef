"""DANE: certificate chains that are odd, long, bound to some names, or made to hurt."""

import hashlib
import random

import pytest
from cryptography import x509

from posthouse.policy.dane import MAX_CHAIN, MAX_RECORDS, TlsaRecord, has_name, matches, usable
from tests.certificates import NOW, Issued, authority, leaf

ROOT = authority()
MIDDLE = authority("middle", ROOT)
OWN = leaf(MIDDLE, "mx.example.org")
CHAIN = [OWN.der, MIDDLE.der, ROOT.der]
NAMES = ("mx.example.org", "example.org")
TIME = NOW.timestamp()
_NO_SIGNING = x509.KeyUsage(True, False, False, False, False, False, False, False, False)


def record(usage: int, selector: int, matching: int, of: Issued) -> TlsaRecord:
    data = of.der if selector == 0 else of.public
    if matching:
        data = hashlib.new("sha256" if matching == 1 else "sha512", data).digest()
    return TlsaRecord(usage, selector, matching, data)


def holds(chain: list[bytes], *records: TlsaRecord, names: tuple[str, ...] = NAMES, now: float = TIME) -> bool:
    return matches(chain, records, names, now)


@pytest.mark.parametrize("usage", [0, 1, 4, 255])
def test_usages_that_mail_does_not_know(usage: int) -> None:
    """RFC 7672 3.1.3."""
    one = record(usage, 1, 1, OWN)
    assert usable([one]) == []
    assert not holds(CHAIN, one)


def test_the_end_entity_needs_neither_name_nor_date() -> None:
    """RFC 7672 3.1.1."""
    old = leaf(None, "other.example", days=(-30, -1))
    assert holds([old.der], record(3, 1, 1, old))
    nameless = leaf(None)
    assert holds([nameless.der], record(3, 0, 1, nameless))


def test_the_end_entity_needs_nothing_that_can_be_read_above_it() -> None:
    assert holds([OWN.der, b"rubbish"], record(3, 1, 1, OWN))


@pytest.mark.parametrize(
    ("names", "good"),
    [
        (("mx.example.org",), True),
        (("MX.Example.ORG.",), True),
        (("other.example", "mx.example.org"), True),
        (("example.org",), False),
        (("a.mx.example.org",), False),
        ((), False),
    ],
)
def test_below_a_trust_anchor_the_name_counts(names: tuple[str, ...], good: bool) -> None:
    """RFC 7672 3.2.3."""
    assert holds(CHAIN, record(2, 1, 1, MIDDLE), names=names) is good


@pytest.mark.parametrize("days", [(-30, -1), (1, 30)], ids=["expired", "not yet"])
def test_below_a_trust_anchor_dates_count(days: tuple[int, int]) -> None:
    own = leaf(ROOT, *NAMES, days=days)
    assert not holds([own.der, ROOT.der], record(2, 1, 1, ROOT))
    middle = authority("old", ROOT, days=days)
    assert not holds([leaf(middle, *NAMES).der, middle.der, ROOT.der], record(2, 1, 1, ROOT))


def test_an_anchor_that_signed_nothing_here() -> None:
    stranger = authority("middle")  # the same name, another key
    assert not holds([OWN.der, stranger.der], record(2, 1, 1, stranger))
    assert not holds([OWN.der, MIDDLE.der, stranger.der], record(2, 1, 1, stranger))


def test_a_chain_out_of_order_with_more_than_is_needed() -> None:
    extra = authority("extra")
    assert holds([OWN.der, ROOT.der, b"rubbish", extra.der, MIDDLE.der], record(2, 0, 1, ROOT))
    assert not holds([OWN.der, ROOT.der, extra.der, MIDDLE.der], record(2, 0, 1, extra))


def test_only_authorities_may_sign() -> None:
    """Whoever has any certificate of the anchor must not be able to make others."""
    rogue = authority("rogue", ROOT, ca=False, usage=_NO_SIGNING)
    assert not holds([leaf(rogue, *NAMES).der, rogue.der, ROOT.der], record(2, 1, 1, ROOT))
    unsigned = authority("no signing", ROOT, usage=_NO_SIGNING)
    assert not holds([leaf(unsigned, *NAMES).der, unsigned.der, ROOT.der], record(2, 1, 1, ROOT))


def test_path_lengths() -> None:
    """RFC 5280 4.2.1.9."""
    last = authority("last", ROOT, path_length=0)
    assert holds([leaf(last, *NAMES).der, last.der, ROOT.der], record(2, 1, 1, ROOT))
    beyond = authority("beyond", last)
    assert not holds([leaf(beyond, *NAMES).der, beyond.der, last.der, ROOT.der], record(2, 1, 1, ROOT))


@pytest.mark.parametrize(
    ("permitted", "excluded", "good"),
    [
        (["example.org"], None, True),
        ([".example.org"], None, True),
        (["other.example"], None, False),
        (["ample.org"], None, False),
        (["example.org"], ["mx.example.org"], False),
        (None, ["other.example"], True),
    ],
)
def test_authorities_for_some_names_only(permitted: list[str] | None, excluded: list[str] | None, good: bool) -> None:
    """RFC 5280 4.2.1.10."""
    trees = [[x509.DNSName(each) for each in names] if names else None for names in (permitted, excluded)]
    bound = authority("bound", ROOT, limits=x509.NameConstraints(*trees))
    chain = [leaf(bound, "mx.example.org").der, bound.der, ROOT.der]
    assert holds(chain, record(2, 1, 1, ROOT)) is good


def test_a_certificate_that_signed_itself_may_be_its_own_anchor() -> None:
    own = leaf(None, *NAMES)
    assert holds([own.der], record(2, 1, 1, own))
    assert not holds([own.der], record(2, 1, 1, own), names=("other.example",))


def test_no_more_is_looked_at_than_is_sensible() -> None:
    wrong = [TlsaRecord(3, 1, 1, bytes(32))] * MAX_RECORDS
    assert not holds(CHAIN, *wrong, record(3, 1, 1, OWN))
    long_chain = [OWN.der, *[ROOT.der] * (MAX_CHAIN - 1), MIDDLE.der]
    assert not holds(long_chain, record(2, 1, 1, MIDDLE))


@pytest.mark.parametrize(
    ("shown", "name", "good"),
    [
        ("*.example.org", "mx.example.org", True),
        ("*.example.org", "example.org", False),
        ("*.example.org", "a.mx.example.org", False),
        ("*", "org", False),
        ("m*.example.org", "mx.example.org", False),
        ("MX.example.org", "mx.EXAMPLE.org.", True),
    ],
)
def test_stars_stand_for_one_label(shown: str, name: str, good: bool) -> None:
    """RFC 6125 6.4.3."""
    assert has_name(leaf(ROOT, shown).certificate, [name]) is good


def test_certificates_made_to_hurt() -> None:
    """Whatever a server shows, there is an answer; and what is not the very same key is not vouched for."""
    source = random.Random(20261124)
    records = (record(2, 1, 1, ROOT), record(2, 1, 1, MIDDLE))
    for _ in range(3000):
        chain = [bytearray(each) for each in CHAIN]
        hurt = source.choice(chain)
        for _ in range(source.randrange(1, 4)):
            hurt[source.randrange(len(hurt))] = source.randrange(256)
        matches([bytes(each) for each in chain], records, NAMES, TIME)
    changed = bytearray(OWN.der)
    changed[-1] ^= 1  # of the signature
    assert not holds([bytes(changed), *CHAIN[1:]], *records)


def test_the_same_extension_twice() -> None:
    """A fault that the library reports by an exception of its own kind."""
    constraints = bytes.fromhex("0603551d13")  # id-ce-basicConstraints
    twice = OWN.der.replace(bytes.fromhex("0603551d25"), constraints)  # id-ce-extKeyUsage
    assert twice != OWN.der
    assert not holds([twice, *CHAIN[1:]], record(2, 1, 1, MIDDLE))
    above = MIDDLE.der.replace(bytes.fromhex("0603551d0f"), constraints)  # id-ce-keyUsage
    assert above != MIDDLE.der
    assert not holds([OWN.der, above, ROOT.der], record(2, 1, 1, MIDDLE))
    assert holds([OWN.der, above, ROOT.der], record(3, 1, 1, OWN))
