from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.message.coding import header_text as coded
from posthouse.message.text import header_text, message_ids, sent
from posthouse.message.text.headers import MAX_IDS

RECEIVED = 1_000_000_000


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b" plain", "plain"),
        (b"a\r\n b\r\n\tc", "a b\tc"),
        (b"a\n b", "a b"),
        ("Grüße".encode(), "Grüße"),
        (b"Gr\xfc\xdfe", "Grüße"),
        # RFC 2047 8
        (b"=?ISO-8859-1?Q?a?=", "a"),
        (b"=?ISO-8859-1?Q?a?= b", "a b"),
        (b"=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"),
        (b"=?ISO-8859-1?Q?a?=  =?ISO-8859-1?Q?b?=", "ab"),
        (b"=?ISO-8859-1?Q?a?=\r\n    =?ISO-8859-1?Q?b?=", "ab"),
        (b"=?ISO-8859-1?Q?a_b?=", "a b"),
        (b"=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=", "a b"),
        (b"=?US-ASCII?Q?Keith_Moore?= <moore@cs.utk.edu>", "Keith Moore <moore@cs.utk.edu>"),
        (b"=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?=\r\n =?ISO-8859-2?B?dSB1bmRlcnN0YW5kIHRoZSBleGFtcGxlLg==?=",
         "If you can read this you understand the example."),
        (b"=?utf-8*en?q?caf=C3=A9?=", "café"),  # RFC 2231 5
        # a character cut in two, between words of either coding
        (b"=?utf-8?q?=C3?= =?utf-8?q?=A9?=", "é"),
        (b"=?utf-8?B?w4PD?= =?UTF-8?Q?=A9?=", "Ãé"),
        (b"=?iso-2022-jp?B?GyRCRnw=?= =?iso-2022-jp?B?S1wbKEI=?=", "日本"),
        (b"=?utf-8?q?a?=b", "ab"),
        (b'"=?utf-8?q?J=C3=B6rg?=" <j@x>', '"Jörg" <j@x>'),
        (b"=?utf-8?q?=zz_=3D?=", "=zz ="),
        (b"=?utf-8?b?!?= x", " x"),
        (b"=?utf-8?b?YQ?=", "a"),
        (b"=?utf-8?b?YWJjZ?=", "abc"),
        (b"=?nonsense?q?a?=", "=?nonsense?q?a?="),
        (b"=?utf-8?x?a?=", "=?utf-8?x?a?="),
        (b"=?utf-8?q?a", "=?utf-8?q?a"),
        (b"=?utf-8?q?a?= =?nonsense?q?b?= =?utf-8?q?c?=", "a =?nonsense?q?b?= c"),
        (b"=?utf-8?q?a=0D=0AX-Other:_b?=", "a X-Other: b"),  # no field comes out of a word
        (b"a\0b\rc", "a b c"),
        # raw 8-bit within a word is of the word's charset
        (b"=?iso-8859-1?q?Gr\xfc\xdfe?=", "Grüße"),
        (b"=?utf-8?q?Gr\xc3\xbc\xc3\x9fe?=", "Grüße"),
        (b"=?koi8-r?q?\xd0\xd2\xc9?= =?koi8-r?Q?\xd7=C5\xd4?=", "привет"),
        (b"=?gb2312?q?\xd6\xd0_\xb9\xfa?=", "中 国"),
        (b"=?windows-1251?q?\xa0?=x", "\u00a0x"),  # no space in that charset's octets ends a word
        (b"=?utf-8?b?w6k=\xff?= \xe9", "é é"),
        (b"=?utf-8?q?a b\xc3\xbc?=", "a bü"),
        (b"=?utf-8?q?a =?utf-8?q?b?=", "=?utf-8?q?a b"),
        ("=?utf-8?q?a?= ж =?utf-8?q?b?=".encode(), "a ж b"),
    ],
)  # fmt: skip
def test_header_text(raw: bytes, text: str) -> None:
    assert header_text(raw) == text


@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs"]), min_size=1))
def test_what_is_coded_is_decoded(text: str) -> None:
    if "=?" not in text:
        assert header_text(coded(text).encode()) == text


WORDS = st.lists(
    st.sampled_from([b"=?", b"?=", b"utf-8", b"?q?", b"?B?", b"=C3", b"=", b"?", b" ", b"\r\n ", b"w6k", b"=?utf-8?q?"])
)


@given(st.one_of(st.binary(), WORDS.map(b"".join)))
def test_header_text_never_raises(raw: bytes) -> None:
    text = header_text(raw)
    assert not set("\0\r\n") & set(text)
    text.encode()


def _seconds(*when: int) -> int:
    return int(datetime(*when, tzinfo=UTC).timestamp())  # type: ignore[arg-type,misc]


