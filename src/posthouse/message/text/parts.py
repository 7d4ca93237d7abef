"""What the parts of a message say, as text: header fields, names of files, contents."""

import re
from collections.abc import Iterator

from posthouse.message.header import fields
from posthouse.message.mime import Part, UnknownEncodingError, decoded
from posthouse.message.text.charsets import charset_text, raw_text
from posthouse.message.text.headers import header_text
from posthouse.message.text.html import html_text

MAX_HEADER = 256 << 10  # octets of a header that can be searched
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")


def leaves(root: Part) -> Iterator[Part]:
    """All parts that hold no parts, in order."""
    work = [root]
    while work:
        part = work.pop()
        if part.parts:
            work += reversed(part.parts)
        else:
            yield part


def is_text(part: Part) -> bool:
    """Whether it is of type text."""
    return part.type.lower() == b"text"


def part_text(data: bytes, part: Part, octets: int) -> str:
    """What a part's first octets say; "" in an encoding that is not known."""
    end = min(part.end, part.body + octets)
    short = Part(part.header, part.body, end, 0, part.type, part.subtype, part.params, part.encoding)
    try:
        contents = decoded(data, short)
    except UnknownEncodingError:
        return ""
    text = charset_text(contents, part.param(b"charset") or b"utf-8")
    return html_text(text) if part.subtype.lower() in (b"html", b"xhtml", b"x-amp-html") else text


def header_lines(data: bytes, part: Part) -> Iterator[tuple[bytes, bytes, str]]:
    """(name in lower case, value, value as text) of each field; what is no field has no name."""
    header = data[part.header : min(part.body, part.header + MAX_HEADER)]
    return ((name, value, header_text(value)) for name, value in fields(header, bare_lf=True))


def header_line(name: bytes, text: str) -> str:
    """A field in the form in which headers are searched."""
    return f"{raw_text(name)}: {text}" if name else text


def file_name(part: Part) -> str:
    """The name of the file in it, as its writer meant it; "" without one."""
    for name, value in (*part.disposition_params, *part.params):
        if name in (b"filename", b"name"):
            return header_text(value)
        if name in (b"filename*", b"name*"):
            return _extended(value)
    return ""


def _extended(value: bytes) -> str:
    """A coded parameter: charset'language'text (RFC 2231 4)."""
    charset, _, rest = value.partition(b"'")
    octets = _ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()), rest.partition(b"'")[2])
    return charset_text(octets, charset)
