"""ENVELOPE and BODYSTRUCTURE, ready to be sent (RFC 9051 7.5.2)."""

import re

from posthouse.message.header import fields_named, find_named
from posthouse.message.mime.fields import Parameters
from posthouse.message.mime.mailboxes import EnvelopeAddress, read
from posthouse.message.mime.part import Part

_PLAIN = re.compile(rb"[\x01-\x09\x0b\x0c\x0e-\x21\x23-\x5b\x5d-\x7f]*\Z")
_FOLDS = re.compile(rb"(?:\r?\n[ \t]+)+")
_MAX_QUOTED = 4096
_MAX_HEADER = 1 << 20  # octets of a header in which the envelope's fields are looked for
_ADDRESSES = (b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc")
_FIELDS = fields_named(b"date|subject|in-reply-to|message-id|" + b"|".join(_ADDRESSES))
_EMPTY = b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0'


def string(octets: bytes | None) -> bytes:
    """NIL, a quoted string or a literal. NUL cannot be sent, and is left out."""
    if octets is None:
        return b"NIL"
    if len(octets) <= _MAX_QUOTED:
        if _PLAIN.match(octets):
            return b'"%b"' % octets
        if octets.isascii() and not any(octet in octets for octet in b"\0\r\n"):
            return b'"%b"' % octets.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    octets = octets.replace(b"\0", b"")
    return b"{%d}\r\n%b" % (len(octets), octets)


def envelope(data: bytes, part: Part) -> bytes:
    """The envelope of a message: a root, or the message within a message/rfc822."""
    found: dict[bytes, bytes] = {}
    header = data[part.header : min(part.body, part.header + _MAX_HEADER)]
    for name, raw in find_named(_FIELDS, header):
        if name in _ADDRESSES and name in found:
            found[name] += b"," + raw  # RFC 5322 3.6 allows one; readers see them all
        else:
            found.setdefault(name, raw)
    lists = {name: _addresses(read(found[name])) if name in found else b"NIL" for name in _ADDRESSES}
    for name in (b"sender", b"reply-to"):  # RFC 9051 7.5.2: they default to From
        if lists[name] == b"NIL":
            lists[name] = lists[b"from"]
    words = [_text(found, b"date"), _text(found, b"subject"), *lists.values()]
    words += [_text(found, b"in-reply-to"), _text(found, b"message-id")]
    return b"(%b)" % b" ".join(words)


def _text(found: dict[bytes, bytes], name: bytes) -> bytes:
    """In one line, with single spaces where it was folded, and without tabs."""
    if name not in found:
        return b"NIL"
    return string(_FOLDS.sub(b" ", found[name]).replace(b"\t", b" ").strip(b" \r\n"))


def _addresses(addresses: list[EnvelopeAddress]) -> bytes:
    if not addresses:
        return b"NIL"
    return b"(%b)" % b"".join([b"(%b)" % b" ".join(map(string, address)) for address in addresses])


def body_structure(data: bytes, part: Part) -> bytes:
    """BODYSTRUCTURE, with all extension data."""
    return _structure(data, part, extended=True)


def body(data: bytes, part: Part) -> bytes:
    """BODY: the same without extension data."""
    return _structure(data, part, extended=False)


def _structure(data: bytes, part: Part, *, extended: bool) -> bytes:
    if part.is_multipart:
        children = [_structure(data, child, extended=extended) for child in part.parts]
        if not children:  # the grammar wants one
            children = [_EMPTY + (b" NIL NIL NIL NIL)" if extended else b")")]
        tail = b" %b %b" % (_parameters(part.params), _disposition(part)) if extended else b""
        return b"(%b %b%b)" % (b"".join(children), string(part.subtype), tail)
    words = [
        string(part.type),
        string(part.subtype),
        _parameters(part.params),
        string(part.id),
        string(part.description),
        string(part.encoding),
        b"%d" % (part.end - part.body),
    ]
    kind = part.type.lower()
    if part.is_message:
        inner = part.parts[0]
        words += [envelope(data, inner), _structure(data, inner, extended=extended), b"%d" % part.lines]
    elif kind == b"text":
        words.append(b"%d" % part.lines)
    if extended:
        words += [string(part.md5), _disposition(part)]
    return b"(%b)" % b" ".join(words)


def _parameters(params: Parameters) -> bytes:
    if not params:
        return b"NIL"
    return b"(%b)" % b" ".join([string(word) for pair in params for word in pair])


def _disposition(part: Part) -> bytes:
    """Disposition, language and location, which come last in all kinds of parts."""
    disposition = b"NIL"
    if part.disposition is not None:
        disposition = b"(%b %b)" % (string(part.disposition), _parameters(part.disposition_params))
    language = b"NIL"
    if part.language:
        language = b"(%b)" % b" ".join(map(string, part.language))
    return b"%b %b %b" % (disposition, language, string(part.location))
