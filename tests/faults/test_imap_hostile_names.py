"""Names of mailboxes that are none, and patterns that take long (see siege)."""

import time

import pytest

from tests.faults.siege import MIB, Siege, refused, still_there
from tests.outside.imap_wire import quoted


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
