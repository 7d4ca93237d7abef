"""The same odd messages in Dovecot and here: what is told of them must be equal, or be listed below with its reason."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
from tests.interop.imap.conftest import PAIRS
from tests.interop.imap.dovecot import dovecot
from tests.interop.imap.peers import PosthousePeer
from tests.outside.imap_wire import ImapWire
from tests.outside.odd_messages import odd_messages
from tests.outside.structures import Node, fetched, lowered

USER = "beside@example.test"
LAST = f"m{2 * PAIRS - 2}@example.test"  # an account that no other test uses
MESSAGES = odd_messages()
NAMES = list(MESSAGES)


# docs/decisions/013 has the reasons at length.
UNREADABLE_TYPE = {f"{where}type {number}" for where in ("", "part ") for number in (11, 12, 13, 14, 15, 16)}
STRAY_PARAMETER = {"type 9", "part type 9"}
PREFIX_OF_BOUNDARY = {
    f"{kind} {name}" for kind in ("mixed", "digest", "alternative") for name in ("cut in the boundary", "like it")
}
# Dovecot counts the line end before a boundary to a message or multipart that has not ended by itself.
LINE_END = {
    *(f"{kind} multipart message" for kind in ("mixed", "digest", "alternative")),
    *(f"digest {name}" for name in ("usual", "preamble", "unclosed", "empty part", "trailing space", "space before",
      "twice closed", "no line end", "id and description", "language", "quoted", "dashes", "nested", "nested prefix",
      "nested unclosed")),
    "part type 32",
}  # fmt: skip
# The same, but what stands there has no line count and no size in BODYSTRUCTURE.
LINE_END_OF_MULTIPART = {
    *(f"{kind} {name}" for kind in ("mixed", "alternative") for name in ("nested", "nested prefix")),
    "cpython msg_38.txt",
}  # fmt: skip
ADDRESSES = {f"{field} {number}" for field in ("from", "to") for number in (12, 19, 20, 36, 45, 46, 48, 53, 57)}

# Dovecot gives an empty part where no part could be found; here it has all that stands there.
NO_PART = {
    *(f"{kind} {name}" for kind in ("mixed", "digest", "alternative") for name in ("no part", "only text")),
    *(f"{where}type {number}" for where in ("", "part ") for number in (33, 34, 35, 36)),
    *(f"cpython msg_{number}.txt" for number in (17, 25, 31, 33, 41, 42)),
}
NO_SEMICOLON = {"disposition 5"}

ENVELOPES = ADDRESSES | {"header duplicate subject"}
BODIES = (
    UNREADABLE_TYPE | STRAY_PARAMETER | PREFIX_OF_BOUNDARY | LINE_END | NO_PART
    | {"cpython msg_14.txt", "cpython msg_29.txt", "encoding 9"}
)  # fmt: skip
STRUCTURES = BODIES | NO_SEMICOLON | {"cpython msg_33.txt", "disposition 6", "disposition 7"}
ENDLESS_HEADER = {"cpython msg_35.txt", "header header only", "type 32"}
SECTIONS = PREFIX_OF_BOUNDARY | LINE_END | NO_PART | LINE_END_OF_MULTIPART | ENDLESS_HEADER

NO_DATE = {*(f"date {number}" for number in range(5, 10)), "header empty fields", "cpython msg_47.txt"}
# Key -> (found by Dovecot alone, found here alone).
SEARCHES: dict[bytes, tuple[set[str], set[str]]] = {
    b"SUBJECT plain": (set(), set()),
    b'SUBJECT ""': (set(), set()),
    b"SUBJECT folded": (set(), set()),
    b'SUBJECT "folded subject"': (set(), set()),
    b"NOT SUBJECT plain": (set(), set()),
    b"FROM joe": (set(), {"from 53", "from 54"}),
    b"FROM example.org": ({"from 11"}, {"from 12", "from 36", "from 45", "from 53", "from 54"}),
    b'FROM "joe public"': ({"from 7"}, set()),
    b"TO joe": (set(), {"to 53", "to 54"}),
    b"CC public": (set(), set()),
    b"OR FROM ann TO joe": (set(), {"to 53", "to 54"}),
    b"BODY inner": (set(), set()),
    b"BODY signature": (set(), set()),
    b"BODY R0lG": (set(), set()),
    b"TEXT inner": (set(), set()),
    b"TEXT html": (set(), set()),
    b"HEADER X-1 y": (set(), set()),
    b'HEADER X-1 ""': (set(), set()),
    b'HEADER Message-ID ""': (set(), set()),
    b"HEADER In-Reply-To Your": (set(), set()),
    b"SENTON 5-Jan-2026": (set(), set()),
    b'SENTSINCE 1-Jan-2000 HEADER Date ""': (set(), NO_DATE),
    b'SENTBEFORE 1-Jan-2000 HEADER Date ""': (NO_DATE, set()),
    b"SINCE 1-Jan-2026 BEFORE 2-Jan-2026": (set(), set()),
    b"ON 2-Jan-2026": (set(), set()),
    b"NOT OR SUBJECT plain FROM joe": ({"from 53", "from 54"}, set()),
    b"OR (LARGER 400 NOT BODY inner) (SMALLER 100 SUBJECT r)": (set(), set()),
    b"BODY a": (
        {"cpython msg_15.txt"},
        {
            "cpython msg_14.txt",
            "header eight bit body",
            *(f"cpython msg_{n}.txt" for n in (17, 25, 31, 33, 41)),
            "mixed only text",
            "digest only text",
            "alternative only text",
        },
    ),
    b"BODY te": (set(), {"cpython msg_14.txt", *(f"cpython msg_{n}.txt" for n in (17, 25, 31, 33))}),
    b"TEXT 7b": (set(), set()),
    b"SUBJECT u": (set(), {"subject 12", "subject 16"}),
    b'BODY "two words"': (set(), set()),
    b"BCC example": (set(), set()),
    b"HEADER Content-Type boundary": (set(), set()),
    b'HEADER References ""': (set(), set()),
    b"HEADER Received from": (set(), set()),
    b"TEXT boundary": (set(), set()),
    b"1:50,100:* NOT TEXT multipart": (set(), set()),
    b"LARGER 1000": (set(), set()),
    b"SMALLER 60": (set(), set()),
    b"CHARSET UTF-8 SUBJECT {6+}\r\nGr\xc3\xbc\xc3\x9f": (set(), {"subject 12", "subject 16"}),
    b"CHARSET UTF-8 SUBJECT {5+}\r\nK\xc3\xb6ln": (set(), set()),
    b"CHARSET UTF-8 TEXT {4+}\r\n\xc3\xa4\xc3\xb6": (set(), {"header eight bit body"}),
}
ORDERS = (b"SUBJECT", b"FROM", b"TO", b"CC", b"DATE", b"SIZE", b"REVERSE SIZE", b"REVERSE SUBJECT", b"REVERSE DATE")
# What the two read differently sorts differently; the others must stand in the same order.
UNSORTED = ADDRESSES | {"subject 14", "cpython msg_47.txt", "header duplicate subject", "subject 12", "subject 16"}


# What the grammar does not have, and both take, with the same answer.
LIBERAL = (
    b"NOOP ",
    b"CAPABILITY  ",
    b"FETCH 1 (UID FLAGS )",
    b"FETCH  1  ( UID  FLAGS)",
    b"FETCH 01 FLAGS ",
    b"FETCH 1 (BODY.PEEK[HEADER.FIELDS ( SUBJECT )])",
    b"FETCH 1 BODY.PEEK[HEADER.FIELDS  (SUBJECT ) ]",
    b"FETCH 1 BODY.PEEK[]<0.0>",
    b'SEARCH ( SUBJECT "plain" )',
    b"SEARCH  1:3  NOT  4 ",
    b"SEARCH 100000",
    b"SEARCH 2:100000",
    b"SEARCH RETURN () 100000",
    b"SEARCH RETURN ( MIN  COUNT ) ALL",
    b"SEARCH CHARSET utf8 SUBJECT plain",
    b"SEARCH CHARSET  ISO-8859-1  SUBJECT  plain",
    b"SEARCH CHARSET ISO-8859-1 SUBJECT {4+}\r\nK\xf6ln",
    b"SEARCH SINCE 1-Jan-2026",
    b'SEARCH SINCE "01-Jan-2026" ',
    b"SORT ( SUBJECT )  utf8  1:2",
    b"THREAD  REFERENCES  UTF-8  1 ",
    b'LIST  ""  "Odd" ',
    b'LIST "" &Jjo!',
    b"ENABLE  CONDSTORE ",
    b"UID EXPUNGE 100000 ",
    b"NAMESPACE ",
)
LIBERAL_REFUSED = (b"STATUS &Jjo! (MESSAGES)", b"CREATE &", b"SEARCH CHARSET X-NONE ALL")


@dataclass(frozen=True)
class Both:
    """The same mailbox, open in both."""

    dovecot: ImapWire
    here: ImapWire

    def ask(self, command: bytes, word: bytes) -> list[bytes]:
        """The untagged answer of each that holds the word."""
        found = []
        for wire in (self.dovecot, self.here):
            lines = [line for line in wire.ok(command).untagged if word in line]
            assert len(lines) == 1, (command, lines)
            found.append(lines[0])
        return found


@pytest.fixture(scope="module")
def both(peer: PosthousePeer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    with (
        dovecot([USER]) as other,
        ImapWire.open(other.ports["imap"], USER) as yours,
        ImapWire.open(peer.imap, LAST) as ours,
    ):
        for wire in (yours, ours):
            _fill(wire)
        yield Both(yours, ours)


def _fill(wire: ImapWire) -> None:
    wire.ok(b"CREATE Odd")
    for name, message in MESSAGES.items():
        date = b'"01-Jan-2026 00:00:00 +0000"'  # both received it then: what has no Date is sorted by that
        assert wire.give(b"APPEND Odd %b {%d+}\r\n%b" % (date, len(message), message)).status == "OK", name
    wire.ok(b"SELECT Odd")


def test_there_are_enough() -> None:
    assert len(MESSAGES) > 400


def test_envelopes_and_structures(both: Both) -> None:
    differing: dict[str, set[str]] = {"ENVELOPE": set(), "BODYSTRUCTURE": set(), "BODY": set()}
    for number, name in enumerate(NAMES, 1):
        theirs, ours = map(fetched, both.ask(b"FETCH %d (ENVELOPE BODYSTRUCTURE BODY)" % number, b" FETCH ("))
        for item in differing:
            one, other = theirs[item.encode()], ours[item.encode()]
            if item != "ENVELOPE":
                one, other = lowered(one), lowered(other)
            if one != other:
                differing[item].add(name)
    assert differing["ENVELOPE"] == ENVELOPES
    assert differing["BODYSTRUCTURE"] == STRUCTURES
    assert differing["BODY"] == BODIES


def test_sections(both: Both) -> None:
    differing: dict[str, list[bytes]] = {}
    compared = 0
    for number, name in enumerate(NAMES, 1):
        structure = fetched(both.ask(b"FETCH %d BODYSTRUCTURE" % number, b" FETCH (")[0])[b"BODYSTRUCTURE"]
        for label in _labels(structure):
            theirs, ours = map(fetched, both.ask(b"FETCH %d BODY.PEEK[%b]" % (number, label), b" FETCH ("))
            compared += 1
            if list(theirs.values()) != list(ours.values()):
                differing.setdefault(name, []).append(label)
    assert compared > 3000
    assert set(differing) == SECTIONS, {name: labels for name, labels in differing.items() if name not in SECTIONS}


def _labels(structure: Node) -> Iterator[bytes]:
    yield from (b"", b"HEADER", b"TEXT", b"HEADER.FIELDS (SUBJECT FROM)", b"HEADER.FIELDS.NOT (SUBJECT FROM)")
    messages = {numbers or (1,) for numbers in _messages(structure, ())}
    for numbers in dict.fromkeys([(1,), *_numbers(structure, ())]):
        label = b".".join(b"%d" % number for number in numbers)
        yield from (label, label + b".MIME")
        if numbers in messages:
            yield from (label + b".HEADER", label + b".TEXT", label + b".HEADER.FIELDS (FROM)")


def _numbers(node: Node, above: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """The part numbers that a structure speaks of (RFC 9051 6.4.5.1)."""
    assert isinstance(node, list)
    if isinstance(node[0], list):
        for number, child in enumerate(node, 1):
            if not isinstance(child, list):
                break
            yield (*above, number)
            yield from _numbers(child, (*above, number))
    elif _is_message(node):
        inner = node[8]
        assert isinstance(inner, list)
        if isinstance(inner[0], list):
            yield from _numbers(inner, above)
        else:
            yield (*above, 1)


def _messages(node: Node, above: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """The numbers of those parts that are messages."""
    assert isinstance(node, list)
    if isinstance(node[0], list):
        for number, child in enumerate(node, 1):
            if not isinstance(child, list):
                break
            yield from _messages(child, (*above, number))
    elif _is_message(node):
        yield above
        yield from _messages(node[8], above)


def _is_message(node: Sequence[Node]) -> bool:
    return [part and part.lower() for part in node[:2] if not isinstance(part, list)] == [b"message", b"rfc822"]


@pytest.mark.parametrize("key", SEARCHES, ids=repr)
def test_search(both: Both, key: bytes) -> None:
    theirs, ours = (_found(line) for line in both.ask(b"SEARCH " + key, b"* SEARCH"))
    assert (theirs - ours, ours - theirs) == SEARCHES[key]


def _found(line: bytes) -> set[str]:
    return {NAMES[int(number) - 1] for number in line.split()[2:]}


@pytest.mark.parametrize("command", LIBERAL, ids=repr)
def test_liberal(both: Both, command: bytes) -> None:
    theirs, ours = (wire.ok(command) for wire in (both.dovecot, both.here))
    if command.startswith((b"FETCH", b"SEARCH", b"SORT", b"THREAD")):
        assert _comparable(theirs.untagged) == _comparable(ours.untagged)


def _comparable(lines: list[bytes]) -> list[bytes]:
    """Tags are no two's alike, and only Dovecot has \\Recent and tells of modseqs what nobody asked for."""
    lines = [re.sub(rb'TAG "[^"]*"|\\Recent', b"", line) for line in lines]
    return [line for line in lines if b"HIGHESTMODSEQ" not in line]


