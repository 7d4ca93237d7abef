"""What a client asks for of a message: parts by number, headers, single fields, decoded contents."""

import binascii
import re
from collections.abc import Collection, Sequence

from posthouse.message.header import field_spans
from posthouse.message.mime.part import Part

_TRAILING_SPACE = re.compile(rb"(?<![ \t])[ \t]++(?=\r?\n|\Z)")
_NOT_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"))
_PLAIN_ENCODINGS = (b"7bit", b"8bit", b"binary", b"")
_KNOWN_ENCODINGS = (*_PLAIN_ENCODINGS, b"base64", b"quoted-printable")


class UnknownEncodingError(ValueError):
    """A Content-Transfer-Encoding that we cannot undo."""


def section(root: Part, numbers: Sequence[int]) -> Part | None:
    """The part of that number (RFC 9051 6.4.5.1). A message that is no multipart has one part: what it is itself."""
    part = root
    whole = True  # the root of a message, as against a part that was named
    for number in numbers:
        if part.is_message and not whole:
            part, whole = part.parts[0], True
        if part.is_multipart and part.parts:
            if number > len(part.parts):
                return None
            part, whole = part.parts[number - 1], False
        elif number == 1 and part.is_multipart:
            part, whole = Part(part.end, part.end, part.end), False  # the empty one that BODYSTRUCTURE has
        elif whole and number == 1:
            whole = False
        else:
            return None
    return part


def select_fields(header: bytes, names: Collection[bytes], exclude: bool) -> bytes:
    """The fields of these names (in capitals), or all others, and the empty line (RFC 9051 6.4.5, HEADER.FIELDS)."""
    kept = bytearray()  # not a list of fields: of a header made to be hard there are hundreds of thousands
    for start, _, end in field_spans(header, bare_lf=True):
        line = header[start:end]
        if line in (b"\r\n", b"\n"):
            break
        name = line.partition(b":")[0].strip().upper()
        if (name in names) is not exclude:
            kept += line if line.endswith(b"\n") else line + b"\r\n"
    kept += b"\r\n"
    return bytes(kept)


def decoded(data: bytes, part: Part) -> bytes:
    """The contents of a part as its author meant them (RFC 2045 6, RFC 3516). Raises UnknownEncodingError."""
    octets = data[part.body : part.end]
    encoding = part.encoding.lower()
    if encoding in _PLAIN_ENCODINGS or part.is_multipart:
        return octets
    if not can_decode(part):
        raise UnknownEncodingError(f"unknown encoding {encoding!r}")
    if encoding == b"base64":
        return _base64(octets)
    return _quoted_printable(octets)


def can_decode(part: Part) -> bool:
    """Whether decoded() knows the encoding of a part."""
    return part.is_multipart or part.encoding.lower() in _KNOWN_ENCODINGS


def _base64(octets: bytes) -> bytes:
    """What can be decoded; other octets are passed over (RFC 2045 6.8), and what stands behind the padding too."""
    digits = octets.partition(b"=")[0].translate(None, _NOT_BASE64)
    if len(digits) % 4 == 1:
        digits = digits[:-1]
    return binascii.a2b_base64(digits + b"=" * (-len(digits) % 4))


def _quoted_printable(octets: bytes) -> bytes:
    """RFC 2045 6.7: space at line ends was added on the way, also behind a soft break (rules 3 and 5)."""
    return binascii.a2b_qp(_TRAILING_SPACE.sub(b"", octets))
