"""MIME: the tree of a message's parts, what their fields say, and the octets of each (RFC 2045-2049)."""

from posthouse.message.mime.part import Part
from posthouse.message.mime.scan import scan
from posthouse.message.mime.sections import (
    UnknownEncodingError,
    can_decode,
    decoded,
    section,
    select_fields,
)
from posthouse.message.mime.structure import body, body_structure, envelope

__all__ = [
    "Part",
    "UnknownEncodingError",
    "body",
    "body_structure",
    "can_decode",
    "decoded",
    "envelope",
    "scan",
    "section",
    "select_fields",
]
