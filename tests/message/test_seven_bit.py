"""8-bit mail for servers that take 7 bits only."""

import email
from email import policy

import pytest

from posthouse.message.seven_bit import to_seven_bit
from tests.outside import samples

MIME = b"Subject: x\r\nMIME-Version: 1.0\r\n"
TEXT = MIME + b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"


def leaves(data: bytes) -> list[tuple[str, bytes]]:
    message = email.message_from_bytes(data, policy=policy.compat32)
    return [
        (part.get_content_type(), bytes(part.get_payload(decode=True)))
        for part in message.walk()
        if not part.is_multipart()
    ]


def is_presentable(data: bytes) -> bool:
    lines = data.split(b"\r\n")
    return data.isascii() and b"\0" not in data and max(map(len, lines)) <= 998 and not b"".join(lines).count(b"\n")


@pytest.mark.parametrize(
    "message",
    [
        TEXT + "Grüße\r\n".encode(),
        TEXT + "Grüße ".encode() + b"a" * 3000 + b"\r\n.dot\r\n \r\n=41\r\n",
        TEXT + b"\xff\xfe no charset \x00\r\n",
        TEXT + b"bare\rcr and bare\nlf\r\n",
        MIME + b"Content-Type: image/png\r\n\r\n" + bytes(range(256)) * 20,
        MIME
        + b'Content-Type: multipart/mixed; boundary="b"\r\n\r\npre\r\n--b\r\n'
        + b"Content-Type: text/plain\r\n\r\nplain\r\n--b\r\n"
        + "Content-Type: text/html; charset=utf-8\r\n\r\n<p>ü</p>\r\n--b--\r\n".encode(),
        MIME + b"Content-Type: message/rfc822\r\n\r\n" + TEXT + "ü\r\n".encode(),
    ],
)
def test_the_same_content_in_seven_bits(message: bytes) -> None:
    converted = to_seven_bit(message)
    assert converted is not None
    assert is_presentable(converted)
    assert [kind for kind, _ in leaves(converted)] == [kind for kind, _ in leaves(message)]
    for (_, after), (_, before) in zip(leaves(converted), leaves(message), strict=True):
        assert after.rstrip(b"\r\n") == before.rstrip(b"\r\n")


def test_what_is_plain_stays() -> None:
    for message in samples.edges().values():
        if is_presentable(message):
            assert to_seven_bit(message) == message


def test_only_the_part_that_needs_it_changes() -> None:
    plain = b"--b\r\nContent-Type: text/plain\r\n\r\nleft =alone\r\n"
    message = (
        MIME
        + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
        + plain
        + b"--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
        + b"\xc3\xbc\r\n--b--\r\n"
    )
    converted = to_seven_bit(message)
    assert converted is not None
    assert plain in converted
    assert converted.count(b"quoted-printable") == 1


@pytest.mark.parametrize(
    "message",
    [
        "Subject: ü\r\nMIME-Version: 1.0\r\n\r\nx\r\n".encode(),  # the header itself
        "Subject: x\r\n\r\nno MIME: ü\r\n".encode(),
        MIME + b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n\xc3\xbc\r\n--b--\r\n",  # RFC 1847 2.1
        MIME + b"Content-Type: multipart/mixed\r\n\r\n\xc3\xbc\r\n",
        MIME + b"Content-Type: message/partial\r\n\r\n\xc3\xbc\r\n",
        MIME + b"Content-Transfer-Encoding: base64\r\n\r\n\xc3\xbc\r\n",
    ],
)
def test_what_cannot_be_is_told(message: bytes) -> None:
    assert to_seven_bit(message) is None


def test_nesting_is_bounded() -> None:
    message = TEXT + b"\xc3\xbc\r\n"
    for _ in range(200):
        message = MIME + b"Content-Type: message/rfc822\r\n\r\n" + message
    assert to_seven_bit(message) is None
