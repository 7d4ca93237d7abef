"""Fuzz the scanner of messages and all that is made of them: no exception, ranges within ranges, sound answers."""

if __name__ == "__main__":
    import atheris

    with atheris.instrument_imports(include=["posthouse.message"]):
        import posthouse.message.text  # noqa: F401

import contextlib
import re
from collections.abc import Iterator

from posthouse.message.mime import (
    Part,
    UnknownEncodingError,
    body,
    body_structure,
    decoded,
    envelope,
    scan,
    section,
    select_fields,
)
from posthouse.message.text import base_subject, digest, fold
from posthouse.message.text.digest import MAX_PREVIEW
from tests.fuzz import engines
from tests.outside.odd_messages import odd_messages
from tests.outside.structures import Node, parse


def fuzz(data: bytes) -> None:
    """Look through it as a message, and ask for everything there is."""
    root = scan(data)
    assert (root.header, root.end) == (0, len(data))
    _check(data, root)
    for made in (envelope(data, root), body_structure(data, root), body(data, root)):
        assert len(parse(made)) == 1, made
        assert b"\0" not in made
    for made in (body_structure(data, root), body(data, root)):
        _compare(root, parse(made)[0])
    for path, named in _numbered(root, (), whole=True):
        assert section(root, path) is named, path
    for numbers in ([1], [2], [1, 1], [1, 2], [2, 1, 1]):
        part = section(root, numbers)
        assert part is None or 0 <= part.header <= part.body <= part.end <= len(data)
    start, end = root.header, root.body
    chosen = select_fields(data[start:end], {b"SUBJECT"}, False)
    others = select_fields(data[start:end], {b"SUBJECT"}, True)
    assert chosen.endswith(b"\r\n") and others.endswith(b"\r\n")
    _check_fields(data[start:end], chosen, others)
    found = digest(data, 1_000_000)
    assert len(found.preview) <= MAX_PREVIEW
    base_subject(found.base_subject)
    assert fold(fold(found.subject)) == fold(found.subject)


def _check(data: bytes, part: Part) -> None:
    assert part.header <= part.body <= part.end
    with contextlib.suppress(UnknownEncodingError):
        decoded(data, part)
    at = part.body
    for child in part.parts:
        assert at <= child.header <= child.end <= part.end
        at = child.end
        _check(data, child)


def _check_fields(header: bytes, chosen: bytes, others: bytes) -> None:
    """Each octet of the fields is in one of the two, and each has the empty line."""
    octets = 0
    for line in re.findall(rb"[^\n]*\n|[^\n]+", header):
        if line in (b"\n", b"\r\n"):
            break
        octets += len(line) if line.endswith(b"\n") else len(line) + 2  # a field without its line end is given one
    assert octets == len(chosen) + len(others) - 4


def _compare(part: Part, told: Node) -> None:
    """What BODYSTRUCTURE tells is the tree, and the octets of each part."""
    assert isinstance(told, list)
    if part.is_multipart:
        children = [node for node in told[: told.index(part.subtype)] if isinstance(node, list)]
        assert len(children) == max(1, len(part.parts))
        for child, node in zip(part.parts, children, strict=False):
            _compare(child, node)
    else:
        assert told[6] == b"%d" % (part.end - part.body)
        if part.is_message:
            _compare(part.parts[0], told[8])


def _numbered(part: Part, path: tuple[int, ...], *, whole: bool) -> Iterator[tuple[tuple[int, ...], Part]]:
    """Every part with its numbers (RFC 9051 6.4.5.1)."""
    if part.is_multipart:
        for number, child in enumerate(part.parts, 1):
            yield (*path, number), child
            yield from _numbered(child, (*path, number), whole=False)
    elif whole:
        yield (*path, 1), part
        if part.is_message:
            yield from _numbered(part.parts[0], (*path, 1), whole=True)
    elif part.is_message:
        yield from _numbered(part.parts[0], path, whole=True)


if __name__ == "__main__":
    engines.run(fuzz, "none", odd_messages())