@pytest.mark.parametrize("command", LIBERAL_REFUSED, ids=repr)
def test_refused_but_no_mistake(both: Both, command: bytes) -> None:
    assert [wire.give(command).status for wire in (both.dovecot, both.here)] == ["NO", "NO"]


@pytest.mark.parametrize("order", ORDERS)
def test_sort(both: Both, order: bytes) -> None:
    orders = []
    for line in both.ask(b"SORT (%b) UTF-8 ALL" % order, b"* SORT"):
        names = [NAMES[int(number) - 1] for number in line.split()[2:]]
        assert sorted(names) == sorted(NAMES)
        orders.append([name for name in names if name not in UNSORTED])
    assert orders[0] == orders[1]


@pytest.mark.parametrize("algorithm", [b"REFERENCES", b"ORDEREDSUBJECT"])
def test_thread(both: Both, algorithm: bytes) -> None:
    numbers = b",".join(b"%d" % number for number, name in enumerate(NAMES, 1) if name not in UNSORTED)
    theirs, ours = both.ask(b"THREAD %b UTF-8 %b" % (algorithm, numbers), b"* THREAD")
    assert theirs == ours


# Encoded words with what RFC 2047 2 forbids in them, and labels of charsets that few know; what sorts last.
WORDS = (
    b"=?iso-8859-1?q?Gr\xfc\xdfe?=",
    b"=?utf-8?q?Gr\xc3\xbc\xc3\x9fe?=",
    b"=?iso-8859-1?b?R3L8324=?=",
    b"=?koi8-r?q?\xd0\xd2\xc9\xd7\xc5\xd4?=",
    b"=?utf-8?q?a b\xc3\xbc?=",
    b"raw \xc3\xbc and =?iso-8859-1?q?w\xfcrd?=",
    b"=?windows-31j?q?=93=FA=96=7B?=",
    b"=?cn-big5?q?=A4=A4?=",
    b"_under",
    b"[x] tag",
    b"Zulu",
    b"zebra",
)
NEEDLES = ("Grüß", "ü", "привет", "日本", "中", "a b", "würd", "raw")


@pytest.fixture(scope="module")
def words(both: Both) -> Iterator[Both]:
    """The same two sessions in a mailbox of these subjects."""
    for wire in (both.dovecot, both.here):
        wire.ok(b"CREATE Words")
        for subject in WORDS:
            message = b"From: %b <a@example.org>\r\nSubject: %b\r\n\r\nx\r\n" % (subject, subject)
            assert wire.give(b"APPEND Words {%d+}\r\n%b" % (len(message), message)).status == "OK"
        wire.ok(b"SELECT Words")
    yield both
    for wire in (both.dovecot, both.here):
        wire.ok(b"SELECT Odd")


@pytest.mark.parametrize("needle", NEEDLES)
def test_encoded_words(words: Both, needle: str) -> None:
    octets = needle.encode()
    theirs, ours = words.ask(b"SEARCH CHARSET UTF-8 SUBJECT {%d+}\r\n%b" % (len(octets), octets), b"* SEARCH")
    assert theirs == ours != b"* SEARCH"


def test_collation(words: Both) -> None:
    theirs, ours = words.ask(b"SORT (SUBJECT) UTF-8 ALL", b"* SORT")
    assert theirs == ours
