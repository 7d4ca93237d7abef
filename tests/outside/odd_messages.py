"""Messages as nobody should write them, and some as few do: for comparing what servers make of them."""

# ruff: noqa: E501 -- messages in one line each

from collections.abc import Iterator

from tests.outside.samples import cpython_messages

_ADDRESSES = [
    b"joe@example.org",
    b"<joe@example.org>",
    b"Joe Q. Public <john.q.public@example.com>",
    b'"Joe Q. Public" <joe@example.org>',
    b'"Joe \\"Q\\" Public" <joe@example.org>',
    b'"Back\\\\slash" <joe@example.org>',
    b"joe@example.org (Joe Public)",
    b"Joe (the one) Public <joe@example.org>",
    b"(comment) joe@example.org",
    b"joe(comment)@example.org",
    b"joe@example.org(comment)",
    b"joe @ example . org",
    b"joe . public@example.org",
    b"Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>",
    b"A Group(Some people):Chris Jones <c@(Chris's host.)public.example>, joe@example.org, John <jdoe@one.test>;",
    b"(Empty list)(start)Hidden recipients  :(nobody(that I know))  ;",
    b"Undisclosed recipients:;",
    b"group: a@b.test, c@d.test;, e@f.test",
    b"a@b.test, c@d.test, e@f.test",
    b"a@b.test,, c@d.test",
    b", a@b.test",
    b"a@b.test,",
    b"<@a.test,@b.test:joe@example.org>",
    b"Joe <@relay.test:joe@example.org>",
    b'"joe public"@example.org',
    b'"joe@home"@example.org',
    b"joe@[192.0.2.1]",
    b"joe@[IPv6:2001:db8::1]",
    b"<>",
    b"Joe <>",
    b"joe",
    b"Joe Public",
    b'"Joe Public"',
    b"@example.org",
    b"joe@",
    b"<joe>",
    b"<joe@example.org",
    b"joe@example.org>",
    b"=?utf-8?q?J=C3=B6rg?= <joerg@example.org>",
    b'"=?utf-8?q?J=C3=B6rg?=" <joerg@example.org>',
    b"=?utf-8?q?J=C3=B6rg_=28x=29?= <joerg@example.org>",
    "Jörg <jörg@bücher.example>".encode(),
    b"J\xf6rg <joerg@example.org>",
    b"Joe Public\r\n <joe@example.org>",
    b"Joe\r\n\tPublic <joe@example.org>,\r\n Ann <ann@example.org>",
    b"Joe; joe@example.org",
    b"a@b.test; c@d.test",
    b"mailto:joe@example.org",
    b"joe@example.org joe2@example.org",
    b'Joe "The Man" Public <joe@example.org>',
    b"",
    b" ",
    b"(only a comment)",
    b'"unclosed <joe@example.org>',
    b"(unclosed joe@example.org",
    b"joe..public@example.org",
    b".joe@example.org",
    b"joe@example..org",
    b"First.Last <x@y.test>",
    b"a b c d e <x@y.test>",
    b"very" * 60 + b"@example.org",
    b", ".join(b"user%d@example.org" % number for number in range(60)),
]
_TYPES = [
    b"text/plain",
    b"TEXT/PLAIN",
    b"Text/Html; charset=UTF-8",
    b"text/plain; charset=us-ascii (Plain text)",
    b'text/plain; charset="utf-8"; format=flowed; delsp=yes',
    b"text/plain; charset = utf-8",
    b"text/plain;charset=utf-8;",
    b"text/plain; charset",
    b"text/plain; charset=",
    b"text/plain; =utf-8",
    b"text/plain; charset=utf-8; charset=latin1",
    b"text",
    b"text/",
    b"/plain",
    b"",
    b"text plain",
    b"text/plain/more; a=b",
    b"application/octet-stream; name=a.bin",
    b'application/octet-stream; name="a b.bin"',
    b'application/octet-stream; name="a\\"b.bin"',
    b"application/octet-stream; name*=utf-8''%e2%82%ac.bin",
    b'application/octet-stream; name*0="long"; name*1="name.bin"',
    b"application/octet-stream; name*0*=utf-8''a%20; name*1*=b; name*2=c",
    b"application/octet-stream; name*1=b; name*0=a",
    b"application/octet-stream; name=\r\n a.bin; x=y",
    b"application/x-stuff; a=1; b=2; c=3; d=4",
    b"image/png; name==?utf-8?q?J=C3=B6rg.png?=",
    b'image/png; name="=?utf-8?q?J=C3=B6rg.png?="',
    b"x-custom/x-thing",
    b"message/partial; id=abc; number=1; total=2",
    b"message/external-body; access-type=local-file; name=x",
    b"message/delivery-status",
    b"message/rfc822",
    b"multipart/mixed",
    b"multipart/mixed; boundary=",
    b'multipart/mixed; boundary=""',
    b"multipart/mixed; boundary=never",
    b"text/plain; boundary=b",
    b"text/plain; name=a;;; x=y",
]
_ENCODINGS = [
    b"7bit",
    b"8BIT",
    b"binary",
    b"base64",
    b"Quoted-Printable",
    b"x-uuencode",
    b"",
    b"base64 (really)",
    b"7bit;",
    b"a b",
]
_DISPOSITIONS = [
    b"attachment",
    b"inline; filename=a.txt",
    b'attachment; filename="a b.txt"; size=12',
    b"attachment; filename*=utf-8''%c3%a4.txt",
    b"ATTACHMENT; FILENAME=A.TXT",
    b"attachment filename=a",
    b"; filename=a",
    b"",
    b"form-data; name=x",
    b'attachment; filename=a.txt; creation-date="Wed, 12 Feb 1997 16:29:51 -0500"',
]
_SUBJECTS = [
    b"plain",
    b"",
    b"  leading space",
    b"Re: plain",
    b"RE: Re: plain",
    b"Fwd: plain",
    b"[list] Re: plain",
    b"plain (fwd)",
    b"[Fwd: plain]",
    b"=?utf-8?q?Gr=C3=BC=C3=9Fe?=",
    b"=?utf-8?b?R3LDvMOfZQ==?=",
    b"=?iso-8859-1?q?Gr=FC=DFe?= =?iso-8859-1?q?_aus_K=F6ln?=",
    b"=?utf-8?b?R3LD?= =?utf-8?b?vMOfZQ==?=",
    b"=?utf-8?q?broken",
    b"=?nonsense?q?abc?=",
    "Grüße".encode(),
    b"Gr\xfc\xdfe",
    b"folded\r\n  subject",
    b"folded\r\n\tsubject\r\n here",
    b'with "quotes" and \\backslash',
    b"tab\there",
    b"x" * 2000,
    b"a\r\n \r\n b",
]
_DATES = [
    b"Mon, 05 Jan 2026 10:00:00 +0000",
    b"5 Jan 2026 10:00:00 +0100",
    b"Mon, 5 Jan 26 10:00 GMT",
    b"Mon, 05 Jan 2026 23:59:59 -0500 (EST)",
    b"Sun, 06 Nov 1994 08:49:37 GMT",
    b"2026-01-05 10:00:00",
    b"nonsense",
    b"",
    b"Fri, 31 Feb 2026 10:00:00 +0000",
    b"Tue, 05 Jan 2026 25:00:00 +0000",
]


