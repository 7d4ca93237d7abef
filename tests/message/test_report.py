"""Bounces, as people and programs read them."""

import email
from email import policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from flufl.bounce import all_failures
from hypothesis import given
from hypothesis import strategies as st

from posthouse.delivery.reports.wording import explain
from posthouse.message.address import Address
from posthouse.message.envelope import Recipient, ReversePath
from posthouse.message.reply import Reply
from posthouse.message.report import WHOLE_AT_MOST, Action, Original, RecipientReport, compose
from posthouse.message.seven_bit import to_seven_bit

GOLDEN = Path(__file__).parent / "golden"
HEAD = b"From: Alice <alice@here.test>\r\nTo: bob@there.test\r\nSubject: Lunch\r\nMessage-ID: <1@here.test>\r\n\r\n"
AT = 1_790_000_000
NO_USER = Reply(550, "5.1.1", "No such user")
ALICE = Address.parse("alice@here.test")
FULL = ReversePath(ALICE, ret="FULL")


def told(
    recipient: str = "bob@there.test",
    reply: Reply = NO_USER,
    action: Action = Action.FAILED,
    **more: Any,
) -> RecipientReport:
    to = Recipient(Address.parse(recipient), orcpt=str(more.pop("orcpt", "")))
    values: dict[str, Any] = {
        "host": "mx.there.test",
        "ip": "192.0.2.1",
        "spoken": True,
        "expired": False,
        "retry_until": 0,
    } | more
    sentence = explain(reply, to.address, spoken=bool(values["spoken"]), expired=bool(values["expired"]))
    return RecipientReport(to, action, reply, at=AT, attempts=3, sentence=sentence, **values)


def bounce(
    *those: RecipientReport, sender: ReversePath | None = None, head: bytes = HEAD, body: bytes | None = None
) -> bytes:
    rest = None if body is None else (lambda: [body])
    octets = len(head) + len(body or b"")
    return compose(
        those,
        Original(sender or ReversePath(ALICE), AT - 9, "01m86", head, rest, octets, False),
        hostname="mail.here.test",
        postmaster=Address.parse("postmaster@here.test"),
        now=AT,
        message_id="b@here.test",
        boundary="=edge",
    )


def parsed(data: bytes) -> tuple[EmailMessage, list[Any]]:
    assert data.endswith(b"\r\n") and b"\0" not in data
    assert all(len(line) <= 998 and b"\n" not in line and b"\r" not in line for line in data.split(b"\r\n"))
    message = email.message_from_bytes(data, policy=policy.default)
    assert isinstance(message, EmailMessage)
    assert not any(part.defects for part in [message, *message.iter_parts()])
    assert to_seven_bit(data) is not None
    return message, list(message.iter_parts())


def per_recipient(data: bytes) -> Any:
    return parsed(data)[1][1].get_payload()[1]


def test_a_failure_for_people_and_programs() -> None:
    data = bounce(told())
    message, (people, programs, original) = parsed(data)
    assert data.isascii()
    assert message["To"] == "alice@here.test"
    assert message["From"].addresses[0].addr_spec == "postmaster@here.test"
    assert message["Subject"] == "Not delivered: your message to bob@there.test"
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["In-Reply-To"] == message["References"] == "<1@here.test>"
    assert message.get_param("report-type") == "delivery-status"
    assert "There is no mailbox bob@there.test." in people.get_content()
    whole, fields = programs.get_payload()
    assert whole["Reporting-MTA"] == "dns; mail.here.test"
    assert whole["Arrival-Date"] == "Mon, 21 Sep 2026 14:13:11 +0000"
    assert "Original-Envelope-Id" not in whole and "Original-Recipient" not in fields
    assert fields["Final-Recipient"] == "rfc822; bob@there.test"
    assert (fields["Action"], fields["Status"]) == ("failed", "5.1.1")
    assert fields["Remote-MTA"] == "dns; mx.there.test"
    assert fields["Diagnostic-Code"] == "smtp; 550 5.1.1 No such user"
    assert fields["Last-Attempt-Date"] == "Mon, 21 Sep 2026 14:13:20 +0000"
    assert fields["Final-Log-ID"] == "01m86" and "Will-Retry-Until" not in fields
    assert original.get_content_type() == "text/rfc822-headers"
    assert "Subject: Lunch" in original.get_content()


