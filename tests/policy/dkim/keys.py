"""Keys for tests, made once, and the records their verifiers find."""

from functools import cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from posthouse.message.signing import SigningKey
from posthouse.policy.dkim.keys import public_record

DOMAIN = "example.test"
NOW = 1_700_000_000  # in the past for every verifier


def der(key: RSAPrivateKey | Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


@cache
def rsa_key(bits: int = 2048) -> SigningKey:
    return SigningKey(DOMAIN, "ph2026r", "rsa-sha256", der(generate_private_key(65537, bits)))


@cache
def ed25519_key() -> SigningKey:
    return SigningKey(DOMAIN, "ph2026e", "ed25519-sha256", der(Ed25519PrivateKey.generate()))


def records() -> dict[str, str]:
    """Name -> TXT, for both keys."""
    return {f"{key.selector}._domainkey.{key.domain}": public_record(key) for key in (rsa_key(), ed25519_key())}
