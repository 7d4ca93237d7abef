"""Messages that canonicalisation could get wrong: name -> (header section with its empty line, body)."""

_HEAD = (
    b"Received: from there by here; Thu, 1 Jan 2026 00:00:00 +0000\r\n"
    b"From: Alice <alice@example.test>\r\n"
    b"To: bob@b.test\r\n"
    b"Subject: Hello\r\n"
    b"Date: Thu, 1 Jan 2026 00:00:00 +0000\r\n"
    b"Message-ID: <1@example.test>\r\n"
)
_BODY = b"Hello Bob,\r\n\r\nthis is a message.\r\n"
_FOLDED = (
    b"FROM:alice@example.test\r\n"
    b"to:\tbob@b.test,\r\n\tcarol@b.test \t ,\r\n  dave@b.test  \r\n"
    b"Subject:\r\n a   folded\t\tsubject \r\n"
    b"Date: Thu,  1 Jan 2026 00:00:00 +0000\r\n"
    b"References: <1@b.test>\r\n\t<2@b.test>\r\n <3@b.test>\r\n"
    b"List-Unsubscribe: <mailto:leave@b.test>,\r\n  <https://b.test/leave>\r\n"
)
_DUPLICATE = (
    b"Subject: above\r\nList-Id: one\r\nTo: first@b.test\r\nFrom: alice@example.test\r\n"
    b"To: second@b.test\r\nSubject: below\r\nList-Id: two\r\nTo: third@b.test\r\n"
)

MESSAGES = {
    "plain": (_HEAD, _BODY),
    "8-bit": (_HEAD.replace(b"Hello", "Grüße".encode()), "Schöne Grüße, Bob\r\n".encode() + b"\xff\xfe\x80\r\n"),
    "empty body": (_HEAD, b""),
    "blank lines only": (_HEAD, b"\r\n \t \r\n\r\n"),
    "trailing blank lines": (_HEAD, _BODY + b"\r\n" * 9),
    "trailing spaces": (_HEAD, b"a  \t b \t\r\n \r\n\tc\t\r\n  \r\n \t\r\n"),
    "folded headers": (_FOLDED, _BODY),
    "space before the colon": (_HEAD.replace(b"Subject:", b"Subject \t:"), _BODY),
    "duplicate headers": (_DUPLICATE, _BODY),
    "no subject": (b"From: alice@example.test\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\n", _BODY),
    "1 MB": (_HEAD, b"A line of  some length, with two spaces \t in it.\r\n" * 20_000),
    "dot lines": (_HEAD, b".\r\n..\r\n.a\r\n .\r\n.\r\n"),
}


def message(name: str) -> tuple[bytes, bytes]:
    head, body = MESSAGES[name]
    return head + b"\r\n", body
