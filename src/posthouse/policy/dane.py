"""DANE for SMTP (RFC 7672): whether a certificate chain is one that TLSA records in signed DNS vouch for."""

import hashlib
import hmac
from collections.abc import Sequence
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

MAX_CHAIN = 10

_TRUST_ANCHOR = 2
_END_ENTITY = 3


class Record(NamedTuple):
    """RFC 6698 2.1."""

    usage: int
    selector: int
    matching: int
    data: bytes


def usable(records: Sequence[Record]) -> list[Record]:
    """RFC 7672 3.1: DANE-TA and DANE-EE only, with selectors and matching types we know."""
    lengths = {1: 32, 2: 64}
    return [
        record
        for record in records
        if record.usage in (_TRUST_ANCHOR, _END_ENTITY)
        and record.selector in (0, 1)
        and record.matching in (0, 1, 2)
        and record.data
        and len(record.data) == lengths.get(record.matching, len(record.data))
    ]


def matches(chain: Sequence[bytes], records: Sequence[Record], names: Sequence[str], now: float) -> bool:
    """Whether a chain (DER, the server's own first) is vouched for. `names`: what the server may be called."""
    try:
        certificates = [x509.load_der_x509_certificate(each) for each in chain[:MAX_CHAIN]]
    except (ValueError, UnsupportedAlgorithm):
        return False
    if not certificates:
        return False
    for record in usable(records):
        if record.usage == _END_ENTITY and _fits(certificates[0], record):
            return True  # RFC 7672 3.1.1: neither names nor dates matter
        if record.usage == _TRUST_ANCHOR and _anchored(certificates, record, names, now):
            return True
    return False


def _anchored(chain: Sequence[x509.Certificate], record: Record, names: Sequence[str], now: float) -> bool:
    """RFC 7672 3.1.2: some certificate of the chain is the anchor, all below it hold, and the name is right."""
    if not has_name(chain[0], names):
        return False
    for depth, certificate in enumerate(chain):
        if not certificate.not_valid_before_utc.timestamp() <= now <= certificate.not_valid_after_utc.timestamp():
            return False
        if _fits(certificate, record) and (depth > 0 or certificate.issuer == certificate.subject):
            return True
        if depth + 1 == len(chain) or not _issued(certificate, chain[depth + 1]):
            return False
    return False


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        constraints = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.ExtensionNotFound):
        return False
    return constraints.ca


def _fits(certificate: x509.Certificate, record: Record) -> bool:
    try:
        if record.selector == 0:
            data = certificate.public_bytes(Encoding.DER)
        else:
            data = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, UnsupportedAlgorithm):
        return False
    if record.matching:
        data = hashlib.new("sha256" if record.matching == 1 else "sha512", data).digest()
    return hmac.compare_digest(data, record.data)


def has_name(certificate: x509.Certificate, names: Sequence[str]) -> bool:
    """Whether the certificate is for one of the names (RFC 6125; a star stands for the leftmost label)."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        shown = [name.lower() for name in extension.value.get_values_for_type(x509.DNSName)]
    except (ValueError, x509.ExtensionNotFound):
        return False
    wanted = [name.lower().rstrip(".") for name in names]
    return any(
        one == each or (each[:2] == "*." and one.partition(".")[2] == each[2:]) for one in wanted for each in shown
    )
