"""Messages to send: CPython's own test messages, and made ones with the edges that mail has."""

import importlib.util
import random
import re
import shutil
import subprocess
import sys
from base64 import encodebytes
from functools import cache
from pathlib import Path

import pytest

_WHERE = "import test.test_email as t; print(t.__path__[0])"


def cpython_folder() -> Path:
    """test/test_email/data of this interpreter, or of another one on this machine; fails by name where none has it."""
    try:
        spec = importlib.util.find_spec("test.test_email")
    except ModuleNotFoundError:
        spec = None
    folders = list(spec.submodule_search_locations or ()) if spec else []
    for name in ("python3", "python3.11", "python3.12", "python3.13", "/usr/bin/python3"):
        if not folders and (path := shutil.which(name)) and path != sys.executable:
            found = subprocess.run([path, "-c", _WHERE], capture_output=True, text=True, check=False).stdout.strip()
            folders += [found] if found else []
    for folder in folders:
        if any((data := Path(folder) / "data").glob("msg_*.txt")):
            return data
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    pytest.fail(f"no Python here has test/test_email/data: apt-get install libpython{version}-testsuite")


def with_crlf(text: bytes) -> bytes:
    """Lines as mail has them on the wire, the last one ended too."""
    text = re.sub(rb"\r\n|\r|\n", b"\r\n", text)
    return text if text.endswith(b"\r\n") else text + b"\r\n"


@cache
def cpython_messages() -> dict[str, bytes]:
    """Every message of the folder, with CRLF line ends and without the From_ line of those kept as mbox."""
    found = {path.name: with_crlf(path.read_bytes()) for path in sorted(cpython_folder().glob("msg_*.txt"))}
    assert len(found) >= 40, sorted(found)  # 47 in Debian 12, more in later releases
    return {name: _without_from_line(message) for name, message in found.items()}


def _without_from_line(message: bytes) -> bytes:
    return message.partition(b"\r\n")[2] if message.startswith(b"From ") else message


@cache
def cpython_attachments() -> dict[str, bytes]:
    """The pictures and sounds of the same folder, each as a message that carries it."""
    paths = [path for path in sorted(cpython_folder().iterdir()) if path.suffix != ".txt" and path.is_file()]
    return {path.name: with_attachment(path.read_bytes(), path.name) for path in paths}


def plain(subject: str, body: bytes = b"Hello.\r\n") -> bytes:
    """A short message."""
    head = (
        "From: Sender <sender@client.test>\r\nTo: Alice <alice@example.test>\r\n"
        f"Subject: {subject}\r\nDate: Mon, 05 Jan 2026 10:00:00 +0000\r\n"
        f"Message-ID: <{subject.replace(' ', '.')}@client.test>\r\n"
    )
    return head.encode() + b"MIME-Version: 1.0\r\n\r\n" + body


def with_attachment(content: bytes, name: str) -> bytes:
    """A multipart message around `content`, in base64."""
    head = plain(f"file {name}", b"").removesuffix(b"\r\n")
    return (
        head
        + b'Content-Type: multipart/mixed; boundary="=-edge"\r\n\r\nPreamble.\r\n--=-edge\r\n'
        + b"Content-Type: text/plain; charset=us-ascii\r\n\r\nHere it is.\r\n--=-edge\r\n"
        + f'Content-Type: application/octet-stream; name="{name}"\r\n'.encode()
        + b"Content-Transfer-Encoding: base64\r\n\r\n"
        + encodebytes(content).replace(b"\n", b"\r\n")
        + b"--=-edge--\r\n"
    )


def attachment(megabytes: int) -> bytes:
    """A message with an attachment of so many megabytes (10**6 octets) of noise."""
    noise = random.Random(megabytes).randbytes(megabytes * 1_000_000)
    return with_attachment(noise, f"{megabytes}MB.bin")


def long_lines() -> bytes:
    """Lines of 998 octets (RFC 5322 2.1.1), 999, 4,096 and 70,000: all are carried."""
    return plain(
        "long lines", b"".join(b"%d " % n + b"x" * (n - len(b"%d " % n)) + b"\r\n" for n in (998, 999, 4096, 70_000))
    )


def dots() -> bytes:
    """Dots where SMTP and POP3 double them."""
    return plain("dots", b".\r\n..\r\n...\r\n.a\r\n..b\r\na.\r\n \t.\r\n\r\n.\r\n\r\n..end\r\n.\r\n")


def eight_bit() -> bytes:
    """UTF-8 and Latin-1 in a body, undeclared and declared."""
    return plain(
        "eight bit", "Grüße, 世界\r\n".encode() + "Grüße\r\n".encode("latin-1") + bytes(range(128, 256)) + b"\r\n"
    )


def binary() -> bytes:
    """A body of all octets, bare CR, LF and NUL among them: BODY=BINARYMIME with BDAT only (RFC 3030)."""
    return plain("binary", bytes(range(256)) * 8 + b"\n.\n\r.\r\n\r\nend\r\n")


def edges() -> dict[str, bytes]:
    """The made messages that any client can carry as text."""
    return {
        "empty body": plain("empty body", b""),
        "no attachment": plain("no attachment"),
        "dots": dots(),
        "1 MB": attachment(1),
    }


def sent_part(received: bytes, sent: bytes) -> bytes:
    """What of `received` stands where `sent` should: all after the trace headers that the server put before it.

    The server may add only Return-Path, Delivered-To, Received and DKIM-Signature. The lengths say where they end,
    since `sent` may itself begin with such headers.
    """
    trace, rest = received[: len(received) - len(sent)], received[len(received) - len(sent) :]
    for field in re.split(rb"\r\n(?![ \t])", trace.removesuffix(b"\r\n")):
        assert re.match(rb"(?i)(Return-Path|Delivered-To|Received|DKIM-Signature):", field), (
            f"not a trace header: {field[:200]!r}"
        )
    return rest


def assert_same(received: bytes, sent: bytes) -> None:
    """The message came through octet for octet."""
    rest = sent_part(received, sent)
    if rest != sent:
        at = next((n for n, (a, b) in enumerate(zip(rest, sent, strict=True)) if a != b), 0)
        raise AssertionError(
            f"differs at {at} of {len(sent)}: sent {sent[at - 20 : at + 40]!r}, got {rest[at - 20 : at + 40]!r}"
        )