@pytest.mark.parametrize(
    ("raw", "when", "day"),
    [
        (b"Fri, 21 Nov 1997 09:55:06 -0600", (1997, 11, 21, 15, 55, 6), (1997, 11, 21)),
        (b" 1 Jul 2003 10:52:37 +0200", (2003, 7, 1, 8, 52, 37), (2003, 7, 1)),
        # RFC 9051 6.4.4: the day disregards the zone
        (b"Sat, 1 Jan 2000 00:30:00 +0100", (1999, 12, 31, 23, 30), (2000, 1, 1)),
        (b"Mon, 05 Jan 2026 23:59:59 -0500 (EST)", (2026, 1, 6, 4, 59, 59), (2026, 1, 5)),
        # RFC 5322 A.5 and A.6
        (b"Thu,\r\n      13\r\n        Feb\r\n          1969\r\n      23:32\r\n         -0330 (Newfoundland Time)",
         (1969, 2, 14, 3, 2), (1969, 2, 13)),
        (b"21 Nov 97 09:55:06 GMT", (1997, 11, 21, 9, 55, 6), (1997, 11, 21)),
        (b"Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", (1997, 11, 21, 15, 55, 6), (1997, 11, 21)),
        (b"Fri, (a (nested \\) one)) 21 Nov 1997 09:55:06 -0600", (1997, 11, 21, 15, 55, 6), (1997, 11, 21)),
        (b"21 Nov 49 09:55:06 EST", (2049, 11, 21, 14, 55, 6), (2049, 11, 21)),
        (b"21 Nov 103 09:55:06 pdt", (2003, 11, 21, 16, 55, 6), (2003, 11, 21)),
        (b"21 Nov 1997 09:55:06 A", (1997, 11, 21, 9, 55, 6), (1997, 11, 21)),
        (b"21 Nov 1997 09:55:06 CEST", (1997, 11, 21, 9, 55, 6), (1997, 11, 21)),
        (b"21 Nov 1997 09:55:06", (1997, 11, 21, 9, 55, 6), (1997, 11, 21)),
        (b"21 Nov 1997", (1997, 11, 21), (1997, 11, 21)),
        (b"21-Nov-1997 09:55:06 +01:30", (1997, 11, 21, 8, 25, 6), (1997, 11, 21)),
        (b"21 November 1997 09:55 +0000", (1997, 11, 21, 9, 55), (1997, 11, 21)),
        (b"21 NOV 1997 09:55:06.123 +0060", (1997, 11, 21, 9, 55, 6), (1997, 11, 21)),
        (b"Fri Nov 21 09:55:06 1997", (1997, 11, 21, 9, 55, 6), (1997, 11, 21)),
        (b"Fri Nov 21 09:55:06 EST 1997", (1997, 11, 21, 14, 55, 6), (1997, 11, 21)),
        (b"31 Dec 2016 23:59:60 +0000", (2017, 1, 1), (2016, 12, 31)),
    ],
)  # fmt: skip
def test_sent(raw: bytes, when: tuple[int, ...], day: tuple[int, ...]) -> None:
    assert sent(raw, RECEIVED) == (_seconds(*when), _seconds(*day) // 86400)


@pytest.mark.parametrize(
    "raw",
    [b"", b"nonsense", b"31 Feb 2026 10:00:00 +0000", b"5 Jan 2026 25:00:00 +0000", b"2026-01-05 10:00:00",
     b"1 Jan 0000", b"5 Jan 20266 10:00", b"5 Abc 2026", b"(5 Jan 2026)", b"(" * 500, b"0 Jan 2026"],
)  # fmt: skip
def test_without_a_date_it_is_when_it_was_received(raw: bytes) -> None:
    assert sent(raw, RECEIVED) == (RECEIVED, RECEIVED // 86400)


@given(st.one_of(st.binary(), st.text("0123456789 JanFebr:+-()\r\n,").map(str.encode)), st.integers(0, 2**40))
def test_sent_never_raises(raw: bytes, received: int) -> None:
    seconds, day = sent(raw, received)
    assert abs(seconds // 86400 - day) <= 5


@pytest.mark.parametrize(
    ("raw", "ids"),
    [
        (b"", []),
        (b"<a@b>", ["a@b"]),
        (b" <a@b> <c@d>\r\n\t<e@f>", ["a@b", "c@d", "e@f"]),
        (b"<a@b><c@d>, <e@f>", ["a@b", "c@d", "e@f"]),
        (b"Your message of Monday <a@b>", ["a@b"]),
        (b"a@b", []),
        (b"<> < > <<a@b>>", ["a@b"]),
        (b"<a@b", []),
        # RFC 5256 3: the quotes are no part of it
        (b'<"01KF8JCEOCBS0045PS"@xxx.yyy.com> <01KF8JCEOCBS0045PS@xxx.yyy.com>',
         ["01KF8JCEOCBS0045PS@xxx.yyy.com"] * 2),
        (b'<"a\\"b"@c>', ['a"b@c']),
        (b"<long\r\n id@host>", ["longid@host"]),
        ("<ж@x>".encode(), ["ж@x"]),
    ],
)  # fmt: skip
def test_message_ids(raw: bytes, ids: list[str]) -> None:
    assert message_ids(raw) == ids


def test_ids_are_bounded() -> None:
    assert len(message_ids(b"<a@b> " * 5000)) == MAX_IDS


@given(st.one_of(st.binary(), st.text('<>"\\@ a\r\n').map(str.encode)))
def test_message_ids_never_raises(raw: bytes) -> None:
    for ident in message_ids(raw):
        assert ident and not set("<>") & set(ident)
