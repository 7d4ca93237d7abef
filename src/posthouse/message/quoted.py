"""What others wrote, made fit to be quoted: cleaned, bounded, folded. It can break neither a header nor a structure."""

import re
import textwrap

from posthouse.message.header import fields
from posthouse.message.reply import Reply

MAX_QUOTED = 900  # characters of one quotation, so that a line with it is no longer than RFC 5322 2.1.1 lets it be
_WIDTH = 76
_COLUMN = 18  # where the text beside a label begins

# Controls, separators, what turns the direction of writing (and so what a reader takes it for), and half characters.
_UNSAFE = re.compile(r"[\x00-\x20\x7f-\xa0\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ud800-\udfff\ufffe\uffff]+")
_MESSAGE_ID = re.compile(r"<[!-;=?-~]+@[!-;=?-~]+>")


def clean(text: str) -> str:
    """On one line, at most MAX_QUOTED characters, with single spaces."""
    return _UNSAFE.sub(" ", text[: 2 * MAX_QUOTED]).strip()[:MAX_QUOTED].rstrip()


def clean_ascii(text: str) -> str:
    """The same, with a question mark for each character beyond ASCII."""
    return clean(text).encode("ascii", "replace").decode()


def words_of(reply: Reply) -> str:
    """A server's reply, code and status first."""
    return clean(f"{reply.code} {reply.enhanced} {reply.text}")


def folded(field: str) -> str:
    """A field of single spaces, folded at them where it is long (RFC 5322 2.2.3)."""
    return "\n ".join(_wrapped(field, _WIDTH))


def labelled(label: str, text: str) -> str:
    """For people: a label, and the text beside it in a column of its own."""
    return f"\n{'':{_COLUMN}}".join(_wrapped(f"  {label:<{_COLUMN - 2}}{text}", _WIDTH, _COLUMN))


def filled(text: str) -> str:
    """For people: a paragraph."""
    return "\n".join(_wrapped(text, _WIDTH))


def _wrapped(text: str, width: int, indent: int = 0) -> list[str]:
    first = text[:indent]
    lines = textwrap.wrap(text[indent:], width - indent, break_long_words=False, break_on_hyphens=False) or [""]
    return [first + lines[0], *lines[1:]]


def field_of(head: bytes, name: bytes) -> str:
    """A field of a header, cleaned; "" when it is not there or not in ASCII."""
    for found, value in fields(head):
        if found == name:
            return clean(value.decode()) if value.isascii() else ""
    return ""


def message_id_of(head: bytes) -> str:
    """The Message-ID with its brackets, fit to be referred to; "" when there is none such."""
    found = _MESSAGE_ID.search(field_of(head, b"message-id"))
    return found[0] if found is not None else ""
