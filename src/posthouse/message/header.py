"""The header section, scanned by hand: where it ends, which fields it has. Linear in its length, whatever it holds."""

from collections.abc import Iterator


def header_end(data: bytes) -> int:
    """Offset of the empty line's end, or len(data) when there is none (RFC 5322 2.1)."""
    if data.startswith(b"\r\n"):
        return 2
    at = data.find(b"\r\n\r\n")
    return at + 4 if at >= 0 else len(data)


def fields(head: bytes, start: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """(name in lower case, raw value with its folds) for each field; lines that are no field are passed over.

    `start`: the offset of the first line that is looked at.
    """
    while start < len(head):
        end = head.find(b"\r\n", start)
        while end >= 0 and head[end + 2 : end + 3] in (b" ", b"\t"):  # RFC 5322 2.2.3: folding
            end = head.find(b"\r\n", end + 2)
        line = head[start:] if end < 0 else head[start:end]
        name, colon, value = line.partition(b":")
        if colon:
            yield name.strip().lower(), value
        if end < 0:
            return
        start = end + 2


def message_id(head: bytes) -> str:
    """What stands between the angle brackets of Message-ID (RFC 5322 3.6.4), at most 250 characters; "" without one."""
    lowered, start = head.lower(), 0
    if not lowered.startswith(b"message-id"):
        before = lowered.find(b"\r\nmessage-id")
        if before < 0:
            return ""
        start = before + 2
    for name, value in fields(head, start):
        if name == b"message-id":
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
