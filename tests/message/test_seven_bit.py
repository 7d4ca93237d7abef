"""8-bit mail for servers that take 7 bits only."""

import base64
import email
import quopri
import re
from email import policy
from email.generator import BytesGenerator
from email.message import Message
from io import BytesIO

import pytest

from posthouse.message.coding import is_seven_bit
from posthouse.message.header import header_end
from posthouse.message.seven_bit import MAX_PARTS, to_seven_bit
from tests.outside import samples

MIME = b"Subject: x\r\nMIME-Version: 1.0\r\n"
TEXT = MIME + b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
PART = b"Content-Type: text/plain; charset=utf-8\r\n\r\n\xc3\xbc\r\n"


def multipart(kind: str, *parts: bytes, more: bytes = b"") -> bytes:
    body = b"".join(b"--b\r\n" + part for part in parts)
    return MIME + f'Content-Type: multipart/{kind}; boundary="b"\r\n'.encode() + more + b"\r\n" + body + b"--b--\r\n"


def leaves(data: bytes) -> list[tuple[str, bytes]]:
    message = email.message_from_bytes(data, policy=policy.compat32)
    return [
        (part.get_content_type(), bytes(part.get_payload(decode=True)))
        for part in message.walk()
        if not part.is_multipart()
    ]


def same_content(converted: bytes, message: bytes) -> None:
    after, before = leaves(converted), leaves(message)
    assert [kind for kind, _ in after] == [kind for kind, _ in before]
    for (_, new), (_, old) in zip(after, before, strict=True):
        assert new.rstrip(b"\r\n") == old.rstrip(b"\r\n")


@pytest.mark.parametrize(
    "message",
    [
        TEXT + "Grüße\r\n".encode(),
        TEXT + "Grüße ".encode() + b"a" * 3000 + b"\r\n.dot\r\n \r\n=41\r\n",
        TEXT + b"\xff\xfe no charset \x00\r\n",
        TEXT + b"bare\rcr and bare\nlf\r\n",
        MIME + b"Content-Type: image/png\r\n\r\n" + bytes(range(256)) * 20,
        multipart("mixed", b"Content-Type: text/plain\r\n\r\nplain\r\n", PART),
        multipart("mixed", PART, more=b"Content-Transfer-Encoding: 8bit\r\n"),
        multipart("mixed", b"\r\nno header, \xc3\xbc\r\n"),
        multipart("mixed", PART, b"Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n\r\nleft\r\n--s--\r\n"),
        multipart("mixed", PART).removesuffix(b"--b--\r\n"),  # never closed
        multipart("digest", b"\r\n" + TEXT + "ü\r\n".encode()),
        multipart("digest", PART),
        MIME + b"Content-Type: message/rfc822\r\n\r\n" + TEXT + "ü\r\n".encode(),
        MIME + b"Content-Type: Text/Plain (a comment); charset=utf-8\r\n\r\n\xc3\xbc\r\n",
        MIME
        + b'Content-Type: multipart/mixed;\r\n\tx="; boundary=c";\r\n\tboundary="b"\r\n\r\n--b\r\n'
        + PART
        + b"--b--",
    ],
)
def test_the_same_content_in_seven_bits(message: bytes) -> None:
    converted = to_seven_bit(message)
    assert converted is not None
    assert is_seven_bit(converted)
    assert not re.search(rb"(?i)encoding: *(8bit|binary)", converted)
    assert to_seven_bit(converted) is converted
    same_content(converted, message)


def eight_bit_form(name: str) -> bytes | None:
    """One of CPython's messages with 8-bit letters in each of its texts; None: it has no text, or is broken."""
    message = email.message_from_bytes(samples.cpython_messages()[name], policy=policy.compat32)
    parts = list(message.walk())
    texts = [part for part in parts if part.get_content_maintype() == "text" and not part.is_multipart()]
    if not texts or any(part.defects for part in parts):
        return None
    for part in texts:
        _put(part, bytes(part.get_payload(decode=True)) + "Grüße, 世界\n".encode())
    out = BytesIO()
    BytesGenerator(out, mangle_from_=False, policy=policy.compat32.clone(linesep="\r\n")).flatten(message)
    return samples.with_crlf(out.getvalue())


def _put(part: Message, content: bytes) -> None:
    del part["Content-Transfer-Encoding"]
    part["Content-Transfer-Encoding"] = "8bit"
    part.set_payload(content.decode("ascii", "surrogateescape"))


def test_other_peoples_messages_keep_their_content() -> None:
    converted = 0
    for name in samples.cpython_messages():
        message = eight_bit_form(name)
        new = None if message is None else to_seven_bit(message)
        if message is not None and new is not None:
            assert is_seven_bit(new), name
            same_content(new, message)
            converted += 1
    assert converted >= 15


def test_what_is_plain_stays() -> None:
    for message in (*samples.edges().values(), *samples.cpython_messages().values()):
        if is_seven_bit(message):
            assert to_seven_bit(message) is message


def test_only_the_part_that_needs_it_changes() -> None:
    plain = b"--b\r\nContent-Type: text/plain\r\n\r\nleft =alone\r\n"
    message = (
        MIME
        + b"Content-Type: multipart/mixed; boundary=b\r\n\r\npre\r\n"
        + plain
        + b"--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\nX-After: 1\r\n\r\n"
        + b"\xc3\xbc\r\n--b--\r\nepilogue"
    )
    assert to_seven_bit(message) == message.replace(b"8bit", b"quoted-printable").replace(b"\xc3\xbc", b"=C3=BC")