def _crlf(text: bytes) -> bytes:
    return text.replace(b"\n", b"\r\n")


_MULTIPARTS = {
    "usual": b"--b\n\none\n--b\n\ntwo\n--b--\n",
    "preamble": b"preamble\n--b\n\none\n--b--\nepilogue\n",
    "unclosed": b"--b\n\none\n--b\n\ntwo\n",
    "no blank line": b"--b\none\n--b--\n",
    "header only": b"--b\nContent-Type: text/html\n--b--\n",
    "header without end": b"--b\nContent-Type: text/html\n\n--b--\n",
    "empty part": b"--b\n\n\n--b--\n",
    "no part": b"--b--\n",
    "nothing": b"",
    "only text": b"no boundary at all\n",
    "trailing space": b"--b \n\none\n--b\t\n\ntwo\n--b-- \n",
    "space before": b" --b\n\none\n--b\n\ntwo\n--b--\n",
    "twice closed": b"--b\n\none\n--b--\n--b\n\ntwo\n--b--\n",
    "no line end": b"--b\n\none\n--b--",
    "cut in the boundary": b"--b\n\none\n--b-",
    "three": b"--b\nContent-Type: text/plain\n\none\n--b\nContent-Type: text/html\n\n<p>two\n--b\nContent-Type: image/gif\nContent-Transfer-Encoding: base64\n\nR0lG\n--b--\n",
    "message": b"--b\nContent-Type: message/rfc822\n\nFrom: a@b.test\nSubject: inner\n\ninner body\n--b--\n",
    "message without header": b"--b\nContent-Type: message/rfc822\n\n\ninner body\n--b--\n",
    "empty message": b"--b\nContent-Type: message/rfc822\n\n--b--\n",
    "multipart message": b"--b\nContent-Type: message/rfc822\n\nSubject: inner\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\nx\n--c\n\ny\n--c--\n--b--\n",
    "nested": b"--b\nContent-Type: multipart/alternative; boundary=c\n\n--c\n\nx\n--c\nContent-Type: text/html\n\ny\n--c--\n--b\n\nz\n--b--\n",
    "nested unclosed": b"--b\nContent-Type: multipart/alternative; boundary=c\n\n--c\n\nx\n--b\n\nz\n--b--\n",
    "nested prefix": b"--b\nContent-Type: multipart/alternative; boundary=bb\n\n--bb\n\nx\n--bb--\n--b\n\nz\n--b--\n",
    "id and description": b"--b\nContent-ID: <x@y>\nContent-Description: some\n thing\nContent-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==\n\none\n--b--\n",
    "language": b"--b\nContent-Language: en, de\nContent-Location: http://x.test/\n\none\n--b--\n",
    "utf8": b"--b\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n\xc3\xa4\xc3\xb6\n--b--\n",
    "quoted": b"--b\nContent-Transfer-Encoding: quoted-printable\n\n=C3=A4=\n=20x\n--b--\n",
    "dashes": b"--b\n\n--\nsignature\n--\n--b--\n",
    "like it": b"--b\n\n--bx\n--b--\n",
}
_HEADERS = {
    "duplicate subject": b"Subject: one\nSubject: two\n\nx\n",
    "duplicate from": b"From: a@b.test\nFrom: c@d.test\n\nx\n",
    "duplicate to": b"To: a@b.test\nTo: c@d.test\n\nx\n",
    "duplicate type": b"Content-Type: text/html\nContent-Type: text/plain\n\nx\n",
    "space before colon": b"Subject : x\nFrom : a@b.test\n\nx\n",
    "no colon": b"Subject x\nFrom: a@b.test\n\nx\n",
    "no header": b"\nbody\n",
    "no body": b"Subject: x\n\n",
    "header only": b"Subject: x\n",
    "no line end": b"Subject: x\n\nbody",
    "mbox line": b"From joe Mon Jan  5 10:00:00 2026\nSubject: x\n\nbody\n",
    "blank continued": b"Subject: x\n \n y\n\nbody\n",
    "starts folded": b" folded\nSubject: x\n\nbody\n",
    "ids": b"Message-ID: <a@b.test>\nIn-Reply-To: <c@d.test> <e@f.test>\nReferences: <g@h.test>\n <c@d.test>\n\nx\n",
    "odd ids": b"Message-ID: no brackets\nIn-Reply-To: Your message of Monday\n\nx\n",
    "empty fields": b"Subject:\nFrom:\nTo:\nMessage-ID:\nDate:\n\nx\n",
    "case": b"SUBJECT: x\nfrom: a@b.test\nmEsSaGe-Id: <x@y>\n\nx\n",
    "tabs": b"Subject:\tx\nFrom:\ta@b.test\n\nx\n",
    "many": b"".join(b"X-%d: y\n" % number for number in range(300)) + b"\nx\n",
    "sender": b"From: a@b.test\nSender: c@d.test\nReply-To: e@f.test\n\nx\n",
    "empty sender": b"From: a@b.test\nSender:\nReply-To:\n\nx\n",
    "resent": b"Resent-From: r@s.test\nFrom: a@b.test\n\nx\n",
    "mime version": b"MIME-Version: 1.0\nContent-Type: text/plain\n\nx\n",
    "long word": b"Subject: x\n\n" + b"y" * 5000 + b"\n",
    "lines": b"Subject: x\n\n" + b"\n" * 50,
    "eight bit body": b"Subject: x\n\n\xe4\xf6\xfc\n",
}


