"""The beginning of what a reader would read (RFC 8970)."""

import re
from collections.abc import Iterator
from itertools import chain, islice

from posthouse.message.mime import Part
from posthouse.message.text.parts import is_text, leaves, part_text

MAX_PREVIEW = 200  # characters, RFC 8970 4
_MAX_SOURCE = 64 << 10  # octets of a part that are read
_MAX_PARTS = 8  # that are read, until one has text
_MAX_LOOSE = 2000  # characters, before what cannot be seen is left out
# Controls, marks that turn the direction of writing, and what newsletters pad with so that no text of theirs is shown.
_UNSEEN = re.compile(
    r"[\0-\x08\x0e-\x1f\x7f-\x9f\xad\u034f\u061c\u200b\u202a-\u202e\u2060-\u206f\ufeff]+"
    r"|[\u200c-\u200f]+(?=\s|\Z)|(?<=\s)[\u200c-\u200f]+"
)


def preview(data: bytes, root: Part) -> str:
    """At most MAX_PREVIEW characters on one line; "" without text."""
    inline = islice(filter(is_text, _inline(root)), _MAX_PARTS)
    others = islice(filter(is_text, leaves(root)), _MAX_PARTS)
    for part in chain(inline, others):
        text = _line(part_text(data, part, _MAX_SOURCE))
        if text:
            return text
    return ""


def _line(text: str) -> str:
    line = " ".join(text.split())[:_MAX_LOOSE]
    if not line.isascii() or not line.isprintable():
        line = " ".join(_UNSEEN.sub("", line).split())
    return line[:MAX_PREVIEW].rstrip()


def _inline(root: Part) -> Iterator[Part]:
    """The leaves that are neither attached nor in a message within, in order; of alternatives the plain one first."""
    work = [root]
    while work:
        part = work.pop()
        if (part.disposition or b"").lower() == b"attachment" or part.is_message:
            continue
        if part.is_multipart and part.subtype.lower() == b"alternative":
            work += sorted(part.parts, key=_is_rich)[::-1]
        elif part.parts:
            work += reversed(part.parts)
        else:
            yield part


def _is_rich(part: Part) -> bool:
    return not is_text(part) or part.subtype.lower() != b"plain"
