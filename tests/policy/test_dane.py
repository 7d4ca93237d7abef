"""DANE: which certificate chains TLSA records vouch for."""

import datetime
import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from posthouse.policy.dane import TlsaRecord, matches, usable

NOW = datetime.datetime(2026, 11, 24, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
HOST = "mx.x.test"


def issue(
    name: str, issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None = None, *, ca: bool, days: int = 90
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - 365 * DAY)
        .not_valid_after(NOW + days * DAY)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if not ca:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    return builder.sign(issuer[1] if issuer else key, hashes.SHA256()), key


ROOT = issue("root", ca=True)
MIDDLE = issue("middle", ROOT, ca=True)
LEAF = issue(HOST, MIDDLE, ca=False)
STALE = issue(HOST, MIDDLE, ca=False, days=-1)
OTHER = issue("other.test", MIDDLE, ca=False)
NO_CA = issue("no authority", ROOT, ca=False)
BELOW = issue(HOST, NO_CA, ca=False)


def der(*certificates: tuple[x509.Certificate, object]) -> list[bytes]:
    return [each.public_bytes(Encoding.DER) for each, _ in certificates]


def record(usage: int, selector: int, matching: int, certificate: tuple[x509.Certificate, object]) -> TlsaRecord:
    data = (
        certificate[0].public_bytes(Encoding.DER)
        if selector == 0
        else certificate[0].public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    )
    digest = {1: hashlib.sha256, 2: hashlib.sha512}.get(matching)
    return TlsaRecord(usage, selector, matching, digest(data).digest() if digest else data)


CHAIN = der(LEAF, MIDDLE, ROOT)
NAMES = (HOST, "x.test")


@pytest.mark.parametrize("matching", [0, 1, 2])
@pytest.mark.parametrize("selector", [0, 1])
def test_end_entity(selector: int, matching: int) -> None:
    assert matches(CHAIN, [record(3, selector, matching, LEAF)], NAMES, NOW.timestamp())
    assert not matches(CHAIN, [record(3, selector, matching, OTHER)], NAMES, NOW.timestamp())
    assert not matches(CHAIN, [record(3, selector, matching, MIDDLE)], NAMES, NOW.timestamp())


def test_an_end_entity_needs_neither_date_nor_name() -> None:
    assert matches(der(STALE), [record(3, 1, 1, STALE)], NAMES, NOW.timestamp())
    assert matches(der(OTHER), [record(3, 1, 1, OTHER)], NAMES, NOW.timestamp())


@pytest.mark.parametrize("anchor", [ROOT, MIDDLE])
@pytest.mark.parametrize("matching", [0, 1, 2])
@pytest.mark.parametrize("selector", [0, 1])
def test_trust_anchor(
    selector: int, matching: int, anchor: tuple[x509.Certificate, ec.EllipticCurvePrivateKey]
) -> None:
    assert matches(CHAIN, [record(2, selector, matching, anchor)], NAMES, NOW.timestamp())


@pytest.mark.parametrize(
    ("chain", "anchor"),
    [
        ((OTHER, MIDDLE, ROOT), ROOT),  # another name
        ((STALE, MIDDLE, ROOT), ROOT),  # expired
        ((LEAF, ROOT), ROOT),  # a link is missing
        ((LEAF, MIDDLE), ROOT),  # the anchor is not shown
        ((BELOW, NO_CA, ROOT), ROOT),  # signed by one who may not
        ((LEAF, MIDDLE, ROOT), LEAF),  # a leaf is no anchor
    ],
)
def test_not_anchored(
    chain: tuple[tuple[x509.Certificate, object], ...], anchor: tuple[x509.Certificate, object]
) -> None:
    assert not matches(der(*chain), [record(2, 1, 1, anchor)], NAMES, NOW.timestamp())


def test_a_key_that_was_changed_under_way() -> None:
    forged = issue(HOST, issue("middle", ca=True), ca=False)
    assert not matches(der(forged, MIDDLE, ROOT), [record(2, 0, 1, MIDDLE)], NAMES, NOW.timestamp())


def test_one_of_several_is_enough() -> None:
    assert matches(CHAIN, [record(3, 1, 1, OTHER), record(3, 1, 1, LEAF)], NAMES, NOW.timestamp())


def test_only_what_smtp_may_use() -> None:
    """RFC 7672 3.1.3: usages 0 and 1 are not for us; odd selectors, types and lengths neither."""
    for each in (
        record(0, 1, 1, LEAF),
        record(1, 1, 1, LEAF),
        TlsaRecord(3, 2, 1, b"x" * 32),
        TlsaRecord(3, 1, 3, b"x" * 32),
        TlsaRecord(3, 1, 1, b"x" * 31),
        TlsaRecord(3, 1, 0, b""),
    ):
        assert usable([each]) == []
        assert not matches(CHAIN, [each], NAMES, NOW.timestamp())


def test_garbage() -> None:
    assert not matches([b"no certificate"], [record(3, 1, 1, LEAF)], NAMES, NOW.timestamp())
    assert not matches([], [record(3, 1, 1, LEAF)], NAMES, NOW.timestamp())
