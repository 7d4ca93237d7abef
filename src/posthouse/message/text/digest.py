"""Everything an index keeps of one message, made in one go."""

from collections.abc import Iterator
from dataclasses import dataclass

from posthouse.message.mime import Part, UnknownEncodingError, body_structure, decoded, envelope, scan
from posthouse.message.mime.fields import fields, lines
from posthouse.message.mime.mailboxes import read
from posthouse.message.text.charsets import charset_text, fold, raw_text
from posthouse.message.text.headers import header_text, message_ids, sent
from posthouse.message.text.html import html_text
from posthouse.message.text.subjects import base_subject

MAX_TEXT = 1 << 20  # characters of a message that can be searched
MAX_PREVIEW = 200  # characters, RFC 8970 4
_PREVIEW_SOURCE = 64 << 10  # octets that are read for it
_MAX_HEADER = 256 << 10  # octets of a header that can be searched


@dataclass(frozen=True, slots=True)
class Digest:
    """`envelope` and `structure` are ready to be sent; the texts are as readers see them, not folded."""

    envelope: bytes
    structure: bytes
    preview: str
    header: str  # all fields, "Name: value", one a line
    parts: str  # the headers of all parts within
    body: str
    subject: str
    sender: str
    to: str
    cc: str
    bcc: str
    sent: int  # seconds since 1970
    sent_day: int  # days since 1970, as its writer wrote it
    base_subject: str
    is_reply: bool
    sort_from: str
    sort_to: str
    sort_cc: str
    show_from: str
    show_to: str
    message_id: str
    references: tuple[str, ...]


def digest(data: bytes, received: int) -> Digest:
    """Look through a message. `received`: seconds since 1970. Never raises."""
    root = scan(data)
    raw: dict[bytes, list[bytes]] = {}
    for name, value in fields(data[root.header : min(root.body, root.header + _MAX_HEADER)]):
        raw.setdefault(name, []).append(value)
    subject = _text(raw, b"subject")
    base, is_reply = base_subject(subject)
    when, day = sent(_first(raw, b"date"), received)
    return Digest(
        envelope(data, root),
        body_structure(data, root),
        preview(data, root),
        _header_texts(data, root)[:MAX_TEXT],
        "\n".join(_headers_within(data, root))[:MAX_TEXT],
        "\n".join(_texts(data, root))[:MAX_TEXT],
        subject,
        _text(raw, b"from"),
        _text(raw, b"to"),
        _text(raw, b"cc"),
        _text(raw, b"bcc"),
        when,
        day,
        fold(base),
        is_reply,
        _mailbox(raw, b"from"),
        _mailbox(raw, b"to"),
        _mailbox(raw, b"cc"),
        _display(raw, b"from"),
        _display(raw, b"to"),
        next(iter(message_ids(_first(raw, b"message-id"))), ""),
        _references(raw),
    )


def preview(data: bytes, root: Part) -> str:
    """The beginning of what a reader would read (RFC 8970 4)."""
    leaves = [part for part in _leaves(root) if part.type.lower() == b"text"]
    plain = [part for part in leaves if part.subtype.lower() == b"plain"]
    for part in (*plain[:1], *leaves[:1]):
        short = Part(part.header, part.body, min(part.end, part.body + _PREVIEW_SOURCE))
        text = " ".join(_part_text(data, part, short).split())
        if text:
            return text[:MAX_PREVIEW]
    return ""


def _references(raw: dict[bytes, list[bytes]]) -> tuple[str, ...]:
    """RFC 5256 3: References, and for want of them the first id of In-Reply-To."""
    found = message_ids(_first(raw, b"references"))
    return tuple(found or message_ids(_first(raw, b"in-reply-to"))[:1])


def _first(raw: dict[bytes, list[bytes]], name: bytes) -> bytes:
    return raw[name][0] if name in raw else b""


def _text(raw: dict[bytes, list[bytes]], name: bytes) -> str:
    return ", ".join(map(header_text, raw[name])) if name in raw else ""


def _mailbox(raw: dict[bytes, list[bytes]], name: bytes) -> str:
    """RFC 5256 3: the mailbox of the first address."""
    for address in read(_first(raw, name)[:4096]):
        return fold(raw_text(address.mailbox or b""))
    return ""


def _display(raw: dict[bytes, list[bytes]], name: bytes) -> str:
    """RFC 5957 2: the name of the first address, or else the address."""
    for address in read(_first(raw, name)[:4096]):
        if address.name:
            return fold(header_text(address.name))
        if address.host:
            return fold(raw_text(b"%b@%b" % (address.mailbox or b"", address.host)))
        return fold(raw_text(address.mailbox or b""))
    return ""


def _leaves(root: Part) -> Iterator[Part]:
    """All parts that hold no parts, in order."""
    work = [root]
    while work:
        part = work.pop()
        if part.parts:
            work += reversed(part.parts)
        else:
            yield part


def _texts(data: bytes, root: Part) -> Iterator[str]:
    """What can be searched of the body, up to the bound: all parts that are text, or reports."""
    left = MAX_TEXT
    for part in _leaves(root):
        if left <= 0:
            return
        if part.type.lower() in (b"text", b"message"):
            short = Part(part.header, part.body, min(part.end, part.body + 8 * left))
            text = _part_text(data, part, short)
            left -= len(text)
            yield text


def _headers_within(data: bytes, root: Part) -> Iterator[str]:
    """The headers of all parts but the message's own, and the names of files as they are meant; up to the bound."""
    left = MAX_TEXT
    work = [root]
    while work and left > 0:
        part = work.pop()
        work += reversed(part.parts)
        text = _file_name(part)
        if part is not root:
            text = f"{_header_texts(data, part)}\n{text}"
        left -= len(text)
        yield text


def _header_texts(data: bytes, part: Part) -> str:
    header = data[part.header : min(part.body, part.header + _MAX_HEADER)]
    return "\n".join(
        f"{raw_text(name)}: {header_text(value)}" if name else header_text(value) for name, value in lines(header)
    )


def _file_name(part: Part) -> str:
    for name, value in (*part.disposition_params, *part.params):
        if name in (b"filename", b"name"):
            return header_text(value)
        if name in (b"filename*", b"name*"):
            return _extended(value)
    return ""


def _extended(value: bytes) -> str:
    """A coded parameter: charset'language'text (RFC 2231 4)."""
    charset, _, rest = value.partition(b"'")
    octets = rest.partition(b"'")[2]
    head, *escapes = octets.split(b"%")
    out = [head]
    for escape in escapes:
        try:
            out.append(bytes((int(escape[:2], 16),)) + escape[2:])
        except ValueError:
            out.append(b"%" + escape)
    return charset_text(b"".join(out), charset)


def _part_text(data: bytes, part: Part, short: Part) -> str:
    """The text of a part, `short` being as much of it as is wanted."""
    short.type, short.subtype, short.encoding = part.type, part.subtype, part.encoding
    try:
        octets = decoded(data, short)
    except UnknownEncodingError:
        return ""
    text = charset_text(octets, part.param(b"charset") or b"utf-8")
    return html_text(text) if part.subtype.lower() == b"html" else text
