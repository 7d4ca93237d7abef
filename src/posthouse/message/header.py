"""The header section: where it ends, which fields it has. The one scanner of headers; all others are built on it.

Everything is linear in the length of the header, whatever octets it holds, and nothing raises. A line ends with CRLF,
and with nothing else: what a message on its way holds is read so (RFC 5321 2.3.8). With `bare_lf` a LF alone ends a
line as well. So the contents of a mailbox are read, where clients may have put messages with other line ends.
"""

import re
from collections.abc import Iterator

_EMPTY_LINE = re.compile(rb"\n\r?\n")
_LINE_END = re.compile(rb"\r\n(?![ \t])")  # RFC 5322 2.2.3: a line that begins with white space continues the field
_ANY_LINE_END = re.compile(rb"\n(?![ \t])")


def header_end(data: bytes, start: int = 0, *, bare_lf: bool = False) -> int:
    """Offset of the empty line's end, or len(data) when there is none (RFC 5322 2.1). The header begins at `start`."""
    if data.startswith(b"\r\n", start):
        return start + 2
    if not bare_lf:
        at = data.find(b"\r\n\r\n", start)
        return at + 4 if at >= 0 else len(data)
    if data.startswith(b"\n", start):
        return start + 1
    found = _EMPTY_LINE.search(data, start)
    return found.end() if found is not None else len(data)


def field_spans(head: bytes, start: int = 0, *, bare_lf: bool = False) -> Iterator[tuple[int, int, int]]:
    """(start, end of the last line without its line end, end) of each field with its folds; of empty lines as well.

    `start`: the offset of the first line that is looked at. With `bare_lf` a CR before the LF counts as text.
    """
    for found in (_ANY_LINE_END if bare_lf else _LINE_END).finditer(head, start):
        end = found.end()
        yield start, found.start(), end
        start = end
    if start < len(head):
        yield start, len(head), len(head)


def fields(head: bytes, start: int = 0, *, bare_lf: bool = False) -> Iterator[tuple[bytes, bytes]]:
    """(name in lower case, raw value with its folds) of each field. A line without a colon is a value without a name.

    `start` and `bare_lf` as in field_spans().
    """
    for first, last, _ in field_spans(head, start, bare_lf=bare_lf):
        name, colon, value = head[first:last].partition(b":")
        if colon:
            yield name.strip().lower(), value
        elif name.strip():
            yield b"", name


def fields_named(names: bytes) -> re.Pattern[bytes]:
    """A pattern that finds fields whose name matches `names`, an expression; each match is (name, raw value).

    For readers of a few fields out of many: one pass, without an object for each of the others. It is to be applied to
    LF + header (see find_named()), and takes lines that end with CRLF or LF.
    """
    return re.compile(rb"\n(%b)[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+)" % names, re.IGNORECASE)


def find_named(pattern: re.Pattern[bytes], header: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(name in lower case, raw value with its folds) of each field that a pattern of fields_named() finds."""
    for found in pattern.finditer(b"\n" + header):
        yield found[1].lower(), found[2]


def message_id(head: bytes) -> str:
    """What stands between the angle brackets of Message-ID (RFC 5322 3.6.4), at most 250 characters; "" without one."""
    lowered, start = head.lower(), 0
    if not lowered.startswith(b"message-id"):
        before = lowered.find(b"\r\nmessage-id")
        if before < 0:
            return ""
        start = before + 2
    for first, last, _ in field_spans(head, start):  # this stands on the path of every delivery: no fields()
        name, colon, value = head[first:last].partition(b":")
        if colon and name.strip().lower() == b"message-id":
            inner = value.strip().removeprefix(b"<").partition(b">")[0]
            return inner.decode("utf-8", "replace")[:250] if inner.isascii() else ""
    return ""


def count_received(head: bytes) -> int:
    """How many servers have handled the message (RFC 5321 6.3)."""
    lowered = head.lower()
    return lowered.count(b"\r\nreceived:") + lowered.startswith(b"received:")


def delivered_to(head: bytes) -> set[str]:
    """The addresses of its Delivered-To fields, in lower case: of this journey alone.

    Who sends a message on by hand puts Resent fields in front of it (RFC 5322 3.6.6). What stands below them was
    written when it came to that person, and says nothing of a loop.
    """
    if b"elivered-" not in head and b"ELIVERED-" not in head:
        return set()
    found = set()
    for name, value in fields(head):
        if name.startswith(b"resent-"):
            break
        if name == b"delivered-to":
            found.add(value.strip().decode("utf-8", "replace").lower())
    return found
