"""Hostile IMAP against the running program: the right refusal, bounded memory, and others served meanwhile (see siege).

What is hostile here are commands; what is hostile in messages is in test_imap_hostile_mail.py.
POSTHOUSE_LONG=1 (`make faults`) uses larger numbers where that says more.
"""

import os
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from tests.faults.siege import PROOF, Siege, besieged
from tests.outside.imap_wire import Answer, ImapWire, quoted
from tests.outside.program import PASSWORD, running

LONG = bool(os.environ.get("POSTHOUSE_LONG"))
MIB = 1 << 20
HUGE = (b"4294967295", b"4294967296", b"18446744073709551615", b"99999999999999999999")


@pytest.fixture(scope="module")
def siege(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Siege]:
    with running(tmp_path_factory.mktemp("imap") / "data") as program:
        accounts = program.add_accounts(["small", "folders", "words", "many"])
        program.run("account", "quota", "small@example.test", "200000")
        with besieged(program, accounts) as siege:
            yield siege


def refused(answer: Answer) -> None:
    assert answer.status in ("NO", "BAD", "BYE"), answer


def still_there(wire: ImapWire) -> None:
    assert wire.give(b"NOOP").status == "OK"


def flood(wire: ImapWire, piece: bytes, octets: int) -> None:
    """Send so much, as far as the server lets us."""
    with suppress(OSError):
        for _ in range(octets // len(piece)):
            wire.send(piece)


# Literals.


@pytest.mark.parametrize("octets", HUGE)
def test_literals_that_wait_are_refused(siege: Siege, octets: bytes) -> None:
    with siege.calm(8 * MIB):
        with ImapWire(siege.port) as wire:
            wire.greeting()
            for command in (b"LOGIN {%b}", b'LOGIN "alice@example.test" {%b}', b"ID ({%b}", b"SELECT {%b}", b"X {%b}"):
                refused(wire.give(command % octets))
            still_there(wire)
        with siege.open() as wire:
            for command in (
                b"APPEND INBOX {%b}",
                b"APPEND INBOX (\\Seen) ~{%b}",
                b"APPEND {%b}",
                b"SELECT {%b}",
                b"SEARCH TEXT {%b}",
                b"SEARCH HEADER {%b}",
                b"LIST {%b}",
                b'LIST "" {%b}',
                b"FETCH 1 BODY[HEADER.FIELDS ({%b}",
                b"REPLACE 1 INBOX {%b}",
                b"COPY 1 {%b}",
                b"STATUS {%b}",
            ):
                refused(wire.give(command % octets))
                still_there(wire)


@pytest.mark.parametrize("octets", HUGE)
def test_literals_that_do_not_wait_are_refused(siege: Siege, octets: bytes) -> None:
    with siege.calm(8 * MIB):
        for command in (b"LOGIN {%b+}", b"ID ({%b+}", b"X {%b+}"):
            with ImapWire(siege.port) as wire:
                wire.greeting()
                tag = wire.order(command % octets)
                flood(wire, b"x" * 65536, 20 * MIB)
                refused(wire.finish(tag))
        for command in (b"APPEND INBOX {%b+}", b"APPEND INBOX ~{%b+}", b"SELECT {%b+}", b"SEARCH TEXT {%b+}"):
            with siege.open() as wire:
                tag = wire.order(command % octets)
                flood(wire, b"x" * 65536, 20 * MIB)
                refused(wire.finish(tag))


def test_literals_without_end_in_one_command(siege: Siege) -> None:
    """Each is small enough; together they are not."""
    with siege.calm(), siege.open() as wire:
        piece = b" TEXT {60000+}\r\n" + b"x" * 60000
        tag = wire.tag()
        wire.send(tag + b" SEARCH")
        flood(wire, piece, 10 * MIB)
        refused(wire.finish(tag))


def test_unfinished_and_gone(siege: Siege) -> None:
    with siege.calm():
        for _ in range(200 if LONG else 40):
            for start in (
                b"a LOGIN {100+}\r\nalice",
                b'a LOGIN "alice',
                b"a LOGIN {100}\r\n",
                b"a AUTHENTICATE PLAIN\r\nAGFs",
                b"a ID (",
                b"a STARTTLS\r",
            ):
                with ImapWire(siege.port) as wire:
                    wire.send(start)
            for start in (
                b"a APPEND INBOX {1000000+}\r\nSubject: half",
                b"a APPEND INBOX {1000000+}\r\n" + b"x" * 900_000,
                b"a APPEND INBOX {10+}\r\nSubject: x {2000000+}\r\n" + b"x" * 1_500_000,
                b'a SEARCH TEXT "half',
                b"a SEARCH TEXT {100+}\r\nhalf",
                b"a FETCH 1:* (BODY[HEADER.FIELDS (",
                b"a IDLE\r\nDO",
            ):
                with siege.open() as wire:
                    wire.send(start)
    with siege.open() as wire:
        assert b"* 0 EXISTS" in wire.ok(b"SELECT INBOX").untagged


# Depth.


@pytest.mark.parametrize("word", [b"", b"SEARCH ", b"FETCH 1 ", b"STORE 1 FLAGS ", b"LIST ", b"ID ", b"STATUS INBOX "])
def test_a_million_parentheses(siege: Siege, word: bytes) -> None:
    with siege.calm(8 * MIB):
        with ImapWire(siege.port) as wire:
            wire.greeting()
            wire.send(b"a " + word)
            flood(wire, b"(" * 50_000, MIB)
            with suppress(OSError):
                wire.send(b"\r\n")
            assert b" BAD " in (said := wire.rest()) or b"* BYE" in said
        with siege.open() as wire:
            refused(wire.give(word + b"(" * 65_000))
            still_there(wire)


@pytest.mark.parametrize("piece", [b"NOT ", b"OR ", b"(", b"OR ALL ", b"(ALL ", b"NOT (", b"OR NOT ("])
def test_search_keys_nested_ten_thousand_deep(siege: Siege, piece: bytes) -> None:
    with siege.calm(), siege.open() as wire:
        for count in (100, 60_000 // len(piece)):
            refused(wire.give(b"SEARCH " + piece * count + b"ALL"))
            refused(wire.give(b"SORT (DATE) UTF-8 " + piece * count + b"ALL"))
            refused(wire.give(b"THREAD REFERENCES UTF-8 " + piece * count + b"ALL"))
        still_there(wire)
        # Over many lines, each short.
        tag = wire.tag()
        wire.send(tag + b" SEARCH " + b"OR TEXT {1+}\r\nx " * 10_000 + b"ALL\r\n")
        refused(wire.finish(tag))


def test_uid_with_nothing_behind_it(siege: Siege) -> None:
    with siege.calm(8 * MIB), siege.open() as wire:
        for line in (b"UID", b"UID ", b"UID  FETCH 1 UID", b"UID\tFETCH", b"UID UID UID", b"UID NOOP", b"UID FETCH"):
            refused(wire.give(line))
        still_there(wire)


def test_octets_where_none_belong(siege: Siege) -> None:
    with siege.calm(8 * MIB), siege.open() as wire:
        for line in (
            b"a NO\0OP",
            b"a NOOP\rb NOOP",
            b"a NOOP\nb NOOP",
            b"\xff\xfe\xfd NOOP",
            b"a \xc3\xa4",
            b"",
            b" ",
            b"a",
            b"a ",
            b"* NOOP",
            b"+ NOOP",
            b"a  NOOP",
            b"a NOOP ",
            b"x" * 200 + b" NOOP",
            b'a SEARCH TEXT "a\0b"',
            b"a SEARCH TEXT {3+}\r\na\0b",
            b"a CREATE {3+}\r\na\0b",
            b"(a NOOP",
        ):
            wire.send(line + b"\r\n")
            assert b" BAD " in wire.response(), line
        while wire.has_come(0.2):  # a line in two pieces has two answers
            assert b" BAD " in wire.response()
        still_there(wire)


def test_lines_without_end(siege: Siege) -> None:
    with siege.calm(8 * MIB):
        for start in (b"", b"a SEARCH TEXT ", b'a SEARCH TEXT "', b"a FETCH ", b"a UID FETCH 1:*,"):
            with siege.open() as wire:
                wire.send(start)
                flood(wire, b"1" * 65536, 20 * MIB)
                assert b"* BYE" in wire.rest()


def test_fifty_errors_are_enough(siege: Siege) -> None:
    with siege.calm(8 * MIB), siege.open() as wire:
        flood(wire, b"a X\r\n" * 100, 5000)
        assert b"* BYE" in wire.rest()


# Names.


@pytest.mark.parametrize(
    "name",
    [
        b"&",
        b"a&",
        b"&AAA",
        b"&AAA-",
        b"&2D0-",
        b"&3gA-",
        b"&AGE-",
        b"&Jjo-&Jjo-",
        b"&Jjo",
        b"&//8-",
        b"&AAAA-",
        b"&=-",
        b"&ZeVnLIqe",
        b"gr\xc3\xbcn",
        b"\xff",
    ],
)
def test_wrong_modified_utf7(siege: Siege, name: bytes) -> None:
    with siege.calm(8 * MIB), siege.open() as wire:
        bad = quoted(name)
        for command in (
            b"SELECT %b",
            b"EXAMINE %b",
            b"CREATE %b",
            b"DELETE %b",
            b"RENAME %b x",
            b"RENAME INBOX %b",
            b"SUBSCRIBE %b",
            b"STATUS %b (MESSAGES)",
            b"APPEND %b {1+}\r\nx",
            b"GETQUOTAROOT %b",
        ):
            refused(wire.give(command % bad))
        answer = wire.give(b'LIST "" %b' % bad)
        assert answer.status in ("OK", "BAD") and answer.untagged == [], answer
        still_there(wire)


CONTROLS = ("&AAA-", "&AAE-", "a&AAo-b", "&AH8-", "&IoEgKA-", "&ICg-", "&ICk-")


@pytest.mark.parametrize(
    "name",
    [
        "../../x",
        "..",
        ".",
        "a/../b",
        "/",
        "//",
        "/a",
        "a//b",
        "",
        "%",
        "*",
        "a*b",
        "a/%/b",
        *CONTROLS,
        "x" * 4000,
        "&2D3cBNg93AQ-" * 200,
        "a/" * 500 + "a",
        "INBOX",
        "inbox",
        "iNbOx/",
    ],
)
def test_names_that_no_folder_can_have(siege: Siege, name: str) -> None:
    with siege.calm(8 * MIB), siege.open("folders@example.test") as wire:
        before = wire.ok(b'LIST "" *').untagged
        for command in (b"CREATE %b", b"RENAME Trash %b"):
            answer = wire.give(command % quoted(name))
            assert answer.status == "BAD" or (answer.status == "NO" and answer.code), answer
        wire.give(b"RENAME %b other" % quoted(name) if name.lower() not in ("inbox", "inbox/") else b"NOOP")
        refused(wire.give(b"DELETE %b" % quoted(name)))
        assert wire.ok(b'LIST "" *').untagged == before
        still_there(wire)


@pytest.mark.parametrize(
    "name",
    [
        b"&2D3eAA-",
        b"&AOQ-",
        b"a b",
        b' " ',
        b"a\\b",
        b"~root",
        b"-rf",
        b"$(reboot)",
        b"'; DROP TABLE message; --",
        b"..a",
        b"INBOX/below",
        b"a/b/c/d/e/f",
        b"#news.x",
        b"x" * 900,
        b"{5}",
        b"NIL",
        b"&-",
        b"[x]",
        b"con",
        b"a:b|c?d<e>",
    ],
)
def test_odd_names_that_a_folder_can_have(siege: Siege, name: bytes) -> None:
    """What is made is listed as it was written, can be used, and goes without a trace."""
    with siege.calm(8 * MIB), siege.open("folders@example.test") as wire:
        before = wire.ok(b'LIST "" *').untagged
        files = sorted(path.name for path in siege.program.data.parent.iterdir())
        wire.ok(b"CREATE " + quoted(name))
        assert wire.give(b"CREATE " + quoted(name)).code == "ALREADYEXISTS"
        assert any(line.endswith(b'"/" ' + quoted(name)) for line in wire.ok(b'LIST "" *').untagged)
        assert wire.append(name.decode(), b"Subject: x\r\n\r\nx\r\n").status == "OK"
        assert b"* 1 EXISTS" in wire.ok(b"SELECT " + quoted(name)).untagged
        wire.ok(b"CLOSE")
        for level in range(name.count(b"/"), -1, -1):
            part = b"/".join(name.split(b"/")[: level + 1])
            if part != b"INBOX":
                wire.ok(b"DELETE " + quoted(part))
        assert wire.ok(b'LIST "" *').untagged == before
        assert sorted(path.name for path in siege.program.data.parent.iterdir()) == files


def test_one_name_written_in_two_ways(siege: Siege) -> None:
    """RFC 9051 5.1: what looks the same is the same; NFD finds NFC."""
    with siege.open("folders@example.test") as wire:
        wire.ok(b'CREATE "gr&APw-n"')
        assert wire.give(b'CREATE "gru&Awg-n"').code == "ALREADYEXISTS"
        wire.ok(b'SELECT "gru&Awg-n"')
        assert b'* LIST (\\HasNoChildren) "/" "gr&APw-n"' in wire.ok(b'LIST "" gr*').untagged
        wire.ok(b"CLOSE")
        wire.ok(b"ENABLE UTF8=ACCEPT")
        wire.ok('SELECT "gru\u0308n"'.encode())
        wire.ok(b"CLOSE")
        wire.ok('DELETE "grün"'.encode())


PIECES = (b"*", b"%", b"*%", b"%*", b"%x", b"*x", b"*x%y", b"x*", b"%/", b"*/", b"a%", b"?*")


def test_patterns_of_thousands_of_wildcards(siege: Siege) -> None:
    with siege.open("many@example.test") as wire:
        for number in range(100):
            wire.ok(b"CREATE " + quoted("x" * 400 + f"/{'x' * 400}/{number:03d}" + "x" * 100))
        for piece in PIECES:
            with siege.calm():
                began = time.monotonic()
                for pattern in (piece * 1000, piece * (60_000 // len(piece))):
                    for command in (b'LIST "" %b', b'LSUB "" %b', b'LIST "" (%b a)', b"LIST %b *"):
                        wire.give(command % quoted(pattern))
                assert time.monotonic() - began < 20
        with siege.calm():
            wire.give(b'LIST "" (%b)' % b" ".join([b"%x" * 300] * 100))
            wire.give(b'LIST (SUBSCRIBED RECURSIVEMATCH) "" (%b)' % b" ".join([b"%x" * 300] * 100))
            still_there(wire)


# Sections and sets.


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
            (b"TEXT]<0.0", None),
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
            b"SORT (DATE) UTF-7 ALL",
            b"SORT (DATE) {4294967295} ALL",
            b"THREAD X UTF-8 ALL",
            b"THREAD REFERENCES UTF-8",
            b"THREAD REFERENCES KOI8-R ALL",
            b"SEARCH CHARSET UTF-16 ALL",
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


# Those who do not read, do not write, or do so slowly.


def test_half_closed_while_idling(siege: Siege) -> None:
    with siege.calm(8 * MIB):
        for _ in range(50):
            with siege.open() as wire:
                wire.order(b"IDLE")
                wire.wait_for_word()
                wire.shut()
                wire.rest()


def test_garbage_instead_of_done(siege: Siege) -> None:
    with siege.calm(8 * MIB):
        for garbage in (b"", b"NOOP", b"DONE ", b" DONE", b"DONEx", b"\0", b"\xff" * 100, b"x" * 70_000, b"a DONE"):
            with siege.open() as wire:
                tag = wire.order(b"IDLE")
                wire.wait_for_word()
                wire.send(garbage + b"\r\n")
                refused(wire.finish(tag))
        with siege.open() as wire:
            wire.order(b"IDLE")
            wire.wait_for_word()
            flood(wire, b"x" * 65536, 5 * MIB)
            assert b"* BYE" in wire.rest()


def test_a_thousand_half_commands(siege: Siege) -> None:
    count = 1000
    starts = (b"a", b"a LOGIN ", b"a LOGIN {5+}\r\nal", b'a LOGIN "al', b"a APPEND INBOX {100+}\r\n", b"a NOOP\r")
    with siege.calm(count * 60_000), ExitStack() as stack:
        for number in range(count):
            wire = stack.enter_context(ImapWire(siege.port))
            wire.send(starts[number % len(starts)])
        time.sleep(1.0)


@pytest.mark.parametrize("item", [b"BODY.PEEK[]", b"RFC822", b"BODY.PEEK[TEXT]", b"BINARY.PEEK[1]"])
def test_a_client_that_never_reads(siege: Siege, item: bytes) -> None:
    """A hundred megabytes are asked for, and not taken."""
    with siege.open("many@example.test") as wire:
        wire.ok(b"STATUS INBOX (MESSAGES)")
        if wire.ok(b"STATUS INBOX (MESSAGES)").untagged[0].endswith(b" 0)"):
            for _ in range(20):
                assert wire.append("INBOX", b"Subject: x\r\n\r\n" + (b"x" * 76 + b"\r\n") * 67_000).status == "OK"
    with siege.calm(), ExitStack() as stack:
        for _ in range(3):
            mute = stack.enter_context(siege.open("many@example.test"))
            mute.order(b"FETCH 1:* " + item)
        time.sleep(2.0)


def test_commands_whose_answers_are_not_read(siege: Siege) -> None:
    with siege.calm(), siege.open("words@example.test") as mute:
        sender = threading.Thread(target=flood, args=(mute, b"a FETCH 1:* (FLAGS UID)\r\n" * 2000, MIB))
        sender.start()
        time.sleep(2.0)
        mute.close()
        sender.join()


def test_a_hundred_thousand_noops_at_once(siege: Siege) -> None:
    count = 100_000
    with siege.calm(), siege.open() as wire:
        sender = threading.Thread(target=flood, args=(wire, b"x NOOP\r\n" * 1000, 8 * count))
        sender.start()
        for _ in range(count):
            assert wire.line() == b"x OK NOOP completed\r\n"
        sender.join()
        still_there(wire)


# Compression.


def bomb(piece: bytes, octets: int) -> bytes:
    """A deflate stream of so many octets."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = piece * (MIB // len(piece))
    packed = [packer.compress(block) for _ in range(octets // len(block))]
    return b"".join(packed) + packer.flush(zlib.Z_SYNC_FLUSH)


def test_a_bomb_of_one_line(siege: Siege) -> None:
    packed = bomb(b"a", 2000 * MIB if LONG else 500 * MIB)
    with siege.calm(), siege.open() as wire:
        wire.compress()
        with suppress(OSError):
            wire.send_raw(packed)
        assert b"* BYE" in wire.rest()


def test_a_bomb_of_commands_never_read(siege: Siege) -> None:
    packed = bomb(b"a NOOP\r\n", 500 * MIB)
    with siege.calm(), siege.open() as wire:
        wire.compress()
        sender = threading.Thread(target=flood_raw, args=(wire, packed))
        sender.start()
        time.sleep(3.0)
        wire.close()
        sender.join()


def test_a_bomb_of_commands_whose_answers_are_read(siege: Siege) -> None:
    """It is work, and it is done; others are served meanwhile."""
    packed = bomb(b"a NOOP\r\n", 500 * MIB)
    with siege.calm(), siege.open() as wire:
        wire.compress()
        sender = threading.Thread(target=flood_raw, args=(wire, packed))
        sender.start()
        for _ in range(20_000):
            assert wire.line() == b"a OK NOOP completed\r\n"
        wire.close()
        sender.join()


def test_a_bomb_in_a_literal(siege: Siege) -> None:
    packed = bomb(b"x", 500 * MIB)
    with siege.calm(), siege.open() as wire:
        wire.compress()
        wire.send(b"a APPEND INBOX {524288000+}\r\n")
        with suppress(OSError):
            wire.send_raw(packed)
        said = wire.rest()
        assert b"a NO [TOOBIG]" in said and b"* BYE" in said


def test_what_is_no_deflate_stream(siege: Siege) -> None:
    with siege.calm(8 * MIB):
        for junk in (b"a NOOP\r\n", b"\xff" * 1000, b"\0" * 1000, os.urandom(5000), zlib.compress(b"a NOOP\r\n")):
            with siege.open() as wire:
                wire.ok(b"COMPRESS DEFLATE")
                wire.send(junk)
                wire.shut()
                wire.rest()
        with siege.open() as wire:
            wire.send(b"a COMPRESS DEFLATE\r\nb NOOP\r\n")  # in plain text, behind it: it is no command
            wire.shut()
            assert b"b OK" not in wire.rest()


def flood_raw(wire: ImapWire, data: bytes) -> None:
    with suppress(OSError):
        wire.send_raw(data)


# Flags.


def test_keywords_have_bounds(siege: Siege) -> None:
    with siege.calm(8 * MIB), siege.open("small@example.test") as wire:
        assert wire.append("INBOX", b"Subject: x\r\n\r\nx\r\n").status == "OK"
        wire.ok(b"NOOP")
        many = b" ".join(b"k%d" % number for number in range(9000))
        assert wire.give(b"STORE 1 +FLAGS (%b)" % many).code == "LIMIT"
        assert wire.give(b"STORE 1 +FLAGS (%b)" % (b"k" * 10_000)).code == "LIMIT"
        assert wire.give(b"APPEND INBOX (%b) {1+}\r\nx" % many).code == "LIMIT"
        for number in range(57):  # nothing of what was refused took a place
            wire.ok(b"STORE 1 +FLAGS (keep%d)" % number)
        assert wire.give(b"STORE 1 +FLAGS (onemore)").code == "LIMIT"
        assert wire.give(b"STORE 1 FLAGS (\\Seen keep1 onemore)").code == "LIMIT"
        wire.ok(b"STORE 1 +FLAGS (KEEP5 \\Flagged)")
        wire.ok(b"STORE 1 -FLAGS (onemore keep7)")
        flags = wire.ok(b"FETCH 1 FLAGS").untagged[0]
        assert flags.count(b"keep") == 56 and b"\\Flagged" in flags and b"keep7 " not in flags
        for name in (b"\\Recent", b"\\X", b"\\*", b"*", b"a]", b"a(", b"\xc3\xa4", b'"a"', b""):
            refused(wire.give(b"STORE 1 +FLAGS (%b)" % (name or b"\\")))
        still_there(wire)


# APPEND.


def test_append_has_bounds(siege: Siege) -> None:
    with siege.calm(), siege.open("small@example.test") as wire:
        before = wire.ok(b"STATUS INBOX (MESSAGES UIDNEXT SIZE)").untagged
        limit = next(word for word in wire.ok(b"CAPABILITY").untagged[0].split() if word.startswith(b"APPENDLIMIT="))
        most = int(limit.partition(b"=")[2])
        assert wire.give(b"APPEND INBOX {300000}").code == "OVERQUOTA"
        assert wire.append("INBOX", b"x" * 300_000).code == "OVERQUOTA"
        assert wire.give(b"APPEND INBOX {%d}" % (most + 1)).code == "TOOBIG"
        tag = wire.order(b"APPEND INBOX {%d+}" % (most + 1))
        flood(wire, b"x" * MIB, most)
        wire.send(b"x" * ((most + 1) % MIB) + b"\r\n")
        assert wire.finish(tag).code == "TOOBIG"
        still_there(wire)
        refused(wire.give(b"APPEND INBOX {0+}\r\n"))
        refused(wire.give(b"APPEND INBOX {0}"))
        assert wire.give(b"APPEND Nowhere {1+}\r\nx").code == "TRYCREATE"
        assert wire.give(b"APPEND Nowhere {4294967295}").code in ("TRYCREATE", "TOOBIG")
        for date in (b"31-Feb-2024 00:00:00 +0000", b"01-Jan-2024", b"", b"01-Jan-2024 25:00:00 +0000", b"x" * 5000):
            refused(wire.give(b'APPEND INBOX "%b" {1+}\r\nx' % date))
        for date in (b"01-Foo-2024 00:00:00 +0000", b"00-Jan-2024 00:00:00 +0000", b"01-Jan-0000 00:00:00 +0000"):
            refused(wire.give(b'APPEND INBOX "%b" {1+}\r\nx' % date))
        assert wire.ok(b"STATUS INBOX (MESSAGES UIDNEXT SIZE)").untagged == before


def test_one_bad_of_many_leaves_nothing(siege: Siege) -> None:
    """MULTIAPPEND: all or none (RFC 3502)."""
    good, rest = b" {10+}\r\nSubject: x", b"STATUS INBOX (MESSAGES UIDNEXT SIZE)"
    with siege.calm(), siege.open("small@example.test") as wire:
        before = wire.ok(rest).untagged
        for bad in (
            b" {0+}\r\n",
            b" {300000+}\r\n" + b"x" * 300_000,
            b' "31-Feb-2024 00:00:00 +0000" {1+}\r\nx',
            b" (\\Bogus) {1+}\r\nx",
            b" (%b) {1+}\r\nx" % (b"k" * 1000),
            b" (another) {1+}\r\nx",
            b" x",
            b" {99999999999+}\r\nx",
        ):
            for command in (good * 20 + bad + good, bad + good, good + bad):
                with siege.open("small@example.test") as other:
                    refused(other.give(b"APPEND INBOX" + command))
            assert wire.ok(rest).untagged == before, bad[:40]
        with siege.open("small@example.test") as other:
            refused(other.give(b"APPEND INBOX" + good * 1100))
        with siege.open("small@example.test") as other:
            other.send(b"a APPEND INBOX" + good * 20 + b" {100+}\r\nhalf")
        time.sleep(0.1)
        assert wire.ok(rest).untagged == before
    assert list((siege.program.data / "spool").iterdir()) == [] if (siege.program.data / "spool").exists() else True


# Who is there.


def test_wrong_passwords_wait(siege: Siege) -> None:
    """A guesser waits longer and longer, and learns nothing of who exists."""
    said: dict[str, set[str]] = {"alice@example.test": set(), "nobody@example.test": set()}
    with siege.calm(8 * MIB + PROOF):
        for number in range(60):
            for name, texts in said.items():
                with ImapWire(siege.port, source="127.0.0.67") as wire:
                    wire.greeting()
                    answer = wire.give(b"LOGIN %b guess%d" % (quoted(name), number))
                    assert answer.status == "NO" and answer.code in ("AUTHENTICATIONFAILED", "LIMIT"), answer
                    texts.add(f"{answer.code} " + "".join(char for char in answer.text.decode() if not char.isdigit()))
        with ImapWire(siege.port, source="127.0.0.67") as wire:
            wire.greeting()
            assert wire.give(b"LOGIN alice@example.test %b" % quoted(PASSWORD)).code == "LIMIT"
    assert said["alice@example.test"] == said["nobody@example.test"]
    assert any(text.startswith("LIMIT") for text in said["alice@example.test"])


def test_guesses_of_one_connection(siege: Siege) -> None:
    with siege.calm(8 * MIB + PROOF), ImapWire(siege.port, source="127.0.0.68") as wire:
        wire.greeting()
        for number in range(5):
            assert wire.give(b"LOGIN alice@example.test guess%d" % number).status == "NO"
        assert b"* BYE" in wire.rest()


def test_starttls_injection(siege: Siege) -> None:
    """What came in plain text before the handshake is none of what is said after it (CVE-2021-33515)."""
    with ImapWire(siege.port) as wire:
        wire.greeting()
        wire.send(b"a STARTTLS\r\nb LOGIN alice@example.test %b\r\nc NOOP\r\n" % quoted(PASSWORD))
        assert wire.response().startswith(b"a OK")
        wire.start_tls()
        assert wire.give(b"SELECT INBOX").status == "BAD"  # nobody has logged in
        assert b"STARTTLS" not in wire.ok(b"CAPABILITY").untagged[0]
        wire.login("alice@example.test")


def test_literals_around_starttls(siege: Siege) -> None:
    with ImapWire(siege.port) as wire:
        wire.greeting()
        wire.send(b"a STARTTLS\r\nb LOGIN {20+}\r\nalice")
        assert wire.response().startswith(b"a OK")
        wire.start_tls()
        wire.ok(b"NOOP")


def test_nobody_logs_in_twice(siege: Siege) -> None:
    with siege.open() as wire:
        for command in (b"LOGIN bob@example.test x", b"AUTHENTICATE PLAIN", b"STARTTLS"):
            assert wire.give(command).status == "BAD"
        still_there(wire)
