"""Whatever is wrong with a multipart, each octet of its contents is in a part that a client can ask for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.message.mime import Part, body_structure, scan, section

PARTS = b"--B\r\n\r\none\r\n--B\r\nContent-Type: text/html\r\n\r\n<p>two\r\n--B--\r\n"


def leaves(root: Part) -> list[tuple[tuple[int, ...], Part]]:
    """With their numbers, as BODYSTRUCTURE has them."""
    found = []
    work: list[tuple[tuple[int, ...], Part]] = [((), root)]
    while work:
        numbers, part = work.pop()
        if part.is_multipart:
            work += [((*numbers, at), child) for at, child in enumerate(part.parts, 1)]
        else:
            found.append((numbers or (1,), part))
    return sorted(found, key=lambda each: each[0])


@pytest.mark.parametrize(
    "kind",
    [
        b'multipart/mixed; boundary="B"',
        b'multipart/mixed boundary="B"',
        b"multipart/mixed, boundary=B",
        b"multipart/mixed ,boundary=B",
        b"multipart/mixed;; boundary=B",
        b"multipart/mixed; charset=utf-8 boundary=B",
        b"multipart/mixed; charset=utf-8, boundary=B",
        b'multipart/mixed (comment) boundary="B" (comment)',
        b"multipart/mixed\r\n boundary=B",
        b'multipart/mixed; type="a/b"boundary=B',
    ],
)
def test_parameters_without_their_semicolon(kind: bytes) -> None:
    data = b"Content-Type: %b\r\n\r\n%b" % (kind, PARTS)
    root = scan(data)
    assert [(part.subtype, data[part.body : part.end]) for part in root.parts] == [
        (b"plain", b"one"),
        (b"html", b"<p>two"),
    ]


@pytest.mark.parametrize(
    "field", [b"text/plain charset=koi8-r", b"text/plain, charset=koi8-r", b"text/plain;charset=koi8-r,"]
)
def test_other_parameters_too(field: bytes) -> None:
    assert scan(b"Content-Type: %b\r\n\r\n" % field).param(b"charset") == b"koi8-r"


@pytest.mark.parametrize(
    ("field", "name"),
    [
        (b"attachment filename=a.txt", b"a.txt"),
        (b"attachment, filename=a.txt", b"a.txt"),
        (b"attachment; filename=a,b.txt", b"a,b.txt"),
        (b'attachment; filename="a, b=c.txt"', b"a, b=c.txt"),
    ],
)
def test_file_names(field: bytes, name: bytes) -> None:
    part = scan(b"Content-Disposition: %b\r\n\r\n" % field)
    assert dict(part.disposition_params)[b"filename"] == name


@pytest.mark.parametrize(
    "kind",
    [
        b"multipart/mixed",
        b'multipart/mixed; boundary=""',
        b"multipart/mixed; boundary=",
        b'multipart/alternative; boundary="  "',
        b'multipart/mixed; boundary="other"',
        b"multipart/digest; x=y",
    ],
)
def test_a_multipart_that_cannot_be_taken_apart_is_one_text(kind: bytes) -> None:
    data = b"Content-Type: %b\r\n\r\n%b" % (kind, PARTS)
    root = scan(data)
    part = section(root, (1,))
    assert part is not None and data[part.body : part.end] == PARTS
    assert (part.type, part.subtype, part.lines) == (b"text", b"plain", PARTS.count(b"\n"))
    size = b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" %d %d ' % (len(PARTS), PARTS.count(b"\n"))
    assert body_structure(data, root).startswith(b"(" + size)


def test_its_encoding_is_that_of_the_whole() -> None:
    data = b"Content-Type: multipart/mixed\r\nContent-Transfer-Encoding: base64\r\n\r\nQUJD\r\n"
    assert scan(data).parts[0].encoding == b"base64"


def test_an_empty_one_has_an_empty_part() -> None:
    data = b"Content-Type: multipart/mixed\r\n\r\n"
    root = scan(data)
    assert not root.parts
    part = section(root, (1,))
    assert part is not None and part.body == part.end


_PIECES = st.sampled_from(
    [b"Content-Type: multipart/mixed; boundary=B", b"Content-Type: multipart/mixed", b"Content-Type: message/rfc822",
     b"Content-Type: multipart/digest boundary=C", b"--B", b"--B--", b"--C", b"--C--", b"", b"", b"text", b"--"]
)  # fmt: skip


@given(st.lists(_PIECES, max_size=30))
def test_each_leaf_has_its_number(lines: list[bytes]) -> None:
    data = b"\r\n".join(lines)
    root = scan(data)
    for numbers, part in leaves(root):
        assert section(root, numbers) is part
    assert all(part.parts or part.body == part.end for part in _multiparts(root))


def _multiparts(root: Part) -> list[Part]:
    work, found = [root], []
    while work:
        part = work.pop()
        work += part.parts
        if part.is_multipart:
            found.append(part)
    return found
