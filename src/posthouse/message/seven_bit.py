"""An 8-bit message made fit for a server without 8BITMIME (RFC 6152 3), or without room for long lines.

Walks the MIME structure and encodes only the leaves that need it: text as quoted-printable, the rest as
base64. Header lines that are too long are folded, raw 8-bit text in a header becomes encoded-words, and a message
without MIME fields gets them. Everything else keeps its octets, and nothing is ever left out. What a signature covers
must not be touched (RFC 1847 2.1), and what two readers could read in two ways is not guessed at: then there is no way,
and the sender hears of it.
"""

import re

from posthouse.message.coding import MAX_LINE, base64_lines, has_true_breaks, is_seven_bit, quoted_printable
from posthouse.message.edit import placed_fields
from posthouse.message.folding import fold_long
from posthouse.message.header import fields, header_end
from posthouse.message.header_words import NotEncodableError, to_ascii

MAX_DEPTH = 50
MAX_PARTS = 5000
_UNTOUCHABLE = (b"multipart/signed", b"multipart/encrypted")  # RFC 1847
_AS_IT_IS = (b"", b"7bit", b"8bit", b"binary")

_TOKEN = rb"[!#-'*+.0-9A-Z^-~-]++"  # RFC 2045 5.1
_HEAD = re.compile(rb"(?:[!-9;-~]++[ \t]*+:[^\r]*+\r\n(?:[ \t][^\r]*+\r\n)*+)*+\r\n")  # RFC 5322 2.2: fields alone
_KIND = re.compile(rb"[ \t]*(" + _TOKEN + rb"/" + _TOKEN + rb")(?=[ \t;(]|\Z)")
_PARAMETER = re.compile(
    rb"[ \t]*;[ \t]*(" + _TOKEN + rb")[ \t]*=[ \t]*" + rb'(?:"((?:[^"\\]|\\.)*+)"|([^ \t;"]++))', re.DOTALL
)
_BASE64 = re.compile(rb"[A-Za-z0-9+/= \t\r\n]*+")
_NO_QUOTED = re.compile(rb"[\x00\x80-\xff]|\r(?!\n)|(?<!\r)\n")
_QUOTED_PIECE = re.compile(rb"(?:=[0-9A-Fa-f]{2}|[^\r\n]){1,25}")


class _NotConvertibleError(Exception):
    """It cannot be done."""


def to_seven_bit(message: bytes) -> bytes | None:
    """The message in 7-bit form with CRLF lines of at most 998 octets; None when that cannot or must not be done."""
    try:
        converted = _Walk().message(message, 0)
    except _NotConvertibleError:
        return None
    return converted if is_seven_bit(converted) else None


class _Walk:
    def __init__(self) -> None:
        self._parts = 0

    def message(self, message: bytes, depth: int) -> bytes:
        """A message, the outer one or one within: its own MIME-Version makes its labels mean something (RFC 2045 4)."""
        if is_seven_bit(message):
            return message
        head, body = _divided(message)
        if not _value(head, b"mime-version") and not is_seven_bit(body):
            head = _labelled(head, body)
        return self._entity(head + body, depth, b"text/plain")

    def _entity(self, entity: bytes, depth: int, usual: bytes) -> bytes:
        """Header and body of a message or part; `usual` is its type when it names none."""
        self._parts += 1
        if depth > MAX_DEPTH or self._parts > MAX_PARTS:
            raise _NotConvertibleError
        if is_seven_bit(entity):
            return entity
        head, body = _divided(entity)
        if is_seven_bit(body):
            return head + body
        kind, value = _content_type(head, usual)
        coding = _value(head, b"content-transfer-encoding").lower()
        if kind in _UNTOUCHABLE:
            raise _NotConvertibleError
        if coding not in _AS_IT_IS:  # coded already, but not so that it can be sent
            return head + _coded_again(body, kind, coding)
        if kind.startswith(b"multipart/"):
            # RFC 2046 5.1.5: in a digest a part is a message unless it says otherwise.
            usual = b"message/rfc822" if kind == b"multipart/digest" else b"text/plain"
            return _as_container(head, coding) + self._pieces(body, _boundary(value), depth, usual)
        if kind == b"message/rfc822":
            return _as_container(head, coding) + self.message(body, depth + 1)
        return _leaf(head, body, kind)

    def _pieces(self, body: bytes, boundary: bytes, depth: int, usual: bytes) -> bytes:
        # RFC 2046 5.1.1: the CRLF before a delimiter belongs to it.
        delimiter = re.compile(rb"(?:\A|\r\n)--" + re.escape(boundary) + rb"(--)?[ \t]*(?=\r\n|\Z)")
        out, at, inside = [], 0, False
        for found in delimiter.finditer(body):
            out.append(
                self._piece(body[at : found.start()], depth, usual) if inside else _unseen(body[: found.start()])
            )
            out.append(found[0])
            at, inside = found.end(), found[1] is None
            if not inside:
                break
        out.append(self._piece(body[at:], depth, usual) if inside else _unseen(body[at:]))
        return b"".join(out)

    def _piece(self, piece: bytes, depth: int, usual: bytes) -> bytes:
        """A part behind its delimiter, whose line end comes first."""
        return piece[:2] + self._entity(piece[2:], depth + 1, usual)


