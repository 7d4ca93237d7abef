"""Sections, sets, conditions and orders that nobody needs (see siege)."""

import time

from tests.faults.siege import LONG, MIB, Siege, refused, still_there


def test_absurd_sections(siege: Siege) -> None:
    message = (
        b"Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
        b"Content-Transfer-Encoding: x-uuencode\r\n\r\nx\r\n--b--\r\n"
    )
    names = b" ".join(b"X-%04d" % number for number in range(9000))
    with siege.calm(), siege.open() as wire:
        assert wire.append("INBOX", message).status == "OK"
        wire.ok(b"NOOP")
        for section in (
            b"4294967295" + b".1" * 500,
            b"1" + b".1" * 10_000,
            b"0",
            b"1.0",
            b"1.",
            b".1",
            b"99999999999",
            b"1.MIME.1",
            b"MIME",
            b"HEADER.FIELDS",
            b"HEADER.FIELDS ()",
            b'HEADER.FIELDS ("a\r\nb")',
            b"HEADER.FIELDS (" * 1000,
            b"TEXT.1",
            b"X",
        ):
            refused(wire.give(b"FETCH 1 BODY[%b]" % section))
        for section, said in (
            (b"4294967295.4294967295", b"NIL"),
            (b"HEADER.FIELDS (%b)" % names, b"{2}"),
            (b"1.1.1.1", b"NIL"),
            (b"TEXT]<18446744073709551615.1", None),
            (b"TEXT]<9223372036854775807.9223372036854775807", b"{0}"),
            (b"TEXT]<4294967295.4294967295", b"{0}"),
            (b"TEXT]<0.0", b"{0}"),
            (b"TEXT]<0.99999999999999999999999", None),
        ):
            answer = wire.give(b"FETCH 1 BODY.PEEK[%b%b" % (section, b">" if b"<" in section else b"]"))
            if said is None:
                refused(answer)
            else:
                assert answer.status == "OK" and (said in answer.untagged[0] or b'""' in answer.untagged[0]), answer
        assert wire.give(b"FETCH 1 BINARY.PEEK[1]").code == "UNKNOWN-CTE"
        assert wire.give(b"FETCH 1 BINARY.SIZE[1]").code == "UNKNOWN-CTE"
        refused(wire.give(b"FETCH 1 (%b)" % b" ".join(b"BODY.PEEK[]<%d.1>" % n for n in range(3000))))
        assert len(wire.ok(b"FETCH 1 (%b)" % b" ".join([b"UID"] * 10_000)).untagged) == 1
        wire.ok(b"STORE 1 +FLAGS (\\Deleted)")
        wire.ok(b"EXPUNGE")


def test_many_parts_of_one_message_never_read(siege: Siege) -> None:
    """200 times the same ten megabytes are two gigabytes."""
    with siege.open() as wire:
        assert wire.append("INBOX", b"Subject: x\r\n\r\n" + b"x" * 70 + b"\r\n" * (5 * MIB)).status == "OK"
        wire.ok(b"NOOP")
        for section in (b"BODY.PEEK[]", b"BODY.PEEK[TEXT]", b"BODY.PEEK[1]", b"BINARY.PEEK[1]", b"BINARY.PEEK[]"):
            with siege.calm(96 * MIB), siege.open() as mute:
                mute.order(b"FETCH 1 (%b)" % b" ".join(b"%b<%d.99999999>" % (section, n) for n in range(200)))
                time.sleep(1.0)
        wire.ok(b"STORE 1 +FLAGS (\\Deleted)")
        wire.ok(b"EXPUNGE")


SETS = (
    b"0",
    b"1:0",
    b"4294967296",
    b"99999999999999999999",
    b",1",
    b"1,",
    b"1,,2",
    b"1:2:3",
    b":",
    b"*:",
    b"-1",
    b"1-2",
    b"**",
    b"$$",
    b"$,1",
    b"1:$",
    b"",
    b"0:*",
)


def test_sets_that_are_none(siege: Siege) -> None:
    with siege.calm(8 * MIB), siege.open("words@example.test") as wire:
        assert wire.append("INBOX", b"Subject: x\r\n\r\nx\r\n").status == "OK"  # 0 must not mean it
        for text in SETS:
            for command in (
                b"FETCH %b UID",
                b"UID FETCH %b UID",
                b"STORE %b +FLAGS (\\Seen)",
                b"COPY %b INBOX",
                b"UID MOVE %b INBOX",
                b"UID EXPUNGE %b",
                b"SEARCH UID %b",
                b"REPLACE %b INBOX {1+}\r\nx",
            ):
                answer = wire.give(command % text)
                assert answer.status in ("NO", "BAD"), (command, text, answer)
            still_there(wire)
        wire.ok(b"STORE 1:* +FLAGS (\\Deleted)")
        wire.ok(b"EXPUNGE")


