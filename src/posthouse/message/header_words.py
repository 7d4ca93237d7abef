"""A header section with raw 8-bit text made ASCII: encoded-words (RFC 2047) and parameters (RFC 2231).

Scripts and old programs write "Subject: Grüße" without asking for SMTPUTF8; to be signed and sent anywhere it needs
another form. What is UTF-8 is labelled so, all else "unknown-8bit" (RFC 1428 3): no octet is lost or guessed at.
"""

import re
from base64 import b64encode
from urllib.parse import quote_from_bytes

from posthouse.message.edit import placed_fields

_ADDRESSES = frozenset({
    b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc", b"resent-from", b"resent-sender", b"resent-reply-to",
    b"resent-to", b"resent-cc", b"resent-bcc", b"disposition-notification-to", b"errors-to",
})  # fmt: skip
_PARAMETERS = frozenset({b"content-type", b"content-disposition"})
# Read by programs, octet by octet: no encoded-word may stand there.
_MACHINE = frozenset({
    b"message-id", b"in-reply-to", b"references", b"resent-message-id", b"content-id", b"date", b"resent-date",
    b"mime-version", b"content-transfer-encoding", b"received", b"return-path", b"dkim-signature",
})  # fmt: skip

_WORD = 39  # octets of text in one encoded-word: its line has at most 76 characters (RFC 2047 2) with a usual name
_EIGHT_BIT = re.compile(rb"[\x80-\xff]")
# RFC 5322 3.2: a quoted string, a comment without others in it, an address, anything else.
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"|\((?:[^()\\]|\\.)*+\)|<[^<>]*+>|[,;:]|[^"(<,;:]++|.', re.DOTALL)
_PAIR = re.compile(rb"\\(.)", re.DOTALL)
_PARAMETER = re.compile(rb'([A-Za-z0-9!#$&+.^_`{|}~-]+)[ \t]*=[ \t]*"((?:[^"\\]|\\.)*+)"', re.DOTALL)


class NotEncodableError(Exception):
    """There is 8-bit text where no encoding may stand, such as in an address (RFC 6532 alone allows it)."""


def to_ascii(head: bytes) -> bytes:
    """The header section in ASCII; fields that are so already keep their octets. Raises NotEncodableError."""
    if head.isascii():
        return head
    fields, at = [], 0
    for field in placed_fields(head):
        raw = head[field.start : field.end]
        if not raw.isascii():
            fields += [head[at : field.start], _encoded(field.name, raw)]
            at = field.end
    made = b"".join(fields) + head[at:]
    if not made.isascii():
        raise NotEncodableError
    return made


def _encoded(name: bytes, raw: bytes) -> bytes:
    title, colon, value = raw.partition(b":")
    if not colon or name in _MACHINE or not title.isascii():
        raise NotEncodableError
    end = b"\r\n" if value.endswith(b"\r\n") else b""
    value = value.removesuffix(b"\r\n").replace(b"\r\n", b"")
    if name in _ADDRESSES:
        return title + colon + _phrases(value) + end
    if name in _PARAMETERS:
        return title + colon + _PARAMETER.sub(_extended, value) + end
    return title + colon + _text(value) + end


def _text(value: bytes) -> bytes:
    """Unstructured text: the words with 8-bit octets, and what stands between two of them."""
    words = re.split(rb"([ \t]+)", value)
    odd = [n for n, word in enumerate(words) if _EIGHT_BIT.search(word)]
    if not odd:
        return value
    made, at = b"", 0
    for n, first in enumerate(odd):
        if n and first == odd[n - 1] + 2:
            continue  # a part of the run before
        last = first
        while last + 2 in odd:
            last += 2
        made += b"".join(words[at:first]) + _words(b"".join(words[first : last + 1]))
        at = last + 1
    return made + b"".join(words[at:])


def _phrases(value: bytes) -> bytes:
    """A list of addresses: names and comments are encoded, addresses cannot be."""
    made = b""
    for found in _TOKEN.finditer(value):
        token = found[0]
        if token.isascii():
            made += token
        elif (
            token.startswith(b"<")
            or (b"@" in token and token[:1] not in b'"(')
            or value[found.end() :].startswith(b"@")
        ):
            raise NotEncodableError
        elif token.startswith(b'"'):
            made += _apart(made) + _words(_PAIR.sub(rb"\1", token[1:-1])) + b" "
        elif token.startswith(b"("):
            made += b"(" + _words(_PAIR.sub(rb"\1", token[1:-1])) + b")"
        else:
            made += _apart(made) + _text(token) + (b"" if token.endswith((b" ", b"\t")) else b" ")
    return made.rstrip(b" \t")


def _apart(before: bytes) -> bytes:
    """RFC 2047 5: white space between an encoded-word and its neighbour."""
    return b"" if not before or before.endswith((b" ", b"\t")) else b" "


def _extended(found: re.Match[bytes]) -> bytes:
    """One parameter in the form of RFC 2231 4."""
    value = _PAIR.sub(rb"\1", found[2])
    if value.isascii():
        return found[0]
    return found[1] + b"*=" + _charset(value) + b"''" + quote_from_bytes(value, safe="").encode()


def _words(text: bytes) -> bytes:
    """Encoded-words, each of whole characters (RFC 2047 5), folded."""
    charset = _charset(text)
    pieces, at = [], 0
    while at < len(text):
        end = min(at + _WORD, len(text))
        while charset == b"utf-8" and end < len(text) and 0x80 <= text[end] < 0xC0:
            end -= 1
        pieces.append(b"=?%b?B?%b?=" % (charset, b64encode(text[at:end])))
        at = end
    return b"\r\n ".join(pieces)


def _charset(text: bytes) -> bytes:
    try:
        text.decode()
    except UnicodeDecodeError:
        return b"unknown-8bit"
    return b"utf-8"