def _divided(entity: bytes) -> tuple[bytes, bytes]:
    """Header and body; the header in ASCII, with short lines, its empty line at the end."""
    end = header_end(entity)
    head, body = entity[:end], entity[end:]
    if not head.endswith(b"\r\n"):
        head += b"\r\n"
    if head != b"\r\n" and not head.endswith(b"\r\n\r\n"):  # RFC 5322 3.5: a message may have no body
        head += b"\r\n"
    try:
        head = fold_long(to_ascii(head))
    except NotEncodableError:
        raise _NotConvertibleError from None
    if not is_seven_bit(head) or not _HEAD.fullmatch(head):
        raise _NotConvertibleError
    return head, body


def _labelled(head: bytes, body: bytes) -> bytes:
    """The header of a message without MIME-Version, with it; the text gets a type, if none is there."""
    added = b"MIME-Version: 1.0\r\n"
    if not _value(head, b"content-type"):
        added += b"Content-Type: text/plain; charset=" + _charset(body) + b"\r\n"
    return head[:-2] + added + head[-2:]


def _charset(text: bytes) -> bytes:
    if text.isascii():
        return b"us-ascii"
    try:
        text.decode()
    except UnicodeDecodeError:
        return b"unknown-8bit"  # RFC 1428 3
    return b"utf-8"


def _coded_again(body: bytes, kind: bytes, coding: bytes) -> bytes:
    """A body in an encoding, in lines that are short enough, without what does not belong there."""
    if not kind.startswith((b"multipart/", b"message/")):
        if coding == b"base64" and _BASE64.fullmatch(body):
            coded = b"".join(body.split())
            return b"".join(coded[at : at + 76] + b"\r\n" for at in range(0, len(coded), 76))
        if coding == b"quoted-printable":
            coded = _NO_QUOTED.sub(lambda found: b"=%02X" % found[0][0], body)
            return b"\r\n".join(_softly_broken(line) for line in coded.split(b"\r\n"))
    raise _NotConvertibleError


def _softly_broken(line: bytes) -> bytes:
    """RFC 2045 6.7 (5)."""
    return line if len(line) <= MAX_LINE else b"=\r\n".join(_QUOTED_PIECE.findall(line))


def _unseen(data: bytes) -> bytes:
    """A preamble or epilogue, which nothing can label; or all of a multipart body that has no part."""
    if not is_seven_bit(data):
        raise _NotConvertibleError
    return data


def _leaf(head: bytes, body: bytes, kind: bytes) -> bytes:
    if kind.startswith(b"message/") and not kind.startswith(b"message/global"):
        # RFC 2046 5.2: message/partial and its kin are 7bit; those of RFC 6532 3.7 may be coded.
        raise _NotConvertibleError
    if kind.startswith(b"text/") and b"\0" not in body and has_true_breaks(body):
        return _with_coding(head, b"quoted-printable") + quoted_printable(body)
    return _with_coding(head, b"base64") + base64_lines(body)


def _as_container(head: bytes, coding: bytes) -> bytes:
    """RFC 2045 6.4: a container is labelled by what is in it."""
    return _with_coding(head, b"7bit") if coding in (b"8bit", b"binary") else head


def _with_coding(head: bytes, coding: bytes) -> bytes:
    """The header with this Content-Transfer-Encoding, in its old place or at its end."""
    line = b"Content-Transfer-Encoding: " + coding + b"\r\n"
    for field in placed_fields(head):
        if field.name == b"content-transfer-encoding":
            return head[: field.start] + line + head[field.end :]
    return head[:-2] + line + head[-2:]  # before the empty line


def _content_type(head: bytes, usual: bytes) -> tuple[bytes, bytes]:
    """The type in lower case, and what follows it."""
    value = _value(head, b"content-type")
    if not value:
        return usual, b""
    found = _KIND.match(value)
    if found is not None:
        return found[1].lower(), value[found.end() :]
    if re.search(rb"multipart|message", value, re.IGNORECASE):
        raise _NotConvertibleError
    return b"text/plain", b""  # RFC 2045 5.2: what it is taken for


def _boundary(parameters: bytes) -> bytes:
    """Read strictly: a boundary that another reader finds elsewhere would make other parts."""
    boundaries = []
    at = 0
    while (found := _PARAMETER.match(parameters, at)) is not None:
        at = found.end()
        if found[1].lower() == b"boundary":
            boundaries.append(found[3] or re.sub(rb"\\(.)", rb"\1", found[2] or b""))
    if len(boundaries) != 1 or not boundaries[0].strip() or parameters[at:].strip(b" \t;"):
        raise _NotConvertibleError
    return boundaries[0].rstrip()


def _value(head: bytes, name: bytes) -> bytes:
    """A field that may stand once, on one line; b"" when it is not there."""
    values = [value for found, value in fields(head) if found == name]
    if len(values) > 1:  # one reader takes the first, another the last
        raise _NotConvertibleError
    return values[0].replace(b"\r\n", b"").strip() if values else b""
