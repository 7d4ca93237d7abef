"""A self-signed certificate, for trying things out and until a real one is configured."""

import datetime
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.x509 import GeneralName

_LIFETIME = datetime.timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """A certificate chain and its private key, both PEM."""

    certificate: Path
    key: Path


def self_signed(folder: Path, names: Sequence[str], now: datetime.datetime) -> CertificateFiles:
    """The self-signed certificate in `folder`, made for `names` (host names and addresses) when there is none yet."""
    files = CertificateFiles(folder / "certificate.pem", folder / "key.pem")
    if files.certificate.exists() and files.key.exists():
        return files
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    certificate, key = _make(names, now)
    # The key first: a certificate that stands there always has its key.
    write_private(files.key, key)
    write_private(files.certificate, certificate, 0o644)
    return files


def write_private(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace a file: after a crash it is the old or the new, whole. Raises OSError."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        scratch.rename(path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


def _make(names: Sequence[str], now: datetime.datetime) -> tuple[bytes, bytes]:
    # Imported here: 80 ms that a server with a certificate of its own need not spend.
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        # Marked as an authority, so that clients can be told to trust just this one.
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    return certificate.public_bytes(pem), key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)


def _general_name(name: str) -> "GeneralName":
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name.encode("idna").decode() if not name.isascii() else name)
