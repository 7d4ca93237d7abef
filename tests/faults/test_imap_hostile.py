"""Hostile IMAP against the running program: the right refusal, bounded memory, and others served meanwhile (see siege).

Here are octets, lines, literals and logins; names of mailboxes, requests for messages, clients that do not read, and
messages made to be hard have files of their own. POSTHOUSE_LONG=1 (`make faults`) uses larger numbers where that says
more.
"""

import re
import time
from contextlib import suppress

import pytest

from tests.faults.siege import LONG, MIB, PROOF, Siege, flood, refused, still_there
from tests.outside.imap_wire import ImapWire, quoted
from tests.outside.program import PASSWORD
from tests.outside.relay import until

HUGE = (b"4294967295", b"4294967296", b"18446744073709551615", b"99999999999999999999")


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
        for line in (b"UID", b"UID ", b"UID\tFETCH", b"UID UID UID", b"UID NOOP", b"UID FETCH"):
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


# Flags.


def test_keywords_have_bounds(siege: Siege) -> None:
    with siege.calm(8 * MIB), siege.open("small@example.test") as wire:
        assert wire.append("INBOX", b"Subject: x\r\n\r\nx\r\n").status == "OK"
        wire.ok(b"NOOP")
        many = b" ".join(b"k%d" % number for number in range(9000))
        assert wire.give(b"STORE 1 +FLAGS (%b)" % many).code == "LIMIT"
        assert wire.give(b"STORE 1 +FLAGS (%b)" % (b"k" * 10_000)).code == "LIMIT"
        wire.ok(b"APPEND INBOX (\\Seen %b %b) {1+}\r\nx" % (b"k" * 10_000, many))  # kept with what there is room for
        wire.ok(b"STORE 2 FLAGS.SILENT (\\Deleted)")
        wire.ok(b"EXPUNGE")
        for number in range(100):  # nothing of what was refused took a place
            wire.ok(b"STORE 1 +FLAGS (keep%d)" % number)
        assert wire.give(b"STORE 1 +FLAGS (onemore)").code == "LIMIT"
        wire.ok(b"STORE 1 +FLAGS (KEEP5 \\Flagged \\X \\Recent)")
        wire.ok(b"STORE 1 -FLAGS (onemore keep7)")
        flags = wire.ok(b"FETCH 1 FLAGS").untagged[0]
        assert flags.count(b"keep") == 99 and b"\\Flagged" in flags and b"keep7 " not in flags
        for name in (b"\\*", b"*", b"a]", b"a(", b"\xc3\xa4", b'"a"', b""):
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
            b" (a]) {1+}\r\nx",
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


def seconds_left(siege: Siege, guess: bytes) -> int:
    """How long alice has to wait, as the answer to one more guess says; 0: it was looked at."""
    with ImapWire(siege.port, source="127.0.0.67") as wire:
        wire.greeting()
        answer = wire.give(b"LOGIN alice@example.test %b" % guess)
        return int(re.sub(rb"\D", b"", answer.text) or 0) if answer.code == "LIMIT" else 0


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
        until(lambda: seconds_left(siege, b"guess") > 5, lambda: "guesses do not wait longer and longer", 60)
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
