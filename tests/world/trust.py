"""Certificates of the world's own authority, and what DANE says of them."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


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
        self._ca = trustme.CA()
        self.roots = folder / "roots.pem"
        self._ca.cert_pem.write_to_path(str(self.roots))

    def issue(self, *names: str) -> Certificate:
        """A certificate for these host names."""
        issued = self._ca.issue_cert(*names)
        base = self._folder / names[0]
        made = Certificate(base.with_name(f"{names[0]}.chain"), base.with_name(f"{names[0]}.key"), base)
        made.chain.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        made.key.write_bytes(issued.private_key_pem.bytes())
        made.both.write_bytes(made.key.read_bytes() + made.chain.read_bytes())
        for path in (made.chain, made.key, made.both):
            path.chmod(0o644)  # no secret: Exim reads its key as a user without rights
        return made


WRONG_TLSA = "3 1 1 " + "00" * 32