def odd_messages() -> dict[str, bytes]:
    """Name -> message, with CRLF, more than 300 of them."""
    return dict(_all())


def _all() -> Iterator[tuple[str, bytes]]:
    for name, message in cpython_messages().items():
        yield f"cpython {name}", message
    for number, address in enumerate(_ADDRESSES):
        yield f"from {number}", b"From: %b\r\nSubject: s\r\n\r\nx\r\n" % address
        yield f"to {number}", b"From: a@b.test\r\nTo: %b\r\nCc: %b\r\n\r\nx\r\n" % (address, address)
    for number, kind in enumerate(_TYPES):
        yield f"type {number}", b"Subject: s\r\nContent-Type: %b\r\n\r\nline\r\nline\r\n" % kind
        part = b"--b\r\nContent-Type: %b\r\n\r\nline\r\n--b--\r\n" % kind
        yield f"part type {number}", b"Content-Type: multipart/mixed; boundary=b\r\n\r\n%b" % part
    for number, encoding in enumerate(_ENCODINGS):
        yield f"encoding {number}", b"MIME-Version: 1.0\r\nContent-Transfer-Encoding: %b\r\n\r\nline\r\n" % encoding
    for number, disposition in enumerate(_DISPOSITIONS):
        yield f"disposition {number}", b"MIME-Version: 1.0\r\nContent-Disposition: %b\r\n\r\nline\r\n" % disposition
    for number, subject in enumerate(_SUBJECTS):
        yield f"subject {number}", b"Subject: %b\r\nFrom: s%d@example.org\r\n\r\nx\r\n" % (subject, number)
    for number, date in enumerate(_DATES):
        yield f"date {number}", b"Date: %b\r\nSubject: dated\r\n\r\nx\r\n" % date
    for kind in (b"mixed", b"digest", b"alternative"):
        for name, body in _MULTIPARTS.items():
            head = b'Content-Type: multipart/%b; boundary="b"\r\n\r\n' % kind
            yield f"{kind.decode()} {name}", head + _crlf(body)
    for name, message in _HEADERS.items():
        yield f"header {name}", _crlf(message)
