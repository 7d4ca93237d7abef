"""Messages made to be hard to read, kept and asked about over IMAP: answers, bounded memory, others served meanwhile.

Each is appended, and then everything is asked about it that makes the server look into it. See siege.
"""

import base64
import re
import time
from collections.abc import Callable

import pytest

from tests.faults.siege import LONG, MIB, Siege
from tests.outside.imap_wire import Answer, ImapWire, quoted

GROWTH = 96 * MIB  # the largest messages here have 20 MiB; some octets more for each octet of one at a time
MULTIPART = b"Content-Type: multipart/mixed; boundary="


def many(count: int, piece: Callable[[int], bytes]) -> bytes:
    return b"".join(map(piece, range(count)))


def with_header(header: bytes) -> bytes:
    return header + b"\r\n\r\nx\r\n"


def with_charset(name: bytes, body: bytes) -> bytes:
    return b"Subject: x\r\nContent-Type: text/plain; charset=%b\r\n\r\n%b\r\n" % (name, body)


def with_encoding(name: bytes, body: bytes) -> bytes:
    return b"Subject: x\r\nContent-Transfer-Encoding: %b\r\n\r\n%b\r\n" % (name, body)


def in_html(body: bytes) -> bytes:
    return b"Subject: x\r\nContent-Type: text/html\r\n\r\n%b\r\n" % body


