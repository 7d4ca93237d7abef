"""Fuzz the scanner of messages and all that is made of them: no exception, ranges within ranges, sound answers."""

if __name__ == "__main__":
    import atheris

    with atheris.instrument_imports(include=["posthouse.message"]):
        import posthouse.message.text  # noqa: F401

import contextlib

from posthouse.message.mime import (
    Part,
    UnknownEncodingError,
    body,
    body_structure,
    decoded,
    envelope,
    header_octets,
    scan,
    section,
    select_fields,
)
from posthouse.message.text import base_subject, digest, fold
from posthouse.message.text.digest import MAX_PREVIEW
from tests.fuzz import engines
from tests.outside.structures import parse


def fuzz(data: bytes) -> None:
    """Look through it as a message, and ask for everything there is."""
    root = scan(data)
    assert (root.header, root.end) == (0, len(data))
    _check(data, root)
    for made in (envelope(data, root), body_structure(data, root), body(data, root)):
        assert len(parse(made)) == 1, made
        assert b"\0" not in made
    for numbers in ([1], [2], [1, 1], [1, 2], [2, 1, 1]):
        part = section(root, numbers)
        assert part is None or 0 <= part.header <= part.body <= part.end <= len(data)
    start, end = header_octets(data, root)
    chosen = select_fields(data[start:end], {b"SUBJECT"}, False)
    others = select_fields(data[start:end], {b"SUBJECT"}, True)
    assert chosen.endswith(b"\r\n") and others.endswith(b"\r\n")
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


if __name__ == "__main__":
    engines.run(fuzz, "none")
