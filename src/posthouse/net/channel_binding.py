"""The channel binding that names the server's certificate (RFC 5929 4), without a whole X.509 library in memory."""

import hashlib
import ssl

_CONTEXT_0 = 0xA0

# Signature algorithms that name their hash, as the DER content of their object identifiers.
# RFC 5929 4.1: in place of MD5 and SHA-1, SHA-256.
_SIGNATURES = {
    bytes.fromhex("2a864886f70d010104"): "sha256",  # md5WithRSAEncryption
    bytes.fromhex("2a864886f70d010105"): "sha256",  # sha1WithRSAEncryption
    bytes.fromhex("2a864886f70d01010b"): "sha256",  # sha256WithRSAEncryption
    bytes.fromhex("2a864886f70d01010c"): "sha384",
    bytes.fromhex("2a864886f70d01010d"): "sha512",
    bytes.fromhex("2a864886f70d01010e"): "sha224",
    bytes.fromhex("2a8648ce3d0401"): "sha256",  # ecdsa-with-SHA1
    bytes.fromhex("2a8648ce3d040301"): "sha224",
    bytes.fromhex("2a8648ce3d040302"): "sha256",
    bytes.fromhex("2a8648ce3d040303"): "sha384",
    bytes.fromhex("2a8648ce3d040304"): "sha512",
}
_PSS = bytes.fromhex("2a864886f70d01010a")  # RFC 4055 3.1: its hash stands in its parameters, SHA-1 if absent
_HASHES = {
    bytes.fromhex("608648016503040201"): "sha256",
    bytes.fromhex("608648016503040202"): "sha384",
    bytes.fromhex("608648016503040203"): "sha512",
    bytes.fromhex("608648016503040204"): "sha224",
}


def server_end_point(pem: str) -> bytes | None:
    """The tls-server-end-point binding of the first certificate in `pem`.

    None where RFC 5929 defines none: the signature has no hash function of its own, as with Ed25519.
    """
    first = pem[pem.index("-----BEGIN CERTIFICATE-----") :]
    der = ssl.PEM_cert_to_DER_cert(first[: first.index("-----END CERTIFICATE-----") + 25] + "\n")
    name = _signature_hash(der)
    return hashlib.new(name, der).digest() if name else None


def _signature_hash(der: bytes) -> str | None:
    # RFC 5280 4.1: Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signatureValue }
    _, certificate, _ = _element(der)
    _, _, rest = _element(certificate)
    _, algorithm, _ = _element(rest)
    _, oid, parameters = _element(algorithm)
    if oid != _PSS:
        return _SIGNATURES.get(oid)
    _, fields, _ = _element(parameters)
    if not fields or fields[0] != _CONTEXT_0:
        return "sha256"  # the default is SHA-1, see above
    _, tagged, _ = _element(fields)
    _, chosen, _ = _element(tagged)
    _, oid, _ = _element(chosen)
    return _HASHES.get(oid, "sha256")


def _element(der: bytes) -> tuple[int, bytes, bytes]:
    """The first element of `der`: its tag, its content, and what follows it (X.690 8.1)."""
    length, start = der[1], 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(der[2:start], "big")
    return der[0], der[start : start + length], der[start + length :]