def test_sets_that_name_everything_and_more(siege: Siege) -> None:
    with siege.open("words@example.test") as wire:
        messages = b"".join(b" {16+}\r\nSubject: %03d\r\n\r\n" % number for number in range(900))
        for _ in range(3):
            assert wire.give(b"APPEND INBOX" + messages).status == "OK"
        wire.ok(b"NOOP")
        count = 2700
        many = b",".join(b"%d:%d" % (n % count + 1, (n * 7) % count + 1) for n in range(5000))
        single = b",".join(b"%d" % n for n in range(count, 0, -1))
        with siege.calm():
            for text in (b"1:*", b"*:1", b"1:%d" % count, b"%d:1" % count, many, single, b"*:*", b"*"):
                for command in (b"FETCH %b UID", b"UID FETCH %b (FLAGS)", b"SEARCH %b", b"UID SEARCH UID %b"):
                    assert wire.give(command % text).status == "OK", (command, text[:50])
            for text in (b"1:4294967295", b"4294967295:1", b"*:4294967295", b"4294967295"):
                assert wire.give(b"UID FETCH %b (FLAGS)" % text).status == "OK"
                assert wire.give(b"FETCH %b (FLAGS)" % text).status in ("OK", "BAD")
            wire.ok(b"UID STORE 1:4294967295 +FLAGS.SILENT (\\Seen)")
            wire.ok(b"ENABLE QRESYNC")
            wire.ok(b"SELECT INBOX (QRESYNC (1 1 %b (%b %b)))" % (many[:20000], single[:9000], single[:9000]))


KEYS = (b"1:* ", b"NOT 2:* ", b"UID 1:* ", b"UNSEEN ", b"OR 1:* ALL ", b"NOT SEEN ", b"MODSEQ 1 ", b"NOT MODSEQ 999 ")
SLOW_KEYS = (
    b"LARGER 1 ",
    b"SMALLER 9999 ",
    b"SENTSINCE 1-Jan-1971 ",
    b"NOT YOUNGER 9 ",
    b"NOT FROM x ",
    b"NOT TEXT y ",
)


def test_conditions_that_all_have_to_be_tried(siege: Siege) -> None:
    with siege.calm(), siege.open("words@example.test") as wire:
        for key in KEYS:
            wire.ok(b"SEARCH " + (key * (60_000 // len(key))).rstrip())
        octets = 60_000 if LONG else 6_000
        for key in SLOW_KEYS:
            wire.ok(b"SEARCH " + (key * (octets // len(key))).rstrip())
            wire.ok(b"SEARCH " + b"OR (SEEN %b) ALL " % key.rstrip() * (octets // (len(key) + 14)) + b"ALL")


def test_odd_orders_and_threads(siege: Siege) -> None:
    with siege.calm(), siege.open("words@example.test") as wire:
        for command in (
            b"SORT () UTF-8 ALL",
            b"SORT (REVERSE) UTF-8 ALL",
            b"SORT (REVERSE REVERSE DATE) UTF-8 ALL",
            b"SORT (X) UTF-8 ALL",
            b"SORT DATE UTF-8 ALL",
            b"SORT (DATE) UTF-8",
            b"SORT (DATE) ALL",
            b"SORT (DATE) X-NONE ALL",
            b"SORT (DATE) {4294967295} ALL",
            b"THREAD X UTF-8 ALL",
            b"THREAD REFERENCES UTF-8",
            b"THREAD REFERENCES X-NONE ALL",
            b"SEARCH CHARSET X-NONE ALL",
            b"SEARCH CHARSET " + b"x" * 10_000 + b" ALL",
            b"SEARCH TEXT \xff",
            b"SEARCH RETURN (X) ALL",
            b"SEARCH RETURN (PARTIAL 0:1) ALL",
            b"SEARCH RETURN (PARTIAL 1:-1) ALL",
            b"SEARCH ON 31-Feb-2024",
            b"SEARCH ON 1-Jan-10000",
            b"SEARCH LARGER 99999999999999999999",
            b"SEARCH OLDER 0",
        ):
            refused(wire.give(command))
        for command in (
            b"SORT (%b) UTF-8 ALL" % b" ".join([b"REVERSE DATE"] * 4000),
            b"SORT (%b) UTF-8 ALL" % b" ".join([b"SUBJECT SIZE FROM TO"] * 2500),
            b"SEARCH RETURN (%b) ALL" % b" ".join([b"MIN MAX ALL COUNT"] * 3000),
            b"SEARCH BEFORE 1-Jan-0001",
            b"SEARCH SINCE 31-Dec-9999",
            b"SEARCH YOUNGER 4294967295",
            b"SEARCH RETURN (PARTIAL 4294967295:1) ALL",
        ):
            assert wire.give(command).status in ("OK", "BAD"), command
        still_there(wire)
