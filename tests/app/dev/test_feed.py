"""What the feed of `posthouse dev` writes; whatever a message or a command holds, one line stays one line."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.app.dev.feed import Feed, left_out
from posthouse.app.dev.summary import Summary, summarized
from posthouse.delivery.content.spool import Spool, SpoolBudget
from posthouse.message.address import Address
from posthouse.message.envelope import Client, Envelope, Recipient, ReversePath
from posthouse.message.reply import Reply

OK = Reply(250, "2.0.0", "Kept")
NO = Reply(550, "5.1.1", "None")


def told(message: bytes, answers: list[Reply], *, as_json: bool = False, colour: bool = False) -> list[str]:
    lines: list[str] = []
    feed = Feed(lines.append, as_json=as_json, colour=colour, clock=lambda: 0.0)
    people = [Recipient(Address(f"r{n}", "shop.example")) for n in range(len(answers))]
    client = Client("127.0.0.1", 1, "client", "ESMTP")
    spool = _Memory(message)
    feed.arrived(Envelope(bytes(16), client, ReversePath(Address("app", "my.test")), people), spool, answers, 5.7)
    return lines


class _Memory(Spool):
    def __init__(self, message: bytes) -> None:
        budget = SpoolBudget.__new__(SpoolBudget)
        budget.left = budget.in_memory = 1 << 30
        super().__init__(budget)
        self.write(message)


def test_a_line_for_people() -> None:
    (line,) = told(b"Subject: Your receipt\r\n\r\nx\r\n", [OK])
    assert line[8:] == ' app@my.test → r0@shop.example  "Your receipt"  28 B  text  6 ms'


def test_many_recipients_and_a_long_subject() -> None:
    (line,) = told(b"Subject: %b\r\n\r\n" % (b"long " * 100), [OK] * 10)
    assert "r0@shop.example, r1@shop.example, r2@shop.example and 7 more" in line and "…" in line and len(line) < 200


def test_only_what_was_kept() -> None:
    """LMTP answers for each recipient; a message that nobody got is told as a refusal."""
    (line,) = told(b"\r\n", [NO, OK], as_json=True)
    assert json.loads(line)["message"]["recipients"] == ["r1@shop.example"]
    assert told(b"\r\n", [NO, NO]) == []


@pytest.mark.parametrize("as_json", [False, True])
@given(message=st.binary(max_size=300), command=st.text(max_size=50))
def test_one_line_stays_one_line(as_json: bool, message: bytes, command: str) -> None:
    lines = told(b"Subject: " + message, [OK], as_json=as_json)
    feed = Feed(lines.append, as_json=as_json)
    feed.refused("smtp", command, "550-5.1.1 one\r\n550 5.1.1 two")
    assert len(lines) == 2
    for line in lines:
        assert line.isprintable() and (not as_json or json.loads(line))


def test_a_refusal() -> None:
    lines: list[str] = []
    feed = Feed(lines.append, as_json=False, colour=True)
    feed.refused("smtp", "", "500 5.5.2 Line too long")
    assert "\x1b[33mrefused\x1b[0m  a line  →  500 5.5.2 Line too long" in lines[0]


def test_missing_lines_are_told() -> None:
    assert "12 lines" in left_out(False)(12) and json.loads(left_out(True)(12)) == {"type": "left_out", "lines": 12}


@given(st.binary(max_size=2000))
def test_any_message_has_a_summary(message: bytes) -> None:
    assert summarized(message).attachments >= 0


def test_a_summary() -> None:
    message = (
        b"Subject: =?utf-8?b?R3LDvMOfZQ==?=\r\n two\r\nContent-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\n"
        b"Content-Type: multipart/alternative; boundary=a\r\n\r\n--a\r\n\r\nx\r\n--a\r\nContent-Type: text/html\r\n\r\n"
        b"<p>x\r\n--a--\r\n--m\r\nContent-Type: text/csv; name=a.csv\r\n\r\n1\r\n--m\r\nContent-Type: image/png\r\n\r\n"
        b"x\r\n--m--\r\n"
    )
    assert summarized(message) == Summary("Grüße two", ["text", "html"], 2)
    assert summarized(b"") == Summary("", ["text"], 0)
