"""What a message is about, in a few words: its subject, the kinds of text it has, how many files are attached."""

from dataclasses import dataclass

from posthouse.message.header import fields, header_end
from posthouse.message.mime import Part, scan
from posthouse.message.text.headers import header_text
from posthouse.message.text.parts import file_name, is_text, leaves


@dataclass(frozen=True, slots=True)
class Summary:
    """`texts` are subtypes in order, each once: ("plain", "html") is written ["text", "html"] for people."""

    subject: str
    texts: list[str]
    attachments: int


def summarized(head: bytes) -> Summary:
    """Of a message, or of its beginning where it is long. Never raises; linear in time."""
    subject = next((value for name, value in fields(head[: header_end(head)]) if name == b"subject"), b"")
    texts: dict[str, None] = {}
    attachments = 0
    for part in leaves(scan(head)):
        if _is_attached(part):
            attachments += 1
        else:
            kind = part.subtype.decode("ascii", "replace").lower()
            texts["text" if kind == "plain" else kind] = None
    return Summary(header_text(subject), list(texts), attachments)


def _is_attached(part: Part) -> bool:
    return not is_text(part) or (part.disposition or b"").lower() == b"attachment" or bool(file_name(part))
