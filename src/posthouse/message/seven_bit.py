"""An 8-bit message made fit for a server without 8BITMIME (RFC 6152 3), or without room for long lines.

Walks the MIME structure by hand and codes anew only the leaves that need it: text as quoted-printable, the rest as
base64. Everything else keeps its octets. What a signature covers must not be touched (RFC 1847 2.1), and what has no
MIME header cannot be labelled: then there is no way.
"""

import base64
import binascii
import re

from posthouse.message.header import header_end

MAX_DEPTH = 50
MAX_PARTS = 5000
_LINE = 998  # octets, RFC 5322 2.1.1

_FIELD = re.compile(rb"[^\r\n]*(?:\r?\n[ \t][^\r\n]*)*(?:\r?\n|$)")
_BOUNDARY = re.compile(rb';\s*boundary\s*=\s*(?:"((?:[^"\\\r\n]|\\.)*)"|([^\s;"]+))', re.IGNORECASE)


class _HopelessError(Exception):
    """It cannot be done."""


def to_seven_bit(message: bytes) -> bytes | None:
    """The message in 7-bit form with CRLF lines of at most 998 octets; None when that cannot or must not be done."""
    try:
        return _Walk().convert(message, 0)
    except _HopelessError:
        return None


class _Walk:
    def __init__(self) -> None:
        self._parts = 0

    def convert(self, entity: bytes, depth: int) -> bytes:
        """One entity: header and body."""
        self._parts += 1
        if depth > MAX_DEPTH or self._parts > MAX_PARTS:
            raise _HopelessError
        if _is_plain(entity):
            return entity
        end = header_end(entity)
        head, body = entity[:end], entity[end:]
        if not _is_plain(head):  # RFC 6532 headers, or broken ones
            raise _HopelessError
        kind, parameters = _content_type(head)
        if kind in (b"multipart/signed", b"multipart/encrypted"):
            raise _HopelessError
        if depth == 0 and not _value(head, b"mime-version"):
            raise _HopelessError
        if kind.startswith(b"multipart/"):
            return _with_coding(head, b"7bit") + self._convert_parts(body, parameters, depth)
        if kind == b"message/rfc822":
            return _with_coding(head, b"7bit") + self.convert(body, depth + 1)
        if kind.startswith(b"message/"):
            raise _HopelessError
        return _leaf(head, body, kind)

    def _convert_parts(self, body: bytes, parameters: bytes, depth: int) -> bytes:
        match = _BOUNDARY.search(parameters)
        if match is None:
            raise _HopelessError
        boundary = re.sub(rb"\\(.)", rb"\1", match[1]) if match[1] is not None else match[2]
        # RFC 2046 5.1.1: the CRLF before a delimiter belongs to it.
        delimiter = re.compile(rb"(?:\A|\r\n)--" + re.escape(boundary) + rb"(--)?[ \t]*(?=\r\n|\Z)")
        out, at, inside = [], 0, False
        for found in delimiter.finditer(body):
            piece = body[at : found.start()]
            out.append(self._piece(piece, depth) if inside else _must_be_plain(piece))
            out.append(found[0])
            at, inside = found.end(), found[1] is None
            if found[1] is not None:
                break
        rest = body[at:]
        out.append(self._piece(rest, depth) if inside else _must_be_plain(rest))
        return b"".join(out)

    def _piece(self, piece: bytes, depth: int) -> bytes:
        """A part behind its delimiter, whose line end comes first."""
        if not piece.startswith(b"\r\n"):
            return _must_be_plain(piece)
        return b"\r\n" + self.convert(piece[2:], depth + 1)


def _is_plain(data: bytes) -> bool:
    if not data.isascii() or b"\0" in data:
        return False
    lines = data.split(b"\r\n")
    return max(map(len, lines)) <= _LINE and b"\n" not in b"".join(lines) and b"\r" not in b"".join(lines)


def _must_be_plain(data: bytes) -> bytes:
    """Preambles and epilogues have no coding: 8-bit ones are dropped, nobody sees them."""
    return data if _is_plain(data) else b"\r\n" if data.startswith(b"\r\n") else b""


def _leaf(head: bytes, body: bytes, kind: bytes) -> bytes:
    coding = _value(head, b"content-transfer-encoding").lower() or b"7bit"
    if coding not in (b"7bit", b"8bit", b"binary"):
        raise _HopelessError  # coded already, and yet not plain: broken
    if kind.startswith(b"text/") and b"\0" not in body:
        return _with_coding(head, b"quoted-printable") + _quoted_printable(body)
    coded = base64.b64encode(body)
    lines = [coded[at : at + 76] for at in range(0, len(coded), 76)]
    return _with_coding(head, b"base64") + b"\r\n".join([*lines, b""])


def _quoted_printable(body: bytes) -> bytes:
    """Line by line (RFC 2045 6.7). Line ends stay line ends; a bare CR or LF is an octet like any other."""
    return b"\r\n".join(_quoted_line(line) for line in body.split(b"\r\n"))


def _quoted_line(line: bytes) -> bytes:
    # Not as text, so that bare breaks and a space at the end are coded too.
    return binascii.b2a_qp(line, istext=False).replace(b"=\n", b"=\r\n")


def _content_type(head: bytes) -> tuple[bytes, bytes]:
    """The type in lower case, and the whole value. RFC 2045 5.2: text/plain without one."""
    value = _value(head, b"content-type")
    kind = value.partition(b";")[0].strip().lower()
    return (kind or b"text/plain"), value


def _value(head: bytes, name: bytes) -> bytes:
    for match in _FIELD.finditer(head):
        found, colon, value = match[0].partition(b":")
        if colon and found.strip().lower() == name:
            return re.sub(rb"\r?\n[ \t]", b" ", value).strip()
        if not match[0]:
            break
    return b""


def _with_coding(head: bytes, coding: bytes) -> bytes:
    """The header with this Content-Transfer-Encoding, in its old place or at its end."""
    line = b"Content-Transfer-Encoding: " + coding + b"\r\n"
    for match in _FIELD.finditer(head):
        found, colon, _ = match[0].partition(b":")
        if colon and found.strip().lower() == b"content-transfer-encoding":
            return head[: match.start()] + line + head[match.end() :]
        if not match[0]:
            break
    if coding == b"7bit":
        return head
    if head == b"\r\n":
        return line + head
    return head[:-2] + line + head[-2:] if head.endswith(b"\r\n\r\n") else head + line