@pytest.mark.parametrize("name", ["not_delivered", "delayed"])
def test_the_words_for_people(name: str) -> None:
    """To be looked at: does a person without an administrator at hand know what happened, and what to do?"""
    long = "Message rejected due to our local policy; see https://there.test/why?id=12345 for what to do about it"
    those = {
        "not_delivered": [told(), told("carol@there.test", Reply(554, "5.7.1", long))],
        "delayed": [
            told(
                "dave@slow.test",
                Reply(451, "4.4.1", "No answer within 300 seconds"),
                Action.DELAYED,
                host="mx.slow.test",
                spoken=False,
                retry_until=AT + 4 * 86400,
            )
        ],
    }[name]
    _, (people, _, _) = parsed(bounce(*those))
    assert people.get_content().replace("\r\n", "\n") == (GOLDEN / f"{name}.txt").read_text()


def test_another_parser_finds_the_failed() -> None:
    data = bounce(told(), told("carol@there.test"))
    _, failed = all_failures(email.message_from_bytes(data))
    assert set(failed) == {b"bob@there.test", b"carol@there.test"}
    delayed = bounce(told(reply=Reply(451, "4.7.1", "later"), action=Action.DELAYED, retry_until=AT + 9))
    late, failed = all_failures(email.message_from_bytes(delayed))
    assert (set(late), set(failed)) == ({b"bob@there.test"}, set())
    relayed = bounce(told(reply=Reply(250, "2.0.0", "ok"), action=Action.RELAYED))
    assert not any(all_failures(email.message_from_bytes(relayed)))


@pytest.mark.parametrize(
    ("action", "reply", "more", "status"),
    [
        (Action.FAILED, Reply(550, "", "no"), {}, "5.0.0"),
        (Action.FAILED, Reply(550, "5.1.1\r\nX: y", "no"), {}, "5.0.0"),
        (Action.FAILED, Reply(451, "4.4.1", "no answer"), {"expired": True, "spoken": False}, "5.4.7"),
        (Action.FAILED, Reply(451, "4.7.1", "later"), {"expired": True}, "5.7.1"),
        (Action.DELAYED, Reply(451, "4.4.1", "later"), {"retry_until": AT + 9}, "4.4.1"),
        (Action.RELAYED, Reply(250, "2.0.0", "ok"), {}, "2.0.0"),
        (Action.DELIVERED, Reply(250, "", "ok"), {}, "2.0.0"),
        (Action.EXPANDED, Reply(250, "2.0.0", "ok"), {}, "2.0.0"),
    ],
)
def test_status_fits_the_action(action: Action, reply: Reply, more: dict[str, Any], status: str) -> None:
    fields = per_recipient(bounce(told(reply=reply, action=action, **more)))
    assert (fields["Status"], fields["Action"]) == (status, action.value)
    assert ("Will-Retry-Until" in fields) == (action is Action.DELAYED)


def test_the_subject_tells_the_worst() -> None:
    late = told(reply=Reply(451, "4.7.1", "later"), action=Action.DELAYED, retry_until=AT + 9)
    message, _ = parsed(bounce(late, told("carol@there.test")))
    assert message["Subject"] == "Not delivered: your message to carol@there.test and 1 more"


def test_our_own_words_are_not_laid_to_the_other_server() -> None:
    reply = Reply(550, "5.4.4", "there.test has no mail server")
    fields = per_recipient(bounce(told(reply=reply, spoken=False, host="")))
    assert fields["Diagnostic-Code"] == "x-posthouse; 550 5.4.4 there.test has no mail server"
    assert "Remote-MTA" not in fields
    fields = per_recipient(bounce(told(reply=reply, spoken=False)))
    assert fields["Remote-MTA"] == "dns; mx.there.test"
    assert fields["Diagnostic-Code"].startswith("x-posthouse;")


def test_what_was_asked_for_is_given_back() -> None:
    sender = ReversePath(ALICE, envid="a+2Bb+3D", ret="FULL")
    data = bounce(told(orcpt="rfc822;list+2Bx@there.test"), sender=sender, body=b"Hello.\r\n")
    _, (_, programs, original) = parsed(data)
    whole, fields = programs.get_payload()
    assert whole["Original-Envelope-Id"] == "a+b="
    assert fields["Original-Recipient"] == "rfc822; list+x@there.test"
    assert original.get_content_type() == "message/rfc822"
    assert original.get_payload()[0].get_payload() == "Hello.\r\n"


