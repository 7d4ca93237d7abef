"""Delivery status notifications: what became of a message, for its sender.

RFC 3462 and RFC 6522 give the form, RFC 3464 and RFC 6533 the fields.

Three parts: words for people, fields for programs, and the message they are about. The header is ASCII unless the
return address cannot be; so is all else, unless the sender is known to take UTF-8, or wants an 8-bit message back.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from posthouse.message import xtext
from posthouse.message.address import Address, AddressError
from posthouse.message.coding import has_lines, header_text, is_seven_bit, quoted_printable
from posthouse.message.envelope import Recipient, ReversePath
from posthouse.message.quoted import (
    MAX_QUOTED,
    clean,
    clean_ascii,
    field_of,
    filled,
    folded,
    labelled,
    message_id_of,
    words_of,
)
from posthouse.message.reply import Reply
from posthouse.message.seven_bit import to_seven_bit
from posthouse.message.trace import date

WHOLE_AT_MOST = 256 << 10  # octets of a message that RET=FULL gives back whole (RFC 3461 6.2 lets us set a bound)
_HEAD_AT_MOST = 64 << 10
_STATUS = re.compile(r"[245](\.[0-9]{1,3}\.[0-9]{1,3})")  # RFC 3463 2
_ODD_BREAK = re.compile(rb"\0|\r(?!\n)|(?<!\r)\n")


class Action(StrEnum):
    """RFC 3464 2.3.3."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"


@dataclass(frozen=True, slots=True)
class RecipientReport:
    """One recipient. Times are in seconds since 1970."""

    recipient: Recipient
    action: Action
    reply: Reply
    host: str  # that answered; "" for ourselves
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

    sender: ReversePath
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
    reports: Sequence[RecipientReport],
    original: Original,
    *,
    hostname: str,
    postmaster: Address,
    now: int,
    message_id: str,
    boundary: str,
) -> bytes:
    """The whole message, with CRLF and lines of at most 998 octets. A `boundary` that is found in it is made longer."""
    assert original.sender.address is not None
    utf8 = _takes_utf8(original.sender)
    in_utf8 = utf8 and _is_utf8_needed(reports)
    parts = [
        _text_part("text/plain; charset=utf-8", _people(reports, original, hostname)),
        _part(
            "message/global-delivery-status" if in_utf8 else "message/delivery-status",
            _lines(_programs(reports, original, hostname, utf8=in_utf8)),
        ),
        *_original_part(reports, original, utf8=utf8),
    ]
    while any(b"--" + boundary.encode() in part for part in parts):
        boundary += "="
    coding = "7bit" if all(part.isascii() for part in parts) else "8bit"  # RFC 2045 6.4
    head = _head(reports, original, postmaster, now, message_id)
    head += ["MIME-Version: 1.0", f"Content-Transfer-Encoding: {coding}"]
    head += [f'Content-Type: multipart/report; report-type=delivery-status;\n\tboundary="{boundary}"', ""]
    mark = f"\r\n--{boundary}".encode()
    opened = b"".join(mark + b"\r\n" + part for part in parts)
    return _lines(head) + b"This is a report in MIME format.\r\n" + opened + mark + b"--\r\n"


def _head(
    reports: Sequence[RecipientReport], original: Original, postmaster: Address, now: int, message_id: str
) -> list[str]:
    worst = min(reports, key=lambda one: list(Action).index(one.action))
    subject = clean(_SUBJECTS[worst.action].format(worst.recipient.address))
    if len(reports) > 1:
        subject += f" and {len(reports) - 1} more"
    assert original.sender.address is not None
    lines = [
        f"From: Mail Delivery System <{_in_header(postmaster)}>",
        f"To: <{_in_header(original.sender.address)}>",
        f"Subject: {header_text(subject)}",
        f"Date: {date(now)}",
        f"Message-ID: <{message_id}>",
        "Auto-Submitted: auto-replied",  # RFC 3834 5
    ]
    about = message_id_of(original.head)
    return [*lines, f"In-Reply-To: {about}", f"References: {about}"] if about else lines


def _people(reports: Sequence[RecipientReport], original: Original, hostname: str) -> list[str]:
    lines = []
    for one in reports:
        lines += [filled(one.sentence), "", labelled("To:", clean(str(one.recipient.address)))]
        if one.spoken and one.host:
            where = f"{one.host} [{one.ip}]" if one.ip and one.ip != one.host else one.host
            lines.append(labelled("Server:", clean(where)))
        lines.append(labelled("Server reply:" if one.spoken else "Reason:", words_of(one.reply)))
        lines.append(labelled("Last try:", f"{date(one.at)} (try {one.attempts})"))
        if one.retry_until:
            lines.append(labelled("Retrying until:", date(one.retry_until)))
        lines.append("")
    sent = f"Your message of {date(original.arrived)}"
    subject = field_of(original.head, b"subject")
    if subject and "=?" not in subject:  # encoded-words (RFC 2047) are nothing to read
        sent += f", with the subject: {subject}"
    return [
        *lines,
        filled(sent),
        filled(f"This is an automatic message from {hostname}."),
        f"Reference: {original.id_shown}",
    ]