def test_a_report_in_utf8_is_coded_whole() -> None:
    """RFC 6532 3.7: unlike message/rfc822 these may be coded."""
    fields = "Final-Recipient: utf-8; jörg@there.test\r\n".encode()
    message = multipart("report", b"Content-Type: message/global-delivery-status\r\n\r\n" + fields)
    converted = to_seven_bit(message)
    assert converted is not None and is_seven_bit(converted)
    assert b"Content-Transfer-Encoding: base64" in converted


@pytest.mark.parametrize(
    "message",
    [
        "From: jörg@here.test\r\n\r\nx\r\n".encode(),  # RFC 6532 alone allows it
        "Message-ID: <ü@here.test>\r\n\r\nx\r\n".encode(),
        "X-Ü: x\r\n\r\nx\r\n".encode(),
        "Content-Type: text/plain; charset=ü\r\n\r\nx\r\n".encode(),
        multipart("signed", PART),  # RFC 1847 2.1
        multipart("encrypted", PART),
        multipart("mixed", multipart("signed", PART).replace(b"b", b"c")),
        multipart("signed (a comment)", PART),
        MIME + b"Content-Type: multipart/mixed\r\n\r\n\xc3\xbc\r\n",
        MIME + b"Content-Type: multipart/mixed; boundary=b\r\n\r\nno part, all \xc3\xbc\r\n",
        multipart("mixed", PART).replace(b"--b", b"\xc3\xbc\r\n--b", 1),  # the preamble
        multipart("mixed", PART) + b"\xc3\xbc\r\n",  # the epilogue
        multipart("mixed; boundary=c", PART),
        multipart("mixed", PART, more=b"Content-Transfer-Encoding: base64\r\n"),
        multipart("mixed", PART, more=b"Content-Type: text/plain\r\n"),
        multipart("mixed", b"no field\r\n" + PART),
        MIME + b"Content-Type: message/partial\r\n\r\n\xc3\xbc\r\n",
        MIME + b"Content-Type: message/delivery-status\r\n\r\n\xc3\xbc\r\n",
        MIME + b"Content-Type: multipart mixed\r\n\r\n\xc3\xbc\r\n",
        MIME + b"Content-Transfer-Encoding: x-uue\r\n\r\n\xc3\xbc\r\n",
        MIME + b"Content-Transfer-Encoding: base64\r\n\r\n\xc3\xbc\r\n",
        MIME + b"Content-Transfer-Encoding: 8bit\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xc3\xbc\r\n",
    ],
)
def test_what_cannot_be_is_told(message: bytes) -> None:
    assert to_seven_bit(message) is None


def test_a_message_without_mime_fields_gets_them() -> None:
    """What cron and scripts write: long lines, 8-bit text."""
    long = b"x" * 3000 + b"\r\n"
    for body, charset in ((long, "us-ascii"), ("Grüße\r\n".encode(), "utf-8"), (b"Gr\xfc\xdfe\r\n", "unknown-8bit")):
        converted = to_seven_bit(b"Subject: x\r\n\r\n" + body)
        assert converted is not None and is_seven_bit(converted)
        message = email.message_from_bytes(converted)
        assert message["MIME-Version"] == "1.0" and message.get_content_charset() == charset
        assert message.get_payload(decode=True) == body
    for head in (b"Content-Type: text/html\r\n", b"Content-Type: Text\r\n", b"Content-Transfer-Encoding: 8bit\r\n"):
        converted = to_seven_bit(head + b"\r\n" + "Grüße\r\n".encode())
        assert converted is not None and is_seven_bit(converted)
        message = email.message_from_bytes(converted)
        assert message["MIME-Version"] == "1.0" and message.get_payload(decode=True) == "Grüße\r\n".encode()


def test_a_header_alone_is_a_message() -> None:
    assert to_seven_bit("Subject: ü\r\n".encode()) == b"Subject: =?utf-8?B?w7w=?=\r\n\r\n"
    assert to_seven_bit("\r\nü\r\n".encode()) == (
        b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\n=C3=BC\r\n"
    )


def test_encoded_bodies_with_long_lines() -> None:
    data = bytes(range(256)) * 20
    message = MIME + b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.b64encode(data)
    for body in (message, message + b"\r\n"):
        converted = to_seven_bit(body)
        assert converted is not None and is_seven_bit(converted)
        same_content(converted, body)
    text = "Grüße".encode() + b"=20" * 800 + b"=\r\n\0 left\r\n"
    converted = to_seven_bit(MIME + b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + text)
    assert converted is not None and is_seven_bit(converted)
    assert quopri.decodestring(converted[header_end(converted) :].replace(b"=\r\n", b"")) == (
        "Grüße".encode() + b" " * 800 + b"\0 left\r\n"
    )


def test_nesting_and_parts_are_bounded() -> None:
    message = TEXT + b"\xc3\xbc\r\n"
    for _ in range(200):
        message = MIME + b"Content-Type: message/rfc822\r\n\r\n" + message
    assert to_seven_bit(message) is None
    assert to_seven_bit(multipart("mixed", *[PART] * (MAX_PARTS - 1))) is not None
    assert to_seven_bit(multipart("mixed", *[PART] * MAX_PARTS)) is None
