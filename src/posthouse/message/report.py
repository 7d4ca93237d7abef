"""Delivery status notifications: a message that tells a sender what became of theirs.

RFC 3462 and RFC 6522 give the form, RFC 3464 and RFC 6533 the fields.

Three parts: words for people, fields for programs, and the message they are about. What other servers said is quoted
with care: it is cleaned, folded and bounded, so that it can break neither a header nor the structure.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from posthouse.message import xtext
from posthouse.message.address import Address
from posthouse.message.envelope import Recipient, Sender
from posthouse.message.header import fields
from posthouse.message.reply import Reply
from posthouse.message.trace import date

WHOLE_AT_MOST = 256 << 10  # octets of a message that RET=FULL gives back whole (RFC 3461 6.2 lets us set a bound)
_HEAD_AT_MOST = 64 << 10
_LINE = 900  # octets of a line that is quoted; RFC 5322 2.1.1: 998
_WORDS = 1200  # characters of another server's words
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


class Action(StrEnum):
    """RFC 3464 2.3.3."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"


@dataclass(frozen=True, slots=True)
class Told:
    """One recipient. Times are in seconds since 1970."""

    recipient: Recipient
    action: Action
    reply: Reply
    host: str  # who said so; "" for ourselves
    ip: str
    spoken: bool  # the reply is that host's own words
    at: int  # the last attempt
    attempts: int
    expired: bool
    retry_until: int  # 0: nothing is tried any more
    sentence: str  # for people: what happened, and what to do


@dataclass(frozen=True, slots=True)
class Original:
    """The message that the report is about. `head` is its header section; `body` gives what stands behind, or None."""

    sender: Sender
    arrived: int
    id_shown: str
    head: bytes
    body: Callable[[], Iterable[bytes]] | None
    octets: int
    eight_bit: bool


_SUBJECTS = {
    Action.FAILED: "Not delivered: your message to {}",
    Action.DELAYED: "Delayed: your message to {}",
    Action.DELIVERED: "Delivered: your message to {}",
    Action.RELAYED: "Passed on: your message to {}",
    Action.EXPANDED: "Passed on to a list: your message to {}",
}


def compose(
    told: Sequence[Told],
    original: Original,
    *,
    hostname: str,
    postmaster: Address,
    now: int,
    message_id: str,
    boundary: str,
) -> bytes:
    """The whole message, with CRLF. ASCII, unless an address in it is not. `boundary` must not be in the original."""
    assert original.sender.address is not None
    utf8 = any(one.recipient.address.is_international for one in told) or original.sender.address.is_international
    parts = [
        _part("text/plain; charset=utf-8", _people(told, original, hostname), boundary, eight_bit=utf8),
        _part(
            f"message/{'global-delivery-status' if utf8 else 'delivery-status'}",
            _programs(told, original, hostname, utf8=utf8),
            boundary,
            eight_bit=utf8,
        ),
        *_original_part(original, boundary),
    ]
    head = _head(told, original, hostname, postmaster, now, message_id, boundary)
    return b"".join((head, b"This is a report in MIME format.\r\n", *parts, f"\r\n--{boundary}--\r\n".encode()))


