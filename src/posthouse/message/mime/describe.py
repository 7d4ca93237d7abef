"""What a part's own header says of it: the Content fields (RFC 2045, 2183, 3282, 2557)."""

import re

from posthouse.message.header import fields_named, find_named
from posthouse.message.mime.fields import Scanner, parameters, unfolded
from posthouse.message.mime.part import DEFAULT_PARAMETERS, Part

_MAX_HEADER = 1 << 20  # octets of a header in which they are looked for
_MAX_LANGUAGES = 50
_FIELDS = fields_named(rb"content-[a-z0-9-]++")
_ENCODING = re.compile(rb"[^\x00-\x20()<>@,;:\\\"/\[\]?=\x7f]+")


def describe(part: Part, header: bytes) -> None:
    """Take up the Content fields; the first of each name counts."""
    seen: set[bytes] = set()
    for name, raw in find_named(_FIELDS, header[:_MAX_HEADER]):
        if name not in seen:
            seen.add(name)
            _take(part, name, raw)


def _take(part: Part, name: bytes, raw: bytes) -> None:
    if name == b"content-type":
        _type(part, raw)
    elif name == b"content-transfer-encoding":
        found = _ENCODING.match(unfolded(raw))
        part.encoding = found.group() if found else part.encoding
    elif name == b"content-id":
        part.id = unfolded(raw)
    elif name == b"content-description":
        part.description = unfolded(raw)
    elif name == b"content-disposition":  # RFC 2183 2
        scanner = Scanner(raw)
        part.disposition = scanner.token() or None
        part.disposition_params = parameters(scanner) if part.disposition else ()
    elif name == b"content-language":
        part.language = _languages(raw)
    elif name == b"content-location":
        part.location = b"".join(unfolded(raw).split())  # RFC 2557 4.4.2: folds are no part of a URI
    elif name == b"content-md5":
        part.md5 = unfolded(raw)


def _type(part: Part, raw: bytes) -> None:
    scanner = Scanner(raw)
    kind = scanner.token()
    if not kind or not scanner.takes(47):
        return  # RFC 2045 5.2: what cannot be read is text/plain
    subtype = scanner.token()
    if not subtype:
        return
    part.type, part.subtype = kind, subtype
    part.params = parameters(scanner)
    if kind.lower() == b"text" and part.param(b"charset") is None:
        part.params = (*part.params, *DEFAULT_PARAMETERS)


def _languages(raw: bytes) -> tuple[bytes, ...]:
    """RFC 3282 2."""
    scanner = Scanner(raw)
    found: list[bytes] = []
    while len(found) < _MAX_LANGUAGES and (tag := scanner.token()):
        found.append(tag)
        if not scanner.takes(44):
            break
    return tuple(found)
