"""What the certificate that is served has to do with DNS: who may issue the next one, and what DANE says of it."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from posthouse.app.commands.dns_records import DnsRecord

# What stands as the organisation of an issuer, and the name by which it looks for itself in CAA records (RFC 8659).
_AUTHORITIES = {
    "Let's Encrypt": "letsencrypt.org",
    "Google Trust Services": "pki.goog",
    "ZeroSSL": "sectigo.com",
    "Sectigo Limited": "sectigo.com",
    "DigiCert Inc": "digicert.com",
    "GlobalSign nv-sa": "globalsign.com",
    "Buypass AS-983163327": "buypass.com",
}


def load_certificate(path: Path) -> x509.Certificate | None:
    """The first certificate of a PEM file; None when there is none to read."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        return None


def certificate_records(hostname: str, certificate: x509.Certificate, *, smtp: bool) -> Iterator[DnsRecord]:
    """Records of the host; both are optional. `smtp`: mail from other servers is accepted."""
    issuer = [str(name.value) for name in certificate.issuer.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    for authority in dict.fromkeys(_AUTHORITIES[name] for name in issuer if name in _AUTHORITIES):
        purpose = f"CAA: no other authority than {authority}, which the certificate is of, issues one for this host."
        yield DnsRecord(hostname, "CAA", f'0 issue "{authority}"', purpose)
    if smtp:
        spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        # RFC 7672 3.1: DANE-EE(3) SPKI(1) SHA2-256(1) is what mail servers should publish.
        yield DnsRecord(
            f"_25._tcp.{hostname}",
            "TLSA",
            f"3 1 1 {hashlib.sha256(spki).hexdigest()}",
            "DANE: other servers send to this key alone. Only in a zone that is signed by DNSSEC, and only if the key"
            " stays the same when the certificate is renewed (certbot: --reuse-key); else mail stops coming.",
        )