# Name -> the message. What is deep has a depth of ten thousand.
MESSAGES: dict[str, Callable[[], bytes]] = {
    "multiparts in multiparts": lambda: many(10_000, lambda n: MULTIPART + b"b%d\r\n\r\n--b%d\r\n" % (n, n)),
    "multiparts of one boundary": lambda: (MULTIPART + b"b\r\n\r\n--b\r\n") * 10_000,
    "multiparts that are closed": lambda: (
        many(10_000, lambda n: MULTIPART + b"b%d\r\n\r\n--b%d\r\n" % (n, n))
        + many(10_000, lambda n: b"\r\n--b%d--\r\n" % (9999 - n))
    ),
    "messages in messages": lambda: b"Content-Type: message/rfc822\r\n\r\n" * 10_000,
    "digests in digests": lambda: b"Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\n" * 10_000,
    "a hundred thousand parts": lambda: MULTIPART + b"b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 100_000 + b"--b--\r\n",
    "a hundred thousand messages": lambda: (
        b"Content-Type: multipart/digest; boundary=b\r\n\r\n" + b"--b\r\n\r\nFrom: a@b.test\r\n\r\nx\r\n" * 100_000
    ),
    "boundaries of nobody": lambda: MULTIPART + b"b\r\n\r\n" + b"--c\r\n" * 300_000,
    "a boundary of a megabyte": lambda: MULTIPART + b"b" * MIB + b"\r\n\r\n" + (b"--" + b"b" * MIB + b"\r\n") * 10,
    "headers": lambda: with_header(many(500_000, lambda n: b"X-%d: y\r\n" % n) + b"Subject: z"),
    "subjects": lambda: with_header(b"Subject: x\r\n" * 500_000 + b"To: y@z.test"),
    "headers without names": lambda: with_header(b": x\r\n" * 500_000 + b"To: y@z.test"),
    "headers that never end": lambda: b"X: y\r\n" * 500_000,
    "a header of one line": lambda: with_header(b"Subject: " + b"x" * 10_000_000),
    "a header of folds": lambda: with_header(b"Subject: x" + b"\r\n x" * 500_000),
    "a header of blanks": lambda: with_header(b"Subject:" + b" " * 5_000_000 + b"\r\n" + b" \r\n" * 500_000 + b" x"),
    "replies to replies": lambda: with_header(
        b"Subject: " + b"Re: " * 500_000 + b"[a] " * 500_000 + b"(fwd) " * 500_000
    ),
    "brackets in brackets": lambda: with_header(b"Subject: " + b"[fwd: " * 200_000 + b"x" + b"]" * 200_000),
    "encoded words": lambda: with_header(b"Subject: " + b"=?utf-8?q?=41?= " * 200_000),
    "encoded words without end": lambda: with_header(b"Subject: " + b"=?utf-8?q?" * 500_000),
    "addresses": lambda: with_header(b"To: " + many(100_000, lambda n: b"a%d@b.test, " % n) + b"c@d.test"),
    "comments in comments": lambda: with_header(b"From: " + b"(" * 500_000 + b")" * 500_000 + b" a@b.test"),
    "comments without end": lambda: with_header(b"From: " + b"(" * 1_000_000),
    "groups in groups": lambda: with_header(b"To: " + b"g:" * 300_000 + b";" * 300_000),
    "quotes without end": lambda: with_header(b'From: "' + b'\\"' * 500_000 + b'"' * 500_001),
    "brackets without end": lambda: with_header(b"From: " + b"<" * 500_000 + b"@" * 500_000),
    "references": lambda: with_header(b"References: " + many(200_000, lambda n: b"<%d@x.test> " % n)),
    "references without end": lambda: with_header(b"References: " + b"<" * 1_000_000),
    "a date of digits": lambda: with_header(b"Date: " + b"1" * 500_000 + b" Jan " + b"9" * 500_000),
    "parameters": lambda: with_header(b"Content-Type: text/plain" + many(200_000, lambda n: b"; p%d=v" % n)),
    "pieces of parameters": lambda: with_header(
        b"Content-Type: text/plain" + many(200_000, lambda n: b"; name*%d*=%%41" % n)
    ),
    "a parameter of a huge number": lambda: with_header(b"Content-Type: text/plain; name*" + b"9" * 500_000 + b"=x"),
    "quotes in parameters": lambda: with_header(b'Content-Type: text/plain; name="' + b'\\"' * 1_000_000),
    "languages": lambda: with_header(b"Content-Language: " + b"de, " * 500_000 + b"en"),
    "tags in tags": lambda: in_html(b"<div>" * 1_000_000),
    "tags without end": lambda: in_html(b"<a " * 1_000_000),
    "attributes without end": lambda: in_html(b'<a b="' * 1_000_000),
    "html comments without end": lambda: in_html(b"<!--" * 1_000_000),
    "scripts without end": lambda: in_html(b"<script>" * 500_000),
    "declarations without end": lambda: in_html(b"<![" * 1_000_000),
    "entities": lambda: in_html(b"&amp;" * 1_000_000),
    "entities without end": lambda: in_html(b"&" * 2_000_000 + b"#" * 500_000 + b"9" * 500_000),
    "a character of a huge number": lambda: in_html(b"&#" + b"9" * 1_000_000 + b";"),
    "wrong base64": lambda: with_encoding(b"base64", b"=" * 2_000_000 + b"A=" * 1_000_000 + b"\0\xff" * 100_000),
    "base64 of blanks": lambda: with_encoding(b"base64", b"A \r\n" * 1_000_000),
    "base64 of one line": lambda: with_encoding(b"base64", base64.b64encode(b"x" * 10_000_000)),
    "wrong quoted-printable": lambda: with_encoding(b"quoted-printable", b"=" * 2_000_000 + b"=4" * 1_000_000),
    "quoted-printable of blanks": lambda: with_encoding(b"quoted-printable", b" \t" * 1_000_000 + b"=\r\n" * 500_000),
    "uuencode": lambda: with_encoding(b"x-uuencode", b"begin 644 x\r\n" + b"M" * 1_000_000),
    # Python's codecs for these take a time that grows with the square of the length, or are no charsets at all.
    "punycode": lambda: with_charset(b"punycode", b"x" * 200_000 + b"-" + b"abcdefgh" * 100_000),
    "idna": lambda: with_charset(b"idna", b"x" * 2_000_000),
    "utf-7": lambda: with_charset(b"utf-7", b"+" * 1_000_000 + b"+AGE" * 200_000),
    "unicode_escape": lambda: with_charset(b"unicode_escape", b"\\N{" * 500_000),
    "zip": lambda: with_charset(b"zip", b"x\x9c" * 100_000),
    "a charset of a megabyte": lambda: with_charset(b"x" * MIB, b"x"),
    "iso-2022": lambda: with_charset(b"iso-2022-jp-2", b"\x1b$B" * 500_000),
    "the whole of latin1": lambda: with_charset(b"utf-8", bytes(range(256)) * 10_000),
    "combining marks": lambda: with_charset(b"utf-8", b"a" + "\u0301\u0323".encode() * 500_000),
    "what grows in NFKC": lambda: with_charset(b"utf-8", "\ufdfa".encode() * 500_000),
    "zeros": lambda: b"\0" * 5_000_000,
    "line ends": lambda: b"\r\n" * 2_000_000,
    "bare line ends": lambda: b"\r" * 1_000_000 + b"\n" * 1_000_000 + b"\r\n\r" * 500_000,
}


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_made_to_be_hard(siege: Siege, name: str) -> None:
    message, box = MESSAGES[name](), quoted(name)
    with siege.calm(GROWTH), siege.open() as wire:
        wire.ok(b"CREATE " + box)
        assert wire.append(name, message).status == "OK"
        wire.ok(b"SELECT " + box)
        began = time.monotonic()
        look_into(wire, message)
        wire.ok(b"CLOSE")
        wire.ok(b"DELETE " + box)
        print(f"{name}: {len(message) / 1e6:.1f} MB, {time.monotonic() - began:.2f} s; ", end="")