def _head(
    told: Sequence[Told],
    original: Original,
    hostname: str,
    postmaster: Address,
    now: int,
    message_id: str,
    boundary: str,
) -> bytes:
    first = str(told[0].recipient.address)
    subject = _SUBJECTS[told[0].action].format(first if len(told) == 1 else f"{first} and {len(told) - 1} more")
    lines = [
        f"From: Mail delivery at {hostname} <{postmaster}>",
        f"To: <{original.sender.address}>",
        f"Subject: {_clean(subject)}",
        f"Date: {date(now)}",
        f"Message-ID: <{message_id}>",
        "Auto-Submitted: auto-replied",  # RFC 3834 5
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary="{boundary}"',
    ]
    about = _field(original.head, b"message-id")
    if about:
        lines[5:5] = [f"In-Reply-To: {about}", f"References: {about}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _people(told: Sequence[Told], original: Original, hostname: str) -> str:
    paragraphs = []
    for one in told:
        lines = [one.sentence, "", f"  To:        {one.recipient.address}"]
        if one.spoken and one.host:
            where = f"{one.host} [{one.ip}]" if one.ip and one.ip != one.host else one.host
            lines.append(f"  Server:    {_clean(where)[:_LINE]}")
        lines.append(f"  {'It said:  ' if one.spoken else 'Reason:   '} {_words(one.reply)}")
        lines.append(f"  Last try:  {date(one.at)}, number {one.attempts}")
        if one.retry_until:
            lines.append(f"  Goes on:   until {date(one.retry_until)}; you need not send it again")
        paragraphs.append("\n".join(lines))
    subject = _field(original.head, b"subject")
    sent = [f"Your message of {date(original.arrived)}"]
    if subject and subject.isascii():
        sent.append(f"with the subject: {subject}")
    closing = f"{', '.join(sent)}\nThis is an automatic message from {hostname}. Reference: {original.id_shown}"
    return "\n\n".join([*paragraphs, closing]) + "\n"


def _programs(told: Sequence[Told], original: Original, hostname: str, *, utf8: bool) -> str:
    """RFC 3464 2.2 and 2.3."""
    groups = [[f"Reporting-MTA: dns; {hostname}", f"Arrival-Date: {date(original.arrived)}"]]
    if original.sender.envid:
        groups[0].insert(0, f"Original-Envelope-Id: {_clean(xtext.decode(original.sender.envid))}")
    groups += [_recipient_fields(one, original, utf8=utf8) for one in told]
    return "\n\n".join("\n".join(group) for group in groups) + "\n"


def _recipient_fields(one: Told, original: Original, *, utf8: bool) -> list[str]:
    kind, address = xtext.decode_address(one.recipient.orcpt)
    lines = []
    if kind and (utf8 or address.isascii()):
        lines.append(f"Original-Recipient: {kind}; {_clean(address)}")
    final = one.recipient.address
    lines.append(f"Final-Recipient: {'utf-8' if final.is_international else 'rfc822'}; {final}")
    lines.append(f"Action: {one.action}")
    lines.append(f"Status: {status_of(one)}")
    if one.host and one.spoken:
        lines.append(f"Remote-MTA: dns; {_ascii(_clean(one.host))[:_LINE]}")
        lines.append(f"Diagnostic-Code: smtp; {_ascii(_words(one.reply))}")
    else:
        lines.append(f"Diagnostic-Code: x-posthouse; {_ascii(_words(one.reply))}")
    lines.append(f"Last-Attempt-Date: {date(one.at)}")
    lines.append(f"Final-Log-ID: {original.id_shown}")
    if one.retry_until:
        lines.append(f"Will-Retry-Until: {date(one.retry_until)}")
    return lines


def status_of(one: Told) -> str:
    """The status code (RFC 3463) that fits the action: a delay is never 5.x, a failure never 4.x."""
    wanted = {Action.FAILED: "5", Action.DELAYED: "4"}.get(one.action, "2")
    enhanced = one.reply.enhanced
    if not enhanced:
        return f"{wanted}.0.0"
    if one.expired and enhanced.startswith("4"):
        return "5.4.7" if not one.spoken else f"5{enhanced[1:]}"  # RFC 3463 3.5: delivery time expired
    return f"{wanted}{enhanced[1:]}"


def _original_part(original: Original, boundary: str) -> list[bytes]:
    """The message itself where it was asked for, else its header (RFC 3461 6.2)."""
    utf8 = not original.head.isascii()
    mark = boundary.encode()
    if original.body is not None and original.octets <= WHOLE_AT_MOST:
        whole = original.head + b"".join(original.body())
        if b"--" + mark not in whole:
            kind = "message/global" if utf8 else "message/rfc822"
            return [_part(kind, whole, boundary, eight_bit=not whole.isascii())]
    if not original.head:
        return []
    head = original.head[:_HEAD_AT_MOST].rstrip(b"\r\n") + b"\r\n"
    if b"--" + mark in head:
        return []
    return [_part("message/global-headers" if utf8 else "text/rfc822-headers", head, boundary, eight_bit=utf8)]


def _part(kind: str, content: str | bytes, boundary: str, *, eight_bit: bool) -> bytes:
    data = content if isinstance(content, bytes) else content.replace("\n", "\r\n").encode()
    coding = "8bit" if eight_bit or not data.isascii() else "7bit"
    return f"\r\n--{boundary}\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: {coding}\r\n\r\n".encode() + data


def _field(head: bytes, name: bytes) -> str:
    """A field of the original on one line, cleaned and bounded; "" when it is not there."""
    for found, value in fields(head):
        if found == name:
            return _clean(value.decode("utf-8", "replace").strip())[:_LINE]
    return ""


def _words(reply: Reply) -> str:
    text = f"{reply.code} {reply.enhanced} {reply.text}" if reply.enhanced else f"{reply.code} {reply.text}"
    return _clean(text)[:_WORDS][:_LINE]


def _clean(text: str) -> str:
    return _CONTROLS.sub(" ", text).strip()


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode()
