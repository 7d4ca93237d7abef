"""Delivery status notifications as their readers see them: the standard library, and flufl.bounce (RFC 3464)."""

import email
import email.policy
from dataclasses import dataclass
from email.message import EmailMessage, Message

from flufl.bounce import scan_message


@dataclass(frozen=True)
class Report:
    """What a notification says of its one recipient."""

    recipient: str
    action: str
    status: str
    diagnostic: str
    original: str  # the header of the message it is about, or all of that
    bounced: frozenset[str]  # what flufl.bounce takes to have failed


def read_report(octets: bytes) -> Report:
    """Read a notification; one that is not well-formed fails."""
    message = email.message_from_bytes(octets, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    for part in message.walk():
        assert not part.defects, part.defects
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    assert message["Auto-Submitted"] in ("auto-replied", "auto-generated")  # RFC 3834 5
    parts = list(message.iter_parts())
    assert [part.get_content_type() for part in parts[:2]] == ["text/plain", "message/delivery-status"]
    assert parts[2].get_content_type() in ("message/rfc822", "text/rfc822-headers", "message/global-headers")
    groups = parts[1].get_payload()
    assert isinstance(groups, list) and len(groups) == 2, "one group of the message, one of its one recipient"
    of_message, of_recipient = groups
    assert isinstance(of_message, Message) and isinstance(of_recipient, Message)
    assert str(of_message["Reporting-MTA"]).startswith("dns;")
    return Report(
        recipient=_after_type(of_recipient, "Final-Recipient", "rfc822"),
        action=str(of_recipient["Action"]).lower(),
        status=str(of_recipient["Status"]),
        diagnostic=str(of_recipient["Diagnostic-Code"] or ""),
        original=parts[2].as_string(),
        bounced=frozenset(each.decode() for each in scan_message(email.message_from_bytes(octets))),
    )


def _after_type(group: Message, name: str, kind: str) -> str:
    found, _, value = str(group[name]).partition(";")
    assert found.strip().lower() == kind
    return value.strip()