@pytest.mark.parametrize(
    ("ret", "action", "body", "kind"),
    [
        ("FULL", Action.FAILED, b"Hello.\r\n", "message/rfc822"),
        ("FULL", Action.FAILED, b"Gr\xc3\xbc\xc3\x9fe\r\n", "message/rfc822"),
        ("FULL", Action.FAILED, b"x" * 998 + b"\r\n", "message/rfc822"),
        ("HDRS", Action.FAILED, b"Hello.\r\n", "text/rfc822-headers"),
        ("", Action.FAILED, b"Hello.\r\n", "text/rfc822-headers"),
        ("FULL", Action.DELAYED, b"Hello.\r\n", "text/rfc822-headers"),  # RFC 3461 4.3: nothing has failed
        ("FULL", Action.RELAYED, b"Hello.\r\n", "text/rfc822-headers"),
        ("FULL", Action.FAILED, None, "text/rfc822-headers"),
        ("FULL", Action.FAILED, b"Hello.\r\n" * (WHOLE_AT_MOST // 8), "text/rfc822-headers"),
        ("FULL", Action.FAILED, b"x" * 999 + b"\r\n", "text/rfc822-headers"),
        ("FULL", Action.FAILED, b"bare\nbreak\r\n", "text/rfc822-headers"),
        ("FULL", Action.FAILED, b"\0\r\n", "text/rfc822-headers"),
    ],
)
def test_how_much_of_the_original_comes_back(ret: str, action: Action, body: bytes | None, kind: str) -> None:
    head = HEAD[:-2] + b"MIME-Version: 1.0\r\n\r\n"
    data = bounce(told(action=action), sender=ReversePath(ALICE, ret=ret), head=head, body=body)
    message, (_, _, original) = parsed(data)
    assert original.get_content_type() == kind
    assert (body is not None and head + body in data) == (kind == "message/rfc822")
    assert message["Content-Transfer-Encoding"] == ("7bit" if data.isascii() else "8bit")


@pytest.mark.parametrize(
    ("head", "smtputf8", "kind"),
    [
        (HEAD, True, "text/rfc822-headers"),
        ("Subject: Grüße\r\n\r\n".encode(), True, "message/global-headers"),
        ("Subject: Grüße\r\n\r\n".encode(), False, "text/rfc822-headers"),
        (b"Subject: Gr\xfc\xdfe\r\n\r\n", True, "text/rfc822-headers"),
        (b"Subject: " + b"x" * 5000 + b"\r\n\r\n", False, "text/rfc822-headers"),
        (b"Subject: a\nb\rc\0\r\n\r\n", False, "text/rfc822-headers"),
        (b"X: y\r\n" * 100_000, False, "text/rfc822-headers"),
        (b"x" * 100_000, False, "text/rfc822-headers"),
    ],
)
def test_any_header_comes_back(head: bytes, smtputf8: bool, kind: str) -> None:
    data = bounce(told(), sender=ReversePath(ALICE, smtputf8=smtputf8), head=head)
    _, (_, _, original) = parsed(data)
    assert original.get_content_type() == kind
    assert data.isascii() == (kind == "text/rfc822-headers")
    if kind == "text/rfc822-headers" and len(head) < 10_000 and b"\0" not in head:
        assert original.get_payload(decode=True).rstrip() == head.rstrip()


def test_what_could_not_be_sent_on_is_not_given_back() -> None:
    """A server without 8BITMIME may stand between: what is signed has no other form (RFC 1847 2.1)."""
    head = b"MIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary=b\r\n\r\n"
    _, (_, _, original) = parsed(bounce(told(), sender=FULL, head=head, body="Grüße\r\n".encode()))
    assert original.get_content_type() == "text/rfc822-headers"


def test_an_international_message_comes_back_whole() -> None:
    sender = ReversePath(ALICE, smtputf8=True, ret="FULL")
    data = bounce(told(), sender=sender, head="Subject: ü\r\n\r\n".encode(), body=b"Hello.\r\n")
    assert parsed(data)[1][2].get_content_type() == "message/global"


def test_without_a_header_there_are_two_parts() -> None:
    message, parts = parsed(bounce(told(), head=b""))
    assert len(parts) == 2 and "In-Reply-To" not in message


@pytest.mark.parametrize(
    "name", [b"<a b@x>", b"1@here.test", "<ü@x>".encode(), b"<1@x>\r\n\tX: y\xff", b"<" + b"a" * 2000 + b"@x>", b""]
)
def test_what_is_no_message_id_is_not_referred_to(name: bytes) -> None:
    message, _ = parsed(bounce(told(), head=b"Message-ID: " + name + b"\r\n\r\n"))
    assert "In-Reply-To" not in message and "References" not in message


def test_international_addresses_to_one_who_reads_them() -> None:
    data = bounce(
        told("jörg@bücher.test", orcpt="utf-8;j\\x{F6}rg@b\\x{FC}cher.test"), sender=ReversePath(ALICE, smtputf8=True)
    )
    message, (people, programs, _) = parsed(data)
    assert message["Subject"] == "Not delivered: your message to jörg@bücher.test"
    assert data.partition(b"\r\n\r\n")[0].isascii()
    assert "There is no mailbox jörg@bücher.test." in people.get_content()
    assert programs.get_content_type() == "message/global-delivery-status"
    assert "Final-Recipient: utf-8; jörg@bücher.test\r\n".encode() in data
    assert "Original-Recipient: utf-8; jörg@bücher.test\r\n".encode() in data


def test_international_addresses_to_one_who_may_not() -> None:
    data = bounce(told("jörg@bücher.test", orcpt="utf-8;jörg@bücher.test"))
    assert data.isascii()
    assert r"utf-8; j\x{F6}rg@" in per_recipient(data)["Final-Recipient"]
    assert per_recipient(data)["Original-Recipient"] == r"utf-8; j\x{F6}rg@b\x{FC}cher.test"


def test_an_international_domain_has_a_form_for_everybody() -> None:
    data = bounce(told("bob@bücher.test"), sender=ReversePath(Address.parse("alice@bücher.test")))
    assert data.isascii()
    assert b"\r\nTo: <alice@xn--bcher-kva.test>\r\n" in data
    assert per_recipient(data)["Final-Recipient"] == "rfc822; bob@xn--bcher-kva.test"
    _, failed = all_failures(email.message_from_bytes(data))
    assert set(failed) == {b"bob@xn--bcher-kva.test"}


def test_an_international_sender() -> None:
    data = bounce(told(), sender=ReversePath(Address.parse("jörg@here.test"), smtputf8=True))
    assert "\r\nTo: <jörg@here.test>\r\n".encode() in data
    report = email.message_from_bytes(data, policy=policy.default)
    assert isinstance(report, EmailMessage)
    assert [part.get_content_type() for part in report.iter_parts()][1] == "message/delivery-status"


@given(
    st.one_of(
        st.text(max_size=3000),
        st.lists(st.sampled_from(["\r\n", "--=edge", "--", "漢" * 50, " ", "\0", "X: y", "\n\n", "\u2028", "é"])).map(
            "".join
        ),
    ),
    st.text(max_size=300),
    st.text(max_size=10),
    st.booleans(),
)
def test_hostile_words_break_nothing(words: str, host: str, status: str, spoken: bool) -> None:
    data = bounce(told(reply=Reply(550, status, words), host=host, spoken=spoken))
    message, parts = parsed(data)
    assert data.isascii()
    kinds = [part.get_content_type() for part in parts]
    assert kinds == ["text/plain", "message/delivery-status", "text/rfc822-headers"]
    assert message["To"] == "alice@here.test"
    groups = parts[1].get_payload()
    assert len(groups) == 2
    names = "Final-Recipient Action Status Remote-MTA Diagnostic-Code Last-Attempt-Date Final-Log-ID"
    assert set(groups[1].keys()) <= set(names.split())
    assert groups[1]["Final-Recipient"] == "rfc822; bob@there.test"


@pytest.mark.parametrize("words", ["x" * 5000, "漢" * 5000, "a " * 5000, "\u202eabc", "a\r\n.\r\nb"])
def test_words_are_bounded_and_on_lines_of_their_own(words: str) -> None:
    data = bounce(told(reply=Reply(550, "5.1.1", words)))
    _, (people, _, _) = parsed(data)
    assert len(data) < 16_000
    assert "\u202e" not in people.get_content()
    assert b"\r\n.\r\n" not in data


@given(st.binary(max_size=400), st.binary(max_size=400))
def test_hostile_originals_break_nothing(head: bytes, body: bytes) -> None:
    message, parts = parsed(bounce(told(), sender=FULL, head=b"X: " + head + b"\r\n\r\n", body=body))
    assert message["To"] == "alice@here.test"
    assert parts[0].get_content_type() == "text/plain"
    assert len(parts) == 3


def test_the_original_cannot_close_a_part() -> None:
    head = HEAD[:-2] + b"X: y\r\n --=edge--\r\n\r\n"
    for body in (b"\r\n--=edge--\r\n", b"\r\n--=edge=\r\n\r\n--=edge==--\r\n"):
        message, parts = parsed(bounce(told(), sender=FULL, head=head, body=body))
        assert message.get_content_type() == "multipart/report"
        assert len(parts) == 3
        assert parts[2].get_payload()[0].get_payload() == body.decode()
