"""tls-server-end-point, against what an X.509 library says of the same certificates."""

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from posthouse.net.channel_binding import server_end_point

NOW = datetime.datetime(2026, 11, 24, tzinfo=datetime.UTC)
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())


def signed(key: object, algorithm: hashes.HashAlgorithm | None, pss: bool = False) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())  # type: ignore[attr-defined]
        .serial_number(1 << 150)
        .not_valid_before(NOW)
        .not_valid_after(NOW + datetime.timedelta(days=1))
    )
    if pss:
        assert algorithm is not None
        filler = padding.PSS(mgf=padding.MGF1(algorithm), salt_length=padding.PSS.DIGEST_LENGTH)
        return builder.sign(key, algorithm, rsa_padding=filler)  # type: ignore[arg-type]
    return builder.sign(key, algorithm)  # type: ignore[arg-type]


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


@pytest.mark.parametrize("algorithm", [hashes.SHA224(), hashes.SHA256(), hashes.SHA384(), hashes.SHA512()])
@pytest.mark.parametrize("kind", ["rsa", "pss", "ec"])
def test_the_hash_of_the_signature(algorithm: hashes.HashAlgorithm, kind: str) -> None:
    certificate = signed(EC if kind == "ec" else RSA, algorithm, pss=kind == "pss")
    assert server_end_point(pem(certificate)) == certificate.fingerprint(algorithm)


@pytest.mark.parametrize(
    ("strong", "weak"),
    [
        ("2a864886f70d01010b", "2a864886f70d010105"),  # sha1WithRSAEncryption
        ("2a864886f70d01010b", "2a864886f70d010104"),  # md5WithRSAEncryption
    ],
)
def test_weak_hashes_give_way_to_sha256(strong: str, weak: str) -> None:
    der = signed(RSA, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    forged = der.replace(bytes.fromhex(strong), bytes.fromhex(weak))
    assert forged != der
    digest = hashes.Hash(hashes.SHA256())
    digest.update(forged)
    import ssl

    assert server_end_point(ssl.DER_cert_to_PEM_cert(forged)) == digest.finalize()


def test_none_for_signatures_without_a_hash() -> None:
    assert server_end_point(pem(signed(ed25519.Ed25519PrivateKey.generate(), None))) is None


def test_the_first_of_a_chain_counts_whatever_stands_around_it() -> None:
    leaf, other = signed(EC, hashes.SHA256()), signed(RSA, hashes.SHA384())
    chain = "Subject: localhost\r\n" + pem(leaf) + "\nthe issuer\n" + pem(other)
    assert server_end_point(chain) == leaf.fingerprint(hashes.SHA256())
