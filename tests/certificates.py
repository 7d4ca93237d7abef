"""Certificate chains of every kind, good ones and those that a hostile server would show."""

import datetime
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
DAY = datetime.timedelta(days=1)
_SIGNS = x509.KeyUsage(False, False, False, False, False, True, True, False, False)


@dataclass(frozen=True)
class Issued:
    """One certificate with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def public(self) -> bytes:
        """Its SubjectPublicKeyInfo."""
        return self.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def authority(
    name: str = "root",
    signer: Issued | None = None,
    *,
    ca: bool = True,
    path_length: int | None = None,
    usage: x509.KeyUsage = _SIGNS,
    limits: x509.NameConstraints | None = None,
    days: tuple[int, int] = (-2, 300),
) -> Issued:
    """An authority; without a `signer` it signs itself. `days`: valid from and until, from today."""
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=ca, path_length=path_length), True),
        (usage, True),
    ]
    if limits is not None:
        extensions.append((limits, True))
    return _issue(name, signer, extensions, days)


def leaf(signer: Issued | None, *names: str, days: tuple[int, int] = (-1, 30), subject: str = "leaf") -> Issued:
    """A server's certificate for these host names; without a `signer` it signs itself."""
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
    ]
    if names:
        extensions.append((x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False))
    return _issue(subject, signer, extensions, days)


def _issue(
    name: str, signer: Issued | None, extensions: list[tuple[x509.ExtensionType, bool]], days: tuple[int, int]
) -> Issued:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    above = signer.key if signer else key
    builder = x509.CertificateBuilder(
        signer.certificate.subject if signer else subject, subject, key.public_key(), x509.random_serial_number()
    )
    builder = builder.not_valid_before(NOW + days[0] * DAY).not_valid_after(NOW + days[1] * DAY)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(above.public_key()), critical=False
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return Issued(builder.sign(above, hashes.SHA256()), key)
