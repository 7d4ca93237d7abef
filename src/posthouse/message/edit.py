"""Fields of a header section with their places, so that some can be left out."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from posthouse.message.header import field_spans

_NO_NAME = re.compile(rb"[^!-9;-~]+")  # RFC 5322 3.6.8: what no field name holds


@dataclass(frozen=True, slots=True)
class Field:
    """One field: `value` raw with its folds, from `start` to `end` with its line end.

    `name` is in lower case, and as the most lenient reader takes it: without spaces, controls and octets beyond ASCII.
    `plain`: none of these were there, not even the space before the colon of RFC 5322 4.5, where readers differ. A line
    without a colon has the name b"".
    """

    name: bytes
    value: bytes
    start: int
    end: int
    plain: bool


def placed_fields(head: bytes) -> Iterator[Field]:
    """The fields of a header section in order; linear in its length. The empty line at its end is none."""
    for start, last, end in field_spans(head):
        if last > start:
            before, colon, value = head[start:last].partition(b":")
            name = _NO_NAME.sub(b"", before) if colon else b""
            yield Field(name.lower(), value, start, end, bool(name) and name == before)
