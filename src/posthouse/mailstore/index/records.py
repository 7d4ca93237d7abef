"""From the bytes of a message to the rows that are kept of it.

Texts are kept in their folded form, as UTF-8 octets: a needle is in a text when its octets are in the text's.
Folded text has no line breaks, so they separate what no needle may span: the fields of a header, headers and body, and
one message from the next.
"""

from typing import NamedTuple

import msgspec

from posthouse.mailstore.sqlite.rows import Value
from posthouse.message.text import Digest, fold

BREAK = b"\n"


class MessageSummary(NamedTuple):
    """What IMAP shows of a message: ENVELOPE, BODYSTRUCTURE (both as they are sent) and PREVIEW."""

    envelope: bytes
    structure: bytes
    preview: str

    @property
    def is_missing(self) -> bool:
        """Whether the message could not be read, so that there is nothing to show."""
        return not self.envelope


class SortKeys(NamedTuple):
    """What messages are sorted and threaded by (RFC 5256); texts are in their collated form."""

    sent: int  # seconds since 1970
    base_subject: str
    is_reply: bool
    sort_from: str
    sort_to: str
    sort_cc: str
    show_from: str
    show_to: str
    message_id: str
    references: tuple[str, ...]


class IndexRecord(NamedTuple):
    """The rows of one message, one of each table, without their keys."""

    shown: tuple[Value, ...]
    sorting: tuple[Value, ...]
    field: tuple[Value, ...]
    text: tuple[Value, ...]


def summary_of(made: Digest) -> MessageSummary:
    """What is shown of a message."""
    return MessageSummary(made.envelope, made.structure, made.preview)


def record(made: Digest) -> IndexRecord:
    """The rows of a message."""
    return IndexRecord(
        (made.envelope, made.structure, _octets(made.preview)),
        (
            made.sent,
            made.sent_day,
            int(made.is_reply),
            _sound(made.base_subject),
            _sound(made.sort_from),
            _sound(made.sort_to),
            _sound(made.sort_cc),
            _sound(made.show_from),
            _sound(made.show_to),
            _sound(made.message_id),
            _sound(msgspec.json.encode(tuple(map(_sound, made.references))).decode()),
        ),
        (folded(made.subject), folded(made.sender), folded(made.to), folded(made.cc), folded(made.bcc)),
        (_lines(made.header), _lines(made.parts), folded(made.body)),
    )


def _lines(text: str) -> bytes:
    return b"".join(BREAK + folded(line) for line in text.split("\n"))


def folded(text: str) -> bytes:
    """The search form of a text or a needle, as octets."""
    return _octets(fold(text))


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "replace")  # what is replaced are halves of surrogate pairs


def _sound(text: str) -> str:
    return text if text.isascii() else _octets(text).decode()
