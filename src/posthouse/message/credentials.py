"""What proves a login, as values: SCRAM keys and the preparation of names and passwords."""

import hashlib
import hmac
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ScramKeys:
    """What a server keeps to check SCRAM-SHA-256 without knowing the password (RFC 5802 3, RFC 7677)."""

    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes

    @classmethod
    def derive(cls, password: str, salt: bytes, iterations: int) -> "ScramKeys":
        """Compute the keys from a prepared password. Slow by intent: never on the event loop."""
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        server_key = hmac.digest(salted, b"Server Key", "sha256")
        return cls(salt, iterations, hashlib.sha256(client_key).digest(), server_key)
