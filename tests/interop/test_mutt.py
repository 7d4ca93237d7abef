"""Mutt as Debian sets it up sends by submission, and keeps a copy in Sent by IMAP."""

import imaplib
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from tests.interop.tools import run, tool
from tests.outside.maildrop import collect
from tests.outside.program import PASSWORD, Program
from tests.outside.wire import trusting

_SETTINGS = """
set from="{address}" realname="Jörg" ssl_force_tls=yes certificate_file="{ca}"
set smtp_url="{smtp}" smtp_pass="{password}"
set imap_user="{address}" imap_pass="{password}" folder="{imap}" record="+Sent"
"""


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "starttls"])
def test_sends_and_keeps_a_copy(program: Program, address: str, tmp_path: Path, tls: bool) -> None:
    """Over TLS 1.3 it binds by tls-exporter alone (RFC 9266), and gives up where it is offered SCRAM with another."""
    login = address.replace("@", "%40")
    scheme, port = ("smtps", program.ports.submissions) if tls else ("smtp", program.ports.submission)
    imap = f"imaps://localhost:{program.offset + 993}/"
    rc = tmp_path / "muttrc"
    rc.write_text(
        _SETTINGS.format(
            address=address,
            password=PASSWORD,
            ca=program.data / "tls" / "certificate.pem",
            smtp=f"{scheme}://{login}@localhost:{port}/",
            imap=imap,
        )
    )
    with imaplib.IMAP4_SSL("localhost", program.offset + 993, ssl_context=trusting()) as client:
        client.login(address, PASSWORD)  # the first login makes Sent
    text = "Grüße aus Köln\n.\n.dot\nFrom here on.\n"
    run(tool("mutt"), "-F", str(rc), "-s", "Grüße", "--", address, home=tmp_path, stdin=text.encode())
    (received,) = collect(program.ports.pop3, address).values()
    found = message_from_bytes(received, policy=policy.default)
    assert found["Subject"] == "Grüße" and "Jörg" in found["From"] and found["Message-ID"]
    assert found.get_content().replace("\r\n", "\n") == text
    with imaplib.IMAP4_SSL("localhost", program.offset + 993, ssl_context=trusting()) as client:
        client.login(address, PASSWORD)
        assert client.select("Sent") == ("OK", [b"1"])
        assert client.search(None, "SEEN") == ("OK", [b"1"])
