"""What is announced, and how Received names the protocol."""

import pytest

from posthouse.protocol.smtp.capabilities import hello_reply, protocol_name
from posthouse.protocol.smtp.settings import SmtpSettings, Variant


def test_hello() -> None:
    settings = SmtpSettings("mx.test", max_size=1000, max_recipients=7)
    said = hello_reply(settings, starttls=True, mechanisms=("SCRAM-SHA-256-PLUS", "PLAIN"))
    lines = said.decode().split("\r\n")
    assert lines.pop() == ""
    assert all(line.startswith("250-") for line in lines[:-1]) and lines[-1].startswith("250 ")
    assert {line[4:] for line in lines} == {
        "mx.test", "PIPELINING", "SIZE 1000", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "CHUNKING", "BINARYMIME",
        "DSN", "LIMITS RCPTMAX=7", "HELP", "STARTTLS", "AUTH SCRAM-SHA-256-PLUS PLAIN",
    }  # fmt: skip
    bare = hello_reply(settings, starttls=False, mechanisms=())
    assert b"STARTTLS" not in bare and b"AUTH" not in bare


@pytest.mark.parametrize(
    ("variant", "extended", "utf8", "secure", "authenticated", "name"),
    [
        (Variant.RELAY, False, False, False, False, "SMTP"),
        (Variant.RELAY, False, True, True, True, "SMTP"),
        (Variant.RELAY, True, False, False, False, "ESMTP"),
        (Variant.RELAY, True, False, True, False, "ESMTPS"),
        (Variant.SUBMISSION, True, False, True, True, "ESMTPSA"),
        (Variant.SUBMISSION, True, False, False, True, "ESMTPA"),
        (Variant.RELAY, True, True, False, False, "UTF8SMTP"),
        (Variant.SUBMISSION, True, True, True, True, "UTF8SMTPSA"),
        (Variant.LMTP, True, False, False, False, "LMTP"),
        (Variant.LMTP, True, True, True, False, "UTF8LMTPS"),
    ],
)
def test_protocol(variant: Variant, extended: bool, utf8: bool, secure: bool, authenticated: bool, name: str) -> None:
    assert protocol_name(variant, extended=extended, utf8=utf8, secure=secure, authenticated=authenticated) == name