def _programs(reports: Sequence[RecipientReport], original: Original, hostname: str, *, utf8: bool) -> list[str]:
    """RFC 3464 2.2 and 2.3."""
    lines = [f"Reporting-MTA: dns; {clean_ascii(hostname)}", f"Arrival-Date: {date(original.arrived)}"]
    if original.sender.envid:
        lines.insert(0, folded(f"Original-Envelope-Id: {clean_ascii(xtext.decode(original.sender.envid))}"))
    for one in reports:
        lines += ["", *_recipient_fields(one, original, utf8=utf8)]
    return lines


def _recipient_fields(one: RecipientReport, original: Original, *, utf8: bool) -> list[str]:
    lines = _original_recipient(one.recipient.orcpt, utf8=utf8)
    lines.append(f"Final-Recipient: {_typed(one.recipient.address, utf8=utf8)}")
    lines += [f"Action: {one.action}", f"Status: {status_of(one)}"]
    if one.host:
        lines.append(folded(f"Remote-MTA: dns; {clean_ascii(one.host)}"))
    spoken = one.spoken and one.host != ""
    lines.append(folded(f"Diagnostic-Code: {'smtp' if spoken else 'x-posthouse'}; {clean_ascii(words_of(one.reply))}"))
    lines += [f"Last-Attempt-Date: {date(one.at)}", f"Final-Log-ID: {original.id_shown}"]
    if one.retry_until:
        lines.append(f"Will-Retry-Until: {date(one.retry_until)}")
    return lines


def _original_recipient(orcpt: str, *, utf8: bool) -> list[str]:
    """RFC 3464 2.3.1: as the sender gave it, decoded."""
    kind, address = xtext.decode_address(orcpt)
    if kind == "utf-8" and not utf8:
        address = xtext.encode_utf8(address)
    if not kind or not address.strip() or len(kind) + len(address.encode()) > MAX_QUOTED:
        return []
    return [f"Original-Recipient: {clean_ascii(kind)}; {clean(address)}"]


def _typed(address: Address, *, utf8: bool) -> str:
    """RFC 6533 3: an address of the old type where it has such a form."""
    try:
        return f"rfc822; {address.to_ascii()}"
    except AddressError:
        return f"utf-8; {address if utf8 else xtext.encode_utf8(str(address))}"


def status_of(one: RecipientReport) -> str:
    """The status code (RFC 3463) that fits the action: a delay is never 5.x, a failure never 4.x."""
    wanted = {Action.FAILED: "5", Action.DELAYED: "4"}.get(one.action, "2")
    found = _STATUS.fullmatch(one.reply.enhanced)
    if found is None:
        return f"{wanted}.0.0"
    if one.expired and not one.spoken and one.reply.enhanced.startswith("4"):
        return "5.4.7"  # RFC 3463 3.5: delivery time expired
    return f"{wanted}{found[1]}"


def _original_part(reports: Sequence[RecipientReport], original: Original, *, utf8: bool) -> list[bytes]:
    """The message itself where that was asked for and something failed, else its header (RFC 3461 4.3)."""
    wanted = original.sender.ret == "FULL" and any(one.action is Action.FAILED for one in reports)
    if wanted and original.body is not None and original.octets <= WHOLE_AT_MOST:
        whole = original.head + b"".join(original.body())
        # A report that some server on its way could not take would be lost: it has no return address.
        if original.head.isascii() and has_lines(whole) and to_seven_bit(whole) is not None:
            return [_part("message/rfc822", whole)]
        if not original.head.isascii() and has_lines(whole) and utf8:
            return [_part("message/global", whole)]
    head = original.head
    if len(head) > _HEAD_AT_MOST:
        head = head[:_HEAD_AT_MOST].rpartition(b"\r\n")[0] or head[:_HEAD_AT_MOST]
    head = _ODD_BREAK.sub(b" ", head).rstrip(b"\r\n") + b"\r\n"
    if not original.head.strip():
        return []
    if utf8 and not head.isascii() and has_lines(head) and _is_utf8(head):
        return [_part("message/global-headers", head)]
    return [_text_part("text/rfc822-headers", head)]  # RFC 3462 2: broken ones may be quoted-printable


def _takes_utf8(sender: ReversePath) -> bool:
    """Whether a report may speak UTF-8: who writes that way is taken to read it too."""
    return sender.smtputf8 or (sender.address is not None and not sender.address.local.isascii())


def _is_utf8_needed(reports: Sequence[RecipientReport]) -> bool:
    return any(
        not one.recipient.address.local.isascii() or one.recipient.orcpt.lower().startswith("utf-8;") for one in reports
    )


def _in_header(address: Address) -> str:
    try:
        return address.to_ascii()
    except AddressError:
        return str(address)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _text_part(kind: str, content: bytes | list[str]) -> bytes:
    data = content if isinstance(content, bytes) else _lines(content)
    if is_seven_bit(data):
        return _part(kind, data)
    return _labelled_part(kind, "quoted-printable", quoted_printable(data))


def _part(kind: str, data: bytes) -> bytes:
    return _labelled_part(kind, "7bit" if data.isascii() else "8bit", data)


def _labelled_part(kind: str, coding: str, data: bytes) -> bytes:
    return f"Content-Type: {kind}\r\nContent-Transfer-Encoding: {coding}\r\n\r\n".encode() + data


def _lines(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).replace("\r", "").replace("\n", "\r\n").encode("utf-8", "replace")
