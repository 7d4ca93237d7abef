"""What a domain signs its mail with, as a value."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A DKIM key pair of a domain (RFC 6376 3.1); its public half stands in DNS at selector._domainkey.domain."""

    domain: str  # A-labels, lower case
    selector: str
    algorithm: str  # "rsa-sha256" or "ed25519-sha256"
    private: bytes = field(repr=False)  # PKCS #8, DER; kept out of logs
