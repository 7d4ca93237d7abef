"""Everything an index keeps of one message, made in one go."""

from collections.abc import Iterator
from dataclasses import dataclass

from posthouse.message.mime import Part, body_structure, envelope, scan
from posthouse.message.mime.mailboxes import EnvelopeAddress, read
from posthouse.message.text.charsets import collated, raw_text
from posthouse.message.text.headers import header_text, message_ids, sent
from posthouse.message.text.parts import file_name, header_line, header_lines, leaves, part_text
from posthouse.message.text.preview import MAX_PREVIEW, preview
from posthouse.message.text.subjects import base_subject

__all__ = ["MAX_PREVIEW", "MAX_TEXT", "Digest", "digest"]

MAX_TEXT = 1 << 20  # characters of a message that can be searched
_MAX_SOURCE = 4 << 20  # octets they are made from
_MAX_ADDRESS = 4096  # octets of a field in which its first address is looked for


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
    fields = _Fields(data, root)
    base, is_reply = base_subject(next(iter(fields.texts.get(b"subject", ())), ""))
    when, day = sent(fields.first(b"date"), received)
    author, addressee, copied = map(fields.address, (b"from", b"to", b"cc"))
    return Digest(
        envelope(data, root),
        body_structure(data, root),
        preview(data, root),
        "\n".join(fields.lines)[:MAX_TEXT],
        "\n".join(_headers_within(data, root))[:MAX_TEXT],
        "\n".join(_texts(data, root))[:MAX_TEXT],
        fields.text(b"subject"),
        fields.text(b"from"),
        fields.text(b"to"),
        fields.text(b"cc"),
        fields.text(b"bcc"),
        when,
        day,
        collated(base),
        is_reply,
        _mailbox(author),
        _mailbox(addressee),
        _mailbox(copied),
        _display(author),
        _display(addressee),
        next(iter(message_ids(fields.first(b"message-id"))), ""),
        _references(fields),
    )


class _Fields:
    """The header of the message itself."""

    def __init__(self, data: bytes, root: Part) -> None:
        self.lines: list[str] = []
        self.texts: dict[bytes, list[str]] = {}
        self._first: dict[bytes, bytes] = {}
        for name, value, text in header_lines(data, root):
            self.lines.append(header_line(name, text))
            self.texts.setdefault(name, []).append(text)
            self._first.setdefault(name, value)

    def first(self, name: bytes) -> bytes:
        """The value of the first of that name."""
        return self._first.get(name, b"")

    def text(self, name: bytes) -> str:
        """All of that name."""
        return ", ".join(self.texts.get(name, ()))

    def address(self, name: bytes) -> EnvelopeAddress | None:
        """The first address of the first of that name."""
        return next(iter(read(self.first(name)[:_MAX_ADDRESS])), None)


def _references(fields: _Fields) -> tuple[str, ...]:
    """RFC 5256 3: References, and for want of them the first id of In-Reply-To."""
    found = message_ids(fields.first(b"references"))
    return tuple(found or message_ids(fields.first(b"in-reply-to"))[:1])


def _mailbox(address: EnvelopeAddress | None) -> str:
    """RFC 5256 3: sorted by what stands before the @."""
    return collated(raw_text(address.mailbox or b"")) if address is not None else ""


def _display(address: EnvelopeAddress | None) -> str:
    """RFC 5957 3: the name, or else the address."""
    if address is None:
        return ""
    name = collated(header_text(address.name or b""))
    if name or not address.host:  # the name of a group is its mailbox
        return name or _mailbox(address)
    return collated(raw_text(b"%b@%b" % (address.mailbox or b"", address.host)))


def _texts(data: bytes, root: Part) -> Iterator[str]:
    """What can be searched of the body, up to the bounds: all parts that are text, or reports."""
    characters, octets = MAX_TEXT, _MAX_SOURCE
    for part in leaves(root):
        if part.type.lower() in (b"text", b"message") and characters > 0 and octets > 0:
            text = part_text(data, part, octets)
            characters -= len(text)
            octets -= part.end - part.body
            yield text


def _headers_within(data: bytes, root: Part) -> Iterator[str]:
    """The headers of all parts but the message's own, and the names of files as they are meant; up to the bound."""
    left = MAX_TEXT
    work = [root]
    while work and left > 0:
        part = work.pop()
        work += reversed(part.parts)
        found = [header_line(name, text) for name, _, text in header_lines(data, part)] if part is not root else []
        text = "\n".join((*found, file_name(part)))
        left -= len(text)
        yield text
