"""Keys read from what the directory keeps, and the record that tells the world their public half."""

from base64 import b64encode

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_private_key

from posthouse.message.signing import SigningKey

MIN_RSA = 2048  # bits; RFC 8301 3.2


class UnusableKeyError(Exception):
    """The key cannot be read, is of another kind than it says, or is too short."""


def private_key(key: SigningKey) -> RSAPrivateKey | Ed25519PrivateKey:
    """The key, ready to sign. Raises UnusableKeyError. 20 us."""
    try:
        # The check that is skipped takes 35 ms, and is for keys of others: these are from our own directory.
        private = load_der_private_key(key.private, None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UnusableKeyError(f"the key {key.selector} of {key.domain} cannot be read: {error}") from error
    if key.algorithm == "rsa-sha256" and isinstance(private, RSAPrivateKey):
        if private.key_size < MIN_RSA:
            raise UnusableKeyError(f"the key {key.selector} of {key.domain} has less than {MIN_RSA} bits")
        return private
    if key.algorithm == "ed25519-sha256" and isinstance(private, Ed25519PrivateKey):
        return private
    raise UnusableKeyError(f"the key {key.selector} of {key.domain} is none for {key.algorithm}")


def public_record(key: SigningKey) -> str:
    """The text of the TXT record at selector._domainkey.domain (RFC 6376 3.6.1). Raises UnusableKeyError."""
    private = private_key(key)
    if isinstance(private, RSAPrivateKey):
        public = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return f"v=DKIM1; k=rsa; p={b64encode(public).decode()}"
    public = private.public_key().public_bytes_raw()  # RFC 8463 4: the bare key, without a wrapping
    return f"v=DKIM1; k=ed25519; p={b64encode(public).decode()}"
