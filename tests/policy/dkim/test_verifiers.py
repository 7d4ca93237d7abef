"""Our signatures before the verifiers of others."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from posthouse.policy.dkim.signer import Signer
from tests.policy.dkim.keys import NOW, ed25519_key, rsa_key
from tests.policy.dkim.messages import MESSAGES, message
from tests.policy.dkim.verifiers import OpenDkim, by_dkimpy, by_mail_dkim


@pytest.fixture
def opendkim(tmp_path: Path) -> Iterator[OpenDkim]:
    library = OpenDkim(tmp_path)
    yield library
    library.close()


def signed(name: str, *, rsa: bool = True, ed25519: bool = False) -> tuple[bytes, bytes, bytes]:
    """(signature fields, header section, body)"""
    keys = ([rsa_key()] if rsa else []) + ([ed25519_key()] if ed25519 else [])
    head, body = message(name)
    return Signer(keys).sign(head, [body], NOW), head, body


READABLE = sorted(MESSAGES.keys() - {"space before the colon"})  # neither dkimpy nor OpenDKIM takes such a message


@pytest.mark.parametrize("name", READABLE)
def test_dkimpy(name: str) -> None:
    assert by_dkimpy(b"".join(signed(name)), 1) == [True]


@pytest.mark.parametrize("name", MESSAGES)
def test_mail_dkim(name: str, tmp_path: Path) -> None:
    assert by_mail_dkim(b"".join(signed(name)), tmp_path) == [True]


@pytest.mark.parametrize("name", READABLE)
def test_opendkim(name: str, opendkim: OpenDkim) -> None:
    assert opendkim.verify(b"".join(signed(name, ed25519=True))) == [True, True]


def test_a_field_of_a_kind_unknown_to_the_verifier_does_no_harm(tmp_path: Path) -> None:
    fields, head, body = signed("plain", ed25519=True)
    assert by_mail_dkim(fields + head + body, tmp_path) == [True, False]
    assert by_dkimpy(fields + head + body, 1) == [True]


@pytest.mark.parametrize(
    "added",
    [b"From: mallory@evil.test", b"Subject: other", b"Cc: x@evil.test", b"Reply-To: x@evil.test",
     b"Content-Type: text/html", b"Date: Fri, 2 Jan 2026 00:00:00 +0000", b"Sender: x@evil.test"],
)  # fmt: skip
def test_a_field_added_later_breaks_the_signatures(added: bytes, opendkim: OpenDkim, tmp_path: Path) -> None:
    fields, head, body = signed("plain", ed25519=True)
    forged = fields + added + b"\r\n" + head + body
    assert by_dkimpy(forged, 1) == [False]
    assert opendkim.verify(forged) == [False, False]
    assert by_mail_dkim(forged, tmp_path) == [False, False]


def test_a_changed_message_breaks_the_signatures(opendkim: OpenDkim, tmp_path: Path) -> None:
    fields, head, body = signed("plain", ed25519=True)
    for changed in (head + body.replace(b"a message", b"no message"), head.replace(b"Hello", b"Hallo") + body,
                    head + body + b"more\r\n", head + body[:-3] + b"\r\n"):  # fmt: skip
        assert by_dkimpy(fields + changed, 1) == [False]
        assert opendkim.verify(fields + changed) == [False, False]
        assert by_mail_dkim(fields + changed, tmp_path) == [False, False]


def test_what_happens_on_the_way_breaks_nothing(opendkim: OpenDkim) -> None:
    """Trace fields, a list's own fields on top, other folds, white space lost."""
    fields, head, body = signed("trailing spaces", ed25519=True)
    received = b"Received: by relay.test; now\r\nDelivered-To: bob@b.test\r\nList-Id: <list.b.test>\r\n"
    refolded = head.replace(b"Thu, 1 Jan 2026", b"Thu,\r\n\t1 Jan\r\n  2026")
    arrived = received + fields + refolded + body.replace(b" \t\r\n", b"\r\n") + b"\r\n\r\n"
    assert by_dkimpy(arrived, 1) == [True]
    assert opendkim.verify(arrived) == [True, True]
