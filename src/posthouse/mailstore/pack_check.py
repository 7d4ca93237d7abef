"""Compares a record in a pack with what the database says of it."""

import os

from posthouse.mailstore.digests import hasher_like
from posthouse.mailstore.records import HEADER_OCTETS, crc_of, parse_header

_CHUNK = 1024 * 1024


def damage_of(fd: int, offset: int, prefixes: int, octets: int, digest: bytes, identity: int) -> str:
    """What is wrong with the record at `offset`; "" when nothing is. Reads all of it. Raises OSError."""
    start = os.pread(fd, HEADER_OCTETS + prefixes, offset)
    header = parse_header(start)
    if header is None:
        return "there is no record where it should be"
    if (header.prefixes, header.body) != (prefixes, octets):
        return "the record there has other lengths"
    if crc_of(start, memoryview(start)[HEADER_OCTETS:]) != header.crc:
        return "the trace headers are damaged"
    if header.identity != identity:
        return "the record there is another one"
    if header.digest != digest:
        return "the record there is of another body"
    if _hash(fd, offset + HEADER_OCTETS + prefixes, octets, digest) != digest:
        return "the body is damaged"
    return ""


def _hash(fd: int, offset: int, octets: int, known: bytes) -> bytes:
    hasher = hasher_like(known)
    while octets > 0:
        chunk = os.pread(fd, min(octets, _CHUNK), offset)
        if not chunk:  # the file is too short: what is missing makes the digest wrong
            break
        hasher.update(chunk)
        offset += len(chunk)
        octets -= len(chunk)
    return hasher.digest()
