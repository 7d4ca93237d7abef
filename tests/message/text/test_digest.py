import dataclasses
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.message.mime import body_structure, envelope, scan
from posthouse.message.text import Digest, digest
from posthouse.message.text.digest import MAX_TEXT

RECEIVED = 1_000_000_000
PLAIN = b"""\
From: =?utf-8?q?J=C3=B6rg?= <Joerg@Example.org>, Ann <ann@example.org>\r
To: <Bob@example.org>\r
Cc: Carol@example.org\r
Cc: dan@example.org\r
Bcc: eve@example.org\r
Subject: Re: [list]\r
 =?iso-8859-1?q?Gr=FC=DFe?=\r
Date: Sat, 1 Jan 2000 00:30:00 +0100\r
Message-ID: <4@example.org>\r
In-Reply-To: <3@example.org> <2@example.org>\r
\r
Hello,\r
World\r
"""
MIXED = b"""\
Subject: parcel\r
References: <1@x> <2@x>\r
In-Reply-To: <3@x>\r
Content-Type: multipart/mixed; boundary=b\r
\r
preamble\r
--b\r
Content-Type: text/html; charset=iso-8859-1\r
Content-Transfer-Encoding: quoted-printable\r
\r
<p>caf=E9<script>hidden</script>\r
--b\r
Content-Type: message/rfc822\r
\r
Subject: =?utf-8?q?inner_caf=C3=A9?=\r
\r
inner text\r
--b\r
Content-Type: application/pdf; name="=?utf-8?q?b=C3=A4r.pdf?="\r
Content-Disposition: attachment; filename*=utf-8''b%C3%A4r%20100%.pdf\r
Content-Transfer-Encoding: base64\r
\r
c2VjcmV0\r
--b\r
Content-Type: message/delivery-status\r
\r
Status: 5.1.1\r
--b--\r
"""


def test_plain() -> None:
    root = scan(PLAIN)
    assert digest(PLAIN, RECEIVED) == Digest(
        envelope=envelope(PLAIN, root),
        structure=body_structure(PLAIN, root),
        preview="Hello, World",
        header="from: Jörg <Joerg@Example.org>, Ann <ann@example.org>\n"
        "to: <Bob@example.org>\ncc: Carol@example.org\ncc: dan@example.org\nbcc: eve@example.org\n"
        "subject: Re: [list] Grüße\ndate: Sat, 1 Jan 2000 00:30:00 +0100\nmessage-id: <4@example.org>\n"
        "in-reply-to: <3@example.org> <2@example.org>",
        parts="",
        body="Hello,\r\nWorld\r\n",
        subject="Re: [list] Grüße",
        sender="Jörg <Joerg@Example.org>, Ann <ann@example.org>",
        to="<Bob@example.org>",
        cc="Carol@example.org, dan@example.org",
        bcc="eve@example.org",
        sent=946683000,
        sent_day=10957,
        base_subject="GRU\u0308ßE",
        is_reply=True,
        sort_from="JOERG",
        sort_to="BOB",
        sort_cc="CAROL",
        show_from="JO\u0308RG",
        show_to="BOB@EXAMPLE.ORG",
        message_id="4@example.org",
        references=("3@example.org",),  # RFC 5256 3: the first of In-Reply-To
    )


def test_mixed() -> None:
    found = digest(MIXED, RECEIVED)
    assert (found.sent, found.sent_day) == (RECEIVED, RECEIVED // 86400)
    assert found.references == ("1@x", "2@x")
    assert found.preview == "café"
    assert found.body.split() == ["café", "inner", "text", "Status:", "5.1.1"]
    assert "subject: inner café" in found.parts.split("\n")
    assert "bär 100%.pdf" in found.parts.split("\n")
    assert "content-type: message/rfc822" in found.parts.split("\n")


def test_it_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        digest(b"", 0).subject = "x"  # type: ignore[misc]


def test_the_first_subject_is_sorted_by_and_all_are_searched() -> None:
    found = digest(b"Subject: Re: a\r\nSubject: b\r\n\r\n", 0)
    assert (found.subject, found.base_subject, found.is_reply) == ("Re: a, b", "A", True)


@pytest.mark.parametrize(
    ("addresses", "mailbox", "shown"),
    [
        (b"Ann <a@b.test>", "A", "ANN"),
        (b'"" <a@b.test>', "A", "A@B.TEST"),
        (b"=?utf-8?q??= <a@b.test>", "A", "A@B.TEST"),
        (b"A@B.test (Ann)", "A", "ANN"),
        (b"Friends: a@b.test;", "FRIENDS", "FRIENDS"),
        (b"", "", ""),
        (b"\xe4@b.test", "A\u0308", "A\u0308@B.TEST"),
        (b"a@b.test, " * 1000, "A", "A@B.TEST"),
    ],
)
def test_addresses(addresses: bytes, mailbox: str, shown: str) -> None:
    """RFC 5256 3 and RFC 5957 3."""
    found = digest(b"From: %b\r\nTo: %b\r\nCc: %b\r\n\r\n" % ((addresses,) * 3), 0)
    assert (found.sort_from, found.sort_to, found.sort_cc) == (mailbox,) * 3
    assert (found.show_from, found.show_to) == (shown, shown)


def test_no_field_comes_out_of_a_word() -> None:
    found = digest(b"Subject: =?utf-8?q?a=0AX-Spam:_no?=\r\nX: =?utf-8?b?Cgo=?=b\r\n\r\n", 0)
    assert found.header == "subject: a X-Spam: no\nx:  b"


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n" + b"x" * (MAX_TEXT + 9),
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + (b"--b\r\n\r\n" + b"x" * 1000 + b"\r\n") * 2000,
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + (b"--b\r\nX: " + b"x" * 1000 + b"\r\n\r\n\r\n") * 2000,
        b"Content-Type: text/html\r\n\r\n" + b"<p>" * (2 * MAX_TEXT),
        b"Content-Transfer-Encoding: base64\r\n\r\n" + b64encode(b"x" * (MAX_TEXT + 9)),
    ],
    ids=["text", "texts", "headers", "tags", "base64"],
)
def test_texts_have_a_bound(data: bytes) -> None:
    found = digest(data, 0)
    assert len(found.body) <= MAX_TEXT
    assert len(found.parts) <= MAX_TEXT


PIECES = st.sampled_from(
    [*PLAIN.splitlines(keepends=True), *MIXED.splitlines(keepends=True), b"\r\n", b"--b\r\n", b"--b--\r\n", b"<", b"\0",
     b"Content-Type: text/plain; charset=utf-7\r\n", b"Content-Type: text/plain; charset=utf-16\r\n", b"&#9", b"\xff"]
)  # fmt: skip


@given(st.one_of(st.binary(), st.lists(PIECES).map(b"".join)), st.integers(0, 2**40))
def test_never_raises(data: bytes, received: int) -> None:
    found = digest(data, received)
    for value in dataclasses.astuple(found):
        if isinstance(value, str):
            value.encode()
    for value in (found.subject, found.sender, found.to, found.cc, found.bcc, found.preview):
        assert "\n" not in value
