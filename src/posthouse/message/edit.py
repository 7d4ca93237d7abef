"""Fields of a header section with their places, so that some can be left out."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Field:
    """One field: `name` in lower case, `value` raw with its folds, from `start` to `end` with its line end."""

    name: bytes
    value: bytes
    start: int
    end: int


def placed_fields(head: bytes) -> Iterator[Field]:
    """The fields of a header section in order; lines that are no field have the name b""."""
    start = 0
    while start < len(head):
        end = head.find(b"\r\n", start)
        while end >= 0 and head[end + 2 : end + 3] in (b" ", b"\t"):  # RFC 5322 2.2.3
            end = head.find(b"\r\n", end + 2)
        stop = len(head) if end < 0 else end + 2
        line = head[start : len(head) if end < 0 else end]
        if line:
            name, colon, value = line.partition(b":")
            name = name.rstrip(b" \t").lower() if colon else b""
            yield Field(name if b" " not in name else b"", value, start, stop)
        start = stop
