"""Finds the parts of a message. Never raises, whatever the octets are; the time is linear in their number.

A multipart is cut at its own boundary first, and each piece then scanned by itself: so the boundary of an outer part
ends all that is open within it, closed or not (RFC 2046 5.1.2). What is nested too deep, or comes after too many, stays
a leaf of the type it claims.
"""

import re
from collections.abc import Iterator

from posthouse.message.mime.fields import Scanner, fields, header_end, parameters, unfolded
from posthouse.message.mime.part import DEFAULT_PARAMETERS, Part

MAX_DEPTH = 100
MAX_PARTS = 10_000
_MAX_HEADER = 1 << 20  # octets of a part's header in which its Content fields are looked for
_PEEK = 4096  # octets of a part's header in which a boundary that repeats is looked for
_MAX_REPEATS = 5
_TAIL = re.compile(rb"(--)?[ \t]*(?:\r?\n|\r?\Z)")
_ENCODING = re.compile(rb"[^\x00-\x20()<>@,;:\\\"/\[\]?=\x7f]+")


def scan(data: bytes) -> Part:
    """The tree of a message."""
    return _Scan(data).part(0, len(data), b"text", 0)


class _Scan:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._left = MAX_PARTS

    def part(self, start: int, end: int, default: bytes, depth: int) -> Part:
        """The part in that range. `default`: "text", or "message" within a digest (RFC 2046 5.1.5)."""
        data = self._data
        self._left -= 1
        body = header_end(data, start, end)
        part = Part(start, body, end)
        if default == b"message":
            part.type, part.subtype, part.params = b"message", b"rfc822", ()
        _describe(part, data[start : min(body, start + _MAX_HEADER)])
        part.lines = data.count(b"\n", body, end)
        if depth < MAX_DEPTH and self._left > 0:
            self._open(part, depth)
        return part

    def _open(self, part: Part, depth: int) -> None:
        kind = part.type.lower()
        if kind == b"multipart":
            boundary = part.param(b"boundary")
            if boundary:
                default = b"message" if part.subtype.lower() == b"digest" else b"text"
                for start, end in self._pieces(part, boundary.rstrip(b" \t"), depth):
                    if self._left <= 0:
                        break
                    part.parts.append(self.part(start, end, default, depth + 1))
        elif kind == b"message" and part.subtype.lower() in (b"rfc822", b"global"):
            part.parts.append(self.part(part.body, part.end, b"text", depth + 1))

    def _pieces(self, part: Part, boundary: bytes, depth: int) -> Iterator[tuple[int, int]]:
        """Where the parts are, between the lines of the boundary (RFC 2046 5.1.1)."""
        start = -1
        inner = 0  # multiparts within that go by the same boundary: the innermost that is open owns a line of it
        for at, behind, closing in self._delimiters(part, boundary):
            if inner:
                inner += -1 if closing else self._repeats(behind, part.end, boundary, depth)
                continue
            if start >= 0:
                yield start, max(start, at)
            if closing:
                return
            start = behind
            inner = self._repeats(behind, part.end, boundary, depth)
        if start >= 0:
            yield start, part.end

    def _repeats(self, start: int, end: int, boundary: bytes, depth: int) -> bool:
        """Whether the part that starts here is a multipart with that same boundary, as some programs write."""
        if depth >= _MAX_REPEATS:  # each level looks at all lines of the boundary
            return False
        end = min(end, start + _PEEK)
        if self._data.find(boundary, start, end) < 0:
            return False
        part = Part(start, header_end(self._data, start, end), end)
        _describe(part, self._data[start : part.body])
        return part.is_multipart and (part.param(b"boundary") or b"").rstrip(b" \t") == boundary

    def _delimiters(self, part: Part, boundary: bytes) -> Iterator[tuple[int, int, bool]]:
        """(where the line end before it starts, behind it, whether it is the last)."""
        data, mark = self._data, b"--" + boundary
        at = part.body
        while True:
            at = data.find(mark, at, part.end)
            if at < 0:
                return
            tail = _TAIL.match(data, at + len(mark), part.end)
            if tail is None or (at > part.body and data[at - 1] != 10):
                at += len(mark) if tail is None else 1
                continue
            before = at
            if at > part.body:
                before -= 2 if data[at - 2 : at] == b"\r\n" and at - 2 >= part.body else 1
            yield before, tail.end(), tail.group(1) is not None
            at = tail.end()


def _describe(part: Part, header: bytes) -> None:
    """Take up the Content fields; the first of each name counts."""
    seen: set[bytes] = set()
    for name, raw in fields(header):
        if not name.startswith(b"content-") or name in seen:
            continue
        seen.add(name)
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
    scanner = Scanner(raw)
    found: list[bytes] = []
    while len(found) < 50 and (tag := scanner.token()):
        found.append(tag)
        if not scanner.takes(44):
            break
    return tuple(found)
