"""The digest that a body is kept under, and that each read of a whole message compares.

It is there to find what a disk has changed; nobody who writes mail gains by two bodies of one digest, for nothing is
ever found by it. So it is XXH3 of 128 bits (xxhash): at 4 KiB 0.1 us where SHA-256 takes 2.3, at 100 KiB 1 us and not
50. Its output has been fixed since xxHash 0.8. Records of before it have a SHA-256.
"""

import hashlib
from typing import Protocol

from xxhash import xxh3_128

DIGEST_OCTETS = 16


class ContentHasher(Protocol):
    """As those of hashlib."""

    def update(self, data: bytes, /) -> None:
        """Take more octets."""

    def digest(self) -> bytes:
        """The digest of all that was taken."""


def new_digest(data: bytes = b"") -> ContentHasher:
    """A hasher of the kind that is used for what is written now. `data` is taken at once."""
    return xxh3_128(data)


def digest_of(data: bytes | bytearray | memoryview, known: bytes) -> bytes:
    """The digest of `data`, of the same kind as `known`."""
    return xxh3_128(data).digest() if len(known) == DIGEST_OCTETS else hashlib.sha256(data).digest()


def hasher_like(known: bytes) -> ContentHasher:
    """A hasher of the same kind as the digest `known`."""
    return xxh3_128() if len(known) == DIGEST_OCTETS else hashlib.sha256()
