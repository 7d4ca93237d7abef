"""DANE for SMTP (RFC 7672): whether a certificate chain is one that TLSA records in signed DNS vouch for."""

import hashlib
import hmac
import warnings
from collections.abc import Sequence
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

MAX_CHAIN = 10
MAX_RECORDS = 50  # of one host that are looked at

_TRUST_ANCHOR = 2
_END_ENTITY = 3
_UNREADABLE = (  # all that a hostile certificate can lead to
    ValueError,
    TypeError,
    InvalidSignature,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


class TlsaRecord(NamedTuple):
    """RFC 6698 2.1."""

    usage: int
    selector: int
    matching: int
    data: bytes


def usable(records: Sequence[TlsaRecord]) -> list[TlsaRecord]:
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
    ][:MAX_RECORDS]


def matches(chain: Sequence[bytes], records: Sequence[TlsaRecord], names: Sequence[str], now: float) -> bool:
    """Whether a chain (DER, the server's own first) is vouched for. `names`: what the server may be called.

    `now` is in seconds since 1970. What cannot be read vouches for nothing.
    """
    leaf, *others = [_read(each) for each in chain[:MAX_CHAIN]] or [None]
    if leaf is None:
        return False
    records = usable(records)
    if any(_fits(leaf, record) for record in records if record.usage == _END_ENTITY):
        return True  # RFC 7672 3.1.1: neither names nor dates matter
    anchors = [record for record in records if record.usage == _TRUST_ANCHOR]
    if not anchors:
        return False
    path = _path(leaf, [each for each in others if each is not None], names, now)
    possible = path if _signs_itself(leaf) else path[1:]
    return any(_fits(certificate, record) for certificate in possible for record in anchors)


def _read(certificate: bytes) -> x509.Certificate | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an odd certificate is the peer's matter
            return x509.load_der_x509_certificate(certificate)
    except _UNREADABLE:
        return None


def _path(
    leaf: x509.Certificate, others: Sequence[x509.Certificate], names: Sequence[str], now: float
) -> list[x509.Certificate]:
    """RFC 7672 3.1.2: the leaf, what signed it, what signed that; as far as all is well, the name included.

    Servers send certificates too many or out of order (RFC 8446 4.4.2), so each issuer is searched for.
    """
    names = [name for name in names if has_name(leaf, [name])]
    path: list[x509.Certificate] = []
    upper: x509.Certificate | None = leaf if _is_current(leaf, now) else None
    while upper is not None and names:
        path.append(upper)
        upper = next(
            (each for each in others if each not in path and _is_current(each, now) and _issued(path, each)), None
        )
        names = [name for name in names if upper is not None and _permits(upper, name)]
    return path


def _signs_itself(certificate: x509.Certificate) -> bool:
    try:
        return certificate.issuer == certificate.subject
    except _UNREADABLE:
        return False


def _is_current(certificate: x509.Certificate, now: float) -> bool:
    try:
        return certificate.not_valid_before_utc.timestamp() <= now <= certificate.not_valid_after_utc.timestamp()
    except _UNREADABLE:
        return False


def _issued(path: Sequence[x509.Certificate], issuer: x509.Certificate) -> bool:
    """Whether `issuer` signed the last of the path, and may sign (RFC 5280 6.1.4 k to n)."""
    try:
        constraints = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
        if not constraints.ca or (constraints.path_length is not None and len(path) - 1 > constraints.path_length):
            return False
        for extension in issuer.extensions:
            if isinstance(extension.value, x509.KeyUsage) and not extension.value.key_cert_sign:
                return False
        path[-1].verify_directly_issued_by(issuer)
    except _UNREADABLE:
        return False
    return True


def _permits(issuer: x509.Certificate, name: str) -> bool:
    """Whether the issuer may speak for hosts of that name (RFC 5280 4.2.1.10)."""
    try:
        found = [each.value for each in issuer.extensions if isinstance(each.value, x509.NameConstraints)]
        for limits in found:
            inside = [each for each in limits.permitted_subtrees or () if isinstance(each, x509.DNSName)]
            outside = [each for each in limits.excluded_subtrees or () if isinstance(each, x509.DNSName)]
            if (inside and not _is_below(name, inside)) or _is_below(name, outside):
                return False
    except _UNREADABLE:
        return False
    return True


def _is_below(name: str, trees: Sequence[x509.DNSName]) -> bool:
    name = "." + name.lower().rstrip(".")
    return any(name.endswith("." + tree.value.lower().lstrip(".")) or not tree.value for tree in trees)


def _fits(certificate: x509.Certificate, record: TlsaRecord) -> bool:
    try:
        if record.selector == 0:
            data = certificate.public_bytes(Encoding.DER)
        else:
            data = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except _UNREADABLE:
        return False
    if record.matching:
        data = hashlib.new("sha256" if record.matching == 1 else "sha512", data).digest()
    return hmac.compare_digest(data, record.data)


def has_name(certificate: x509.Certificate, names: Sequence[str]) -> bool:
    """Whether the certificate is for one of the names (RFC 6125 6.4; a star stands for the leftmost label)."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        subjects = [name.lower() for name in extension.value.get_values_for_type(x509.DNSName)]
    except _UNREADABLE:
        return False
    wanted = [name.lower().rstrip(".") for name in names]
    return any(
        one == each or (each[:2] == "*." and one.partition(".")[2] == each[2:]) for one in wanted for each in subjects
    )
