"""The header scan, and the trace headers it meets."""

import email
import email.policy
import time

from hypothesis import given
from hypothesis import strategies as st

from posthouse.message.address import Address
from posthouse.message.envelope import Client, Envelope, Recipient, ReversePath
from posthouse.message.header import (
    count_received,
    delivered_to,
    field_spans,
    fields,
    fields_named,
    find_named,
    header_end,
)
from posthouse.message.ids import format_id, id_factory
from posthouse.message.trace import Tracer, return_path
from posthouse.message.trace import delivered_to as delivered_to_field


def test_the_end_of_the_header() -> None:
    assert header_end(b"A: b\r\n\r\nbody") == 8
    assert header_end(b"\r\nbody") == 2
    assert header_end(b"A: b\r\nC: d\r\n") == 12
    assert header_end(b"body\r\n\r\nA: b\r\n\r\nbody", 8) == 16


def test_a_bare_lf_ends_no_line_unless_that_is_asked_for() -> None:
    smuggled = b"A: b\n\nC: d\r\n\r\nbody"
    assert (header_end(smuggled), header_end(smuggled, bare_lf=True)) == (14, 6)
    assert header_end(b"\nA: b\r\n\r\n") == 9
    assert header_end(b"\nA: b\r\n\r\n", bare_lf=True) == 1
    assert header_end(b"A: b\n\r\nbody", bare_lf=True) == 7
    assert header_end(b"A: b\n", bare_lf=True) == 5
    assert list(fields(b"A: b\nC: d\n e\n")) == [(b"a", b" b\nC: d\n e\n")]
    assert list(fields(b"A: b\nC: d\n e\n", bare_lf=True)) == [(b"a", b" b"), (b"c", b" d\n e")]


def test_fields() -> None:
    head = b"Subject: one\r\n two\r\nno field\r\nX-Empty:\r\nRECEIVED: x\r\n\r\n"
    assert list(fields(head)) == [
        (b"subject", b" one\r\n two"),
        (b"", b"no field"),
        (b"x-empty", b""),
        (b"received", b" x"),
    ]
    assert list(fields(head, head.index(b"X-Empty"))) == list(fields(head))[2:]


def test_some_fields_out_of_many() -> None:
    pattern = fields_named(b"to|date")
    head = b"To: a\r\n\tb\r\nX-To: c\r\n To: d\r\nDATE : e\nSubject: To: f"
    assert list(find_named(pattern, head)) == [(b"to", b" a\r\n\tb\r"), (b"date", b" e")]


def test_counting() -> None:
    assert count_received(b"Received: a\r\nX: Received: no\r\nreceived: b\r\nX-Received: c\r\n") == 2
    assert delivered_to(b"Delivered-To: A@B.test\r\nX: y\r\ndelivered-to: c@d.test\r\n") == {"a@b.test", "c@d.test"}
    above = b"Received: x\r\nDelivered-To: a@b.test\r\nResent-From: a@b.test\r\nDelivered-To: c@d.test\r\n"
    assert delivered_to(above) == {"a@b.test"}


@given(
    st.binary(max_size=300) | st.lists(st.sampled_from([b"A:", b"\r\n", b" ", b":", b"\r", b"\n", b"x"])).map(b"".join)
)
def test_any_octets_can_be_scanned(data: bytes) -> None:
    assert 0 <= header_end(data) <= len(data)
    for bare_lf in (False, True):
        spans = list(field_spans(data, bare_lf=bare_lf))
        assert b"".join(data[start:end] for start, _, end in spans) == data
        assert all(data[last:end] in (b"", b"\n", b"\r\n") for _, last, end in spans)
        assert all(b":" not in name for name, _ in fields(data, bare_lf=bare_lf))
    assert count_received(data) >= 0
    delivered_to(data)


TEXT = st.text(st.characters(codec="utf-8"), max_size=60)


@given(TEXT, TEXT, TEXT, TEXT)
def test_no_text_of_a_peer_makes_a_second_field(hello: str, local: str, ip: str, tls: str) -> None:
    address = Address(local or "x", "example.test")
    client = Client("192.0.2.1", 25, hello, "ESMTPS", "TLSv1.3 X")
    envelope = Envelope(bytes(16), client, ReversePath(address), [Recipient(address)])
    head = return_path(address) + delivered_to_field(address) + Tracer("mx.test", lambda: 0.0).received(envelope)
    assert head.endswith("\r\n") and "\0" not in head
    names = [name for name, _ in fields(head.encode("utf-8", "surrogatepass"))]
    assert names == [b"return-path", b"delivered-to", b"received"]
    assert head.count("\n") == head.count("\r\n") == head.count("\r")


def test_another_parser_reads_the_trace() -> None:
    envelope = Envelope(bytes(16), Client("2001:db8::1", 25, "mx.a.test", "ESMTPS", "TLSv1.3 AES"), ReversePath(None))
    envelope.recipients.append(Recipient(Address("a", "b.test")))
    text = return_path(None) + Tracer("mx.test", lambda: 1767607445.0).received(envelope) + "\r\n"
    message = email.message_from_string(text, policy=email.policy.default)
    assert message["Return-Path"] == "<>"
    received = " ".join(message["Received"].split())
    assert received.startswith("from mx.a.test ([IPv6:2001:db8::1]) by mx.test with ESMTPS id ")
    assert received.endswith("for <a@b.test>; Mon, 5 Jan 2026 10:04:05 +0000")


def test_ids_ascend_and_can_be_read() -> None:
    ticks = iter(range(1000))
    make = id_factory(lambda: time.time() + next(ticks))
    made = [make() for _ in range(50)]
    assert made == sorted(made) and [format_id(one) for one in made] == sorted(format_id(one) for one in made)
    assert all(len(one) == 16 and len(format_id(one)) == 26 for one in made)
