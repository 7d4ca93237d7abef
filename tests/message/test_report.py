"""Bounces, as people and programs read them."""

import email
from email import policy
from email.message import EmailMessage
from typing import Any

import pytest
from flufl.bounce import all_failures
from hypothesis import given
from hypothesis import strategies as st

from posthouse.delivery.explain import explain
from posthouse.message.address import Address
from posthouse.message.envelope import Recipient, Sender
from posthouse.message.reply import Reply
from posthouse.message.report import Action, Original, Told, compose

HEAD = b"From: Alice <alice@here.test>\r\nTo: bob@there.test\r\nSubject: Lunch\r\nMessage-ID: <1@here.test>\r\n\r\n"
AT = 1_790_000_000
NO_USER = Reply(550, "5.1.1", "No such user")


def told(
    recipient: str = "bob@there.test",
    reply: Reply = NO_USER,
    action: Action = Action.FAILED,
    **more: Any,
) -> Told:
    to = Recipient(Address.parse(recipient), orcpt=str(more.pop("orcpt", "")))
    values: dict[str, Any] = {
        "host": "mx.there.test",
        "ip": "192.0.2.1",
        "spoken": True,
        "expired": False,
        "retry_until": 0,
    } | more
    sentence = explain(reply, to.address, spoken=bool(values["spoken"]), expired=bool(values["expired"]))
    return Told(to, action, reply, at=AT, attempts=3, sentence=sentence, **values)


def bounce(*those: Told, sender: Sender | None = None, head: bytes = HEAD, body: bytes | None = None) -> bytes:
    sender = sender or Sender(Address.parse("alice@here.test"))
    rest = None if body is None else (lambda: [body])
    return compose(
        those,
        Original(sender, AT - 9, "01m86", head, rest, len(head), False),
        hostname="mail.here.test",
        postmaster=Address.parse("postmaster@here.test"),
        now=AT,
        message_id="b@here.test",
        boundary="=edge",
    )


def parsed(data: bytes) -> tuple[EmailMessage, list[Any]]:
    assert all(len(line) <= 998 and b"\n" not in line and b"\r" not in line for line in data.split(b"\r\n"))
    message = email.message_from_bytes(data, policy=policy.default)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    return message, list(message.iter_parts())


def test_a_failure_for_people_and_programs() -> None:
    message, (people, programs, original) = parsed(bounce(told()))
    assert message["To"] == "alice@here.test"
    assert message["From"].addresses[0].addr_spec == "postmaster@here.test"
    assert "Not delivered" in message["Subject"] and "bob@there.test" in message["Subject"]
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["In-Reply-To"] == "<1@here.test>"
    assert message.get_param("report-type") == "delivery-status"
    text = people.get_content()
    assert text.startswith("There is no mailbox bob@there.test. Check the spelling")
    assert "mx.there.test [192.0.2.1]" in text and "550 5.1.1 No such user" in text and "Lunch" in text
    whole, per_recipient = programs.get_payload()
    assert whole["Reporting-MTA"] == "dns; mail.here.test"
    assert per_recipient["Final-Recipient"] == "rfc822; bob@there.test"
    assert per_recipient["Action"] == "failed"
    assert per_recipient["Status"] == "5.1.1"
    assert per_recipient["Remote-MTA"] == "dns; mx.there.test"
    assert per_recipient["Diagnostic-Code"] == "smtp; 550 5.1.1 No such user"
    assert original.get_content_type() == "text/rfc822-headers"
    assert "Subject: Lunch" in original.get_content()


def test_another_parser_finds_the_failed() -> None:
    data = bounce(told(), told("carol@there.test"))
    _, failed = all_failures(email.message_from_bytes(data))
    assert set(failed) == {b"bob@there.test", b"carol@there.test"}
    delayed = bounce(told(reply=Reply(451, "4.7.1", "later"), action=Action.DELAYED, retry_until=AT + 9))
    late, failed = all_failures(email.message_from_bytes(delayed))
    assert (set(late), set(failed)) == ({b"bob@there.test"}, set())


@pytest.mark.parametrize(
    ("action", "reply", "more", "status"),
    [
        (Action.FAILED, Reply(550, "", "no"), {}, "5.0.0"),
        (Action.FAILED, Reply(451, "4.4.1", "no answer"), {"expired": True, "spoken": False}, "5.4.7"),
        (Action.FAILED, Reply(451, "4.7.1", "later"), {"expired": True}, "5.7.1"),
        (Action.DELAYED, Reply(451, "4.4.1", "later"), {"retry_until": AT + 9}, "4.4.1"),
        (Action.RELAYED, Reply(250, "2.0.0", "ok"), {}, "2.0.0"),
        (Action.DELIVERED, Reply(250, "", "ok"), {}, "2.0.0"),
    ],
)
def test_status_fits_the_action(action: Action, reply: Reply, more: dict[str, Any], status: str) -> None:
    _, (_, programs, _) = parsed(bounce(told(reply=reply, action=action, **more)))
    assert programs.get_payload()[1]["Status"] == status
    assert programs.get_payload()[1]["Action"] == action.value


def test_what_was_asked_for_is_given_back() -> None:
    sender = Sender(Address.parse("alice@here.test"), envid="a+2Bb+3D", ret="FULL")
    data = bounce(told(orcpt="rfc822;list+2Bx@there.test"), sender=sender, body=b"Hello.\r\n")
    _, (_, programs, original) = parsed(data)
    whole, per_recipient = programs.get_payload()
    assert whole["Original-Envelope-Id"] == "a+b="
    assert per_recipient["Original-Recipient"] == "rfc822; list+x@there.test"
    assert original.get_content_type() == "message/rfc822"
    assert original.get_payload()[0].get_payload() == "Hello.\r\n"


def test_international_addresses() -> None:
    _, (_, programs, _) = parsed(bounce(told("jörg@bücher.test", orcpt="utf-8;j\\x{F6}rg@b\\x{FC}cher.test")))
    assert programs.get_content_type() == "message/global-delivery-status"
    fields = programs.get_payload(decode=False)
    text = fields if isinstance(fields, str) else str(programs)
    assert "utf-8; jörg@bücher.test" in text or "utf-8; j" in text


@given(st.text(max_size=3000), st.text(max_size=300))
def test_hostile_words_break_nothing(words: str, host: str) -> None:
    data = bounce(told(reply=Reply(550, "5.1.1", words), host=host))
    message, parts = parsed(data)
    assert len(parts) == 3
    assert message["To"] == "alice@here.test"
    assert len(parts[1].get_payload()) == 2


def test_the_original_cannot_close_a_part() -> None:
    head = HEAD[:-2] + b"X: y\r\n --=edge--\r\n\r\n"
    message, parts = parsed(bounce(told(), head=head, body=b"\r\n--=edge--\r\n"))
    assert 2 <= len(parts) <= 3
    assert message.get_content_type() == "multipart/report"
