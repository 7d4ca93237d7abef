from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.message.mime import scan
from posthouse.message.text import preview
from posthouse.message.text.preview import MAX_PREVIEW

TEXT = b"Content-Type: text/plain; charset=utf-8\r\n\r\n%b\r\n"
HTML = b"Content-Type: text/html; charset=utf-8\r\n\r\n%b\r\n"
ATTACHED = b"Content-Disposition: attachment\r\n" + TEXT
MESSAGE = b"Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\n%b\r\n"


def _of(data: bytes) -> str:
    return preview(data, scan(data))


def _multipart(kind: bytes, *parts: bytes) -> bytes:
    boundary = b"%b-%d" % (kind, sum(map(len, parts)))
    head = b"Content-Type: multipart/%b; boundary=%b\r\n\r\n" % (kind, boundary)
    return head + b"".join(b"--%b\r\n%b\r\n" % (boundary, part) for part in parts) + b"--%b--\r\n" % boundary


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        (b"Subject: x\r\n\r\n", ""),
        (TEXT % b" a \r\n\r\n\tb ", "a b"),
        (HTML % b"<style>p{}</style><p>caf&eacute;<br>b", "café b"),
        (_multipart(b"alternative", TEXT % b"plain", HTML % b"html"), "plain"),
        (_multipart(b"alternative", HTML % b"html", TEXT % b"plain"), "plain"),
        (_multipart(b"alternative", TEXT % b" ", HTML % b"html"), "html"),
        (_multipart(b"alternative", _multipart(b"related", HTML % b"html"), TEXT % b"plain"), "plain"),
        (_multipart(b"mixed", _multipart(b"alternative", TEXT % b"a", HTML % b"b"), TEXT % b"footer"), "a"),
        # The plain part is not always what was written.
        (_multipart(b"mixed", HTML % b"html", TEXT % b"footer"), "html"),
        (_multipart(b"mixed", HTML % b"html", ATTACHED % b"file"), "html"),
        (_multipart(b"mixed", ATTACHED % b"file", HTML % b"html"), "html"),
        (_multipart(b"mixed", MESSAGE % b"forwarded", TEXT % b"text"), "text"),
        # But it is better than nothing.
        (_multipart(b"mixed", TEXT % b"", MESSAGE % b"forwarded"), "forwarded"),
        (_multipart(b"mixed", ATTACHED % b"file"), "file"),
        (ATTACHED % b"file", "file"),
        (b"Content-Type: image/gif\r\n\r\nGIF89a", ""),
        (b"Content-Type: text/plain\r\nContent-Transfer-Encoding: x-uue\r\n\r\nabc", ""),
        (b"Content-Transfer-Encoding: base64\r\n\r\n" + b64encode("häßlich".encode()), "häßlich"),
        # padding of newsletters, marks of direction, controls
        (TEXT % "\ufeffHi\u00ad\u200b \u200c\u00a0\u200c\u00a0\u034f \u202eyou\x1b\x07!".encode(), "Hi you!"),
        (TEXT % "👨\u200d👩 می\u200cخواهم".encode(), "👨\u200d👩 می\u200cخواهم"),
        (TEXT % (b"x" * 300), "x" * MAX_PREVIEW),
        (TEXT % ("ж" * 300).encode(), "ж" * MAX_PREVIEW),
        (TEXT % (b"x" * 199 + b" y"), "x" * 199),
    ],
)
def test_preview(data: bytes, text: str) -> None:
    assert _of(data) == text


def test_of_long_parts_the_beginning_is_enough() -> None:
    """A character may be cut where reading ends."""
    for shift in range(4):
        assert _of(TEXT % (b"x" * shift + "жуж ".encode() * 20_000)).startswith("x" * shift + "жуж жуж")
    assert _of(TEXT % (b" " * 100_000 + b"late")) == ""


@given(st.text())
def test_one_line_of_what_is_there(text: str) -> None:
    found = _of(TEXT % text.encode("utf-8", "replace"))
    assert len(found) <= MAX_PREVIEW
    assert found == " ".join(found.split())
    assert found.isprintable() or any(character > "\x7f" for character in found)
