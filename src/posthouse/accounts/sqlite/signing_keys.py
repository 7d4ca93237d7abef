"""The keys that domains sign their mail with: made, kept and read."""

import datetime
from collections.abc import Callable
from itertools import chain, count

import apsw

from posthouse.message.signing import SigningKey

NewKey = Callable[[str], bytes]  # algorithm -> a fresh private key, PKCS #8, DER

# One key of each: not every verifier knows Ed25519 (RFC 8463 5). The letter ends the selector.
_LETTERS = {"rsa-sha256": "r", "ed25519-sha256": "e"}


def generated(algorithm: str) -> bytes:
    """Make a private key. RSA takes some 50 ms, in bad luck 300."""
    # cryptography is slow to import, and only a new domain needs it.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    # RFC 8301 3.2: 2048 bits
    make = Ed25519PrivateKey.generate if algorithm == "ed25519-sha256" else lambda: generate_private_key(65537, 2048)
    return make().private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def keys_of(connection: apsw.Connection, domain: str) -> tuple[SigningKey, ...]:
    """The keys of the domain with this key, oldest first, RSA before Ed25519 of the same second."""
    statement = (
        "SELECT domain, selector, algorithm, private FROM dkim_keys WHERE domain = ?"
        " ORDER BY created, algorithm DESC, selector"
    )
    return tuple(SigningKey(*row) for row in connection.execute(statement, (domain,)))


def add_missing(connection: apsw.Connection, domain: str, now: int, new_key: NewKey) -> None:
    """Give the domain a key of each algorithm it has none of. Inside a transaction."""
    known = keys_of(connection, domain)
    selectors = {key.selector for key in known}
    for algorithm in _LETTERS.keys() - {key.algorithm for key in known}:
        selector = _selector(algorithm, now, selectors)
        connection.execute(
            "INSERT INTO dkim_keys VALUES (?, ?, ?, ?, ?)", (domain, selector, algorithm, new_key(algorithm), now)
        )


def remove_keys(connection: apsw.Connection, domain: str) -> None:
    """Remove the keys of a domain and of those that repeat it, before they go themselves."""
    connection.execute(
        "DELETE FROM dkim_keys WHERE domain = ?1 OR domain IN (SELECT key FROM domains WHERE alias_of = ?1)", (domain,)
    )


def _selector(algorithm: str, now: int, taken: set[str]) -> str:
    """The year and a letter, as in "ph2026r"; with a number where that is taken."""
    year = datetime.datetime.fromtimestamp(now, datetime.UTC).year
    plain = f"ph{year}{_LETTERS[algorithm]}"
    names = chain([plain], (f"{plain}{number}" for number in count(2)))
    return next(name for name in names if name not in taken)