def test_parts_that_cannot_be_had_among_those_that_can(siege: Siege) -> None:
    """Nothing is said of a message of which not everything can be, although what can is too much to be kept."""
    message = (
        MULTIPART + b"b\r\n\r\n--b\r\n\r\n" + b"x" * 70 + b"\r\n" * MIB + b"--b\r\n"
        b"Content-Transfer-Encoding: x-uuencode\r\n\r\nx\r\n--b--\r\n"
    )
    with siege.calm(), siege.open() as wire:
        assert wire.append("INBOX", message).status == "OK"
        wire.ok(b"NOOP")
        parts = [b"BODY.PEEK[1]<%d.9999999>" % number for number in range(50)]
        answer = wire.give(b"FETCH 1 (%b BINARY.PEEK[2])" % b" ".join(parts))
        assert (answer.status, answer.code, answer.untagged) == ("NO", "UNKNOWN-CTE", [])
        answer = wire.ok(b"FETCH 1 (%b BODY.PEEK[2] BINARY.PEEK[1]<1.2> BODY.PEEK[3])" % b" ".join(parts))
        assert len(answer.untagged) == 1
        assert len(answer.untagged[0]) > 50 * 2 * MIB
        assert answer.untagged[0].endswith(b"BODY[2] {1}\r\nx BINARY[1]<1> {2}\r\nxx BODY[3] NIL)")
        wire.ok(b"STORE 1 +FLAGS (\\Deleted)")
        wire.ok(b"EXPUNGE")


def test_many_fields_of_many(siege: Siege) -> None:
    """Half a million fields, of which eight thousand are named, again and again."""
    names = b" ".join(b"X-%d" % number for number in range(8000))
    with siege.calm(GROWTH), siege.open() as wire:
        assert wire.append("INBOX", MESSAGES["headers"]()).status == "OK"
        wire.ok(b"NOOP")
        for section in (b"HEADER.FIELDS", b"HEADER.FIELDS.NOT"):
            one(wire, b"BODY.PEEK[%b (%b)]" % (section, names))
        wire.ok(b"STORE 1 +FLAGS (\\Deleted)")
        wire.ok(b"EXPUNGE")


def test_many_that_are_hard(siege: Siege) -> None:
    """Each alone keeps others waiting for a moment; a hundred at once must not for a hundred."""
    names = ("comments in comments", "brackets without end", "addresses", "quotes without end", "parameters")
    with siege.calm(GROWTH), siege.open() as wire:
        for name in names * (20 if LONG else 6):
            assert wire.append("INBOX", MESSAGES[name]()).status == "OK"
        wire.ok(b"NOOP")
        for command in (b"FETCH 1:* ENVELOPE", b"FETCH 1:* BODYSTRUCTURE", b"FETCH 1:* BODY", b"SEARCH TEXT nowhere"):
            wire.ok(command)
        wire.ok(b"STORE 1:* +FLAGS (\\Deleted)")
        wire.ok(b"EXPUNGE")


def look_into(wire: ImapWire, message: bytes) -> None:
    """Ask for everything that is derived from the one message in the mailbox."""
    # A header is looked at for a megabyte; who wrote the message may be said three times.
    assert len(one(wire, b"ENVELOPE")) < 4 * MIB
    one(wire, b"BODYSTRUCTURE")
    one(wire, b"BODY")
    one(wire, b"PREVIEW")
    kept = re.sub(rb"\r\r\n|\r\n|\r|\n", b"\r\n", message)  # docs/decisions/023
    assert one(wire, b"BODY.PEEK[]").endswith(b"BODY[] {%d}\r\n%b)" % (len(kept), kept))
    for section in (b"1", b"1.1.1", b"1.MIME", b"1.HEADER", b"TEXT", b".".join([b"1"] * 50)):
        one(wire, b"BODY.PEEK[%b]" % section)
    one(wire, b"BODY.PEEK[HEADER.FIELDS (SUBJECT TO)]")
    one(wire, b"BODY.PEEK[HEADER.FIELDS.NOT (SUBJECT TO)]")
    one(wire, b" ".join(b"BODY.PEEK[HEADER.FIELDS (X-%d)]" % number for number in range(5)))
    for item in (b"BINARY.PEEK[1]", b"BINARY.SIZE[1]"):
        answer = wire.give(b"FETCH 1 (%b)" % item)
        assert answer.status == "OK" or answer.code == "UNKNOWN-CTE", answer.text
    for key in (
        b"TEXT nowhere",
        b"BODY nowhere",
        b"HEADER X-499999 y",
        b"FROM a",
        b"SUBJECT z",
        b"SENTSINCE 1-Jan-1980",
    ):
        wire.ok(b"SEARCH " + key)
    wire.ok(b"SORT (SUBJECT FROM TO CC DATE DISPLAYFROM DISPLAYTO) UTF-8 ALL")
    assert wire.ok(b"THREAD REFERENCES UTF-8 ALL").untagged == [b"* THREAD (1)"]
    assert wire.ok(b"THREAD ORDEREDSUBJECT UTF-8 ALL").untagged == [b"* THREAD (1)"]


def one(wire: ImapWire, items: bytes) -> bytes:
    """The one answer to FETCH."""
    answer: Answer = wire.ok(b"FETCH 1 (%b)" % items)
    assert len(answer.untagged) == 1, answer.untagged
    return answer.untagged[0]
