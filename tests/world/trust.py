"""Certificates of the world's own authority, made as the public authorities make them, and what DANE says of them.

trustme marks as critical what those never do, and a verifier that follows the CA/Browser Forum may refuse that.
"""

import datetime
import hashlib
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

WRONG_TLSA = "3 1 1 " + "00" * 32
_DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Certificate:
    """PEM files: the chain, the private key, and both in one."""

    chain: Path
    key: Path
    both: Path

    @property
    def tlsa(self) -> str:
        """The record's data, DANE-EE over the public key (RFC 7672 3.1.1)."""
        certificate = x509.load_pem_x509_certificate(self.chain.read_bytes())
        public = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return f"3 1 1 {hashlib.sha256(public).hexdigest()}"


class Trust:
    """One certificate authority; `roots` is its PEM file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._folder.mkdir()
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named("The world's authority")
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        unsigned = (
            _certificate(self._name, self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
        )
        self.roots = folder / "roots.pem"
        self.roots.write_bytes(unsigned.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))

    def issue(self, *names: str) -> Certificate:
        """A certificate for these host names."""
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        unsigned = (
            _certificate(_named(names[0]), self._name, key.public_key())
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(issuer, critical=False)
        )
        base = self._folder / names[0]
        made = Certificate(base.with_name(f"{names[0]}.chain"), base.with_name(f"{names[0]}.key"), base)
        made.chain.write_bytes(unsigned.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))
        made.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        made.both.write_bytes(made.key.read_bytes() + made.chain.read_bytes())
        for path in (made.chain, made.key, made.both):
            path.chmod(0o644)  # no secret: Exim reads its key as a user without rights
        return made


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _certificate(subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(issuer, subject, public, x509.random_serial_number())
    return builder.not_valid_before(now - _DAY).not_valid_after(now + 30 * _DAY)
