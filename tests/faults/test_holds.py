"""Nothing holds the event loop: not a message of 50 MB, on whatever way it comes or goes, nor a large mailbox.

What one turn of the loop costs is counted in processor time, and the bound goes with the speed of the processor.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from posthouse.app.commands.dev import DevOptions, running
from posthouse.app.config.endpoints import Endpoint
from posthouse.app.config.services import ListenRequest, Service
from posthouse.app.process.listening import BoundService, bind_all, close_all
from tests.outside import crowd
from tests.outside.holds import Watchdog, at_this_speed, watched
from tests.outside.imap_wire import ImapWire
from tests.outside.maildrop import Maildrop
from tests.outside.program import PASSWORD
from tests.outside.wire import Wire

ALICE, BOB = "alice@example.test", "bob@example.test"
LIMIT = 0.02  # seconds, at the speed of the machine it was written on; what it is to be is half of that
OCTETS = 49 << 20
HEAD = b"From: alice@example.test\r\nTo: bob@example.test\r\nBcc: c@example.test\r\nSubject: large\r\n"
LINES = b"From: alice@example.test\r\nBcc: c@example.test\r\n\r\n" + (b"x" * 76 + b"\r\n") * (OCTETS // 78)
DOTTED = b"Subject: dots\r\n\r\n" + b".\r\n" * (OCTETS // 3)
PARTS = (
    b'Subject: parts\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n\r\nx\r\n'
    b"--b\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    + (b"eHh4" * 19 + b"\r\n") * (OCTETS // 78)
    + b"--b--\r\n"
)


@contextmanager
def bound() -> Iterator[dict[Service, BoundService]]:
    services = (Service.SMTP, Service.SUBMISSION, Service.IMAP, Service.POP3)
    made = bind_all([ListenRequest(service, Endpoint("127.0.0.1", 0), "") for service in services], 1)
    yield {place.service: place for place in made}
    close_all(made)


Ports = dict[Service, int]


def _receive(ports: Ports) -> None:
    with Wire(ports[Service.SMTP]) as wire:
        wire.hello()
        for message in (LINES, DOTTED):
            wire.mail(BOB)
            assert wire.data(message).startswith("250")
        wire.mail(BOB)
        assert wire.bdat(PARTS).startswith("250")


def _submit(ports: Ports) -> None:
    with Wire(ports[Service.SUBMISSION]) as wire:
        wire.hello()
        wire.login(ALICE, PASSWORD)
        wire.mail(BOB, sender=ALICE)
        assert wire.data(LINES).startswith("250")


def _append_and_read(ports: Ports) -> None:
    with ImapWire.open(ports[Service.IMAP], ALICE, "Archive") as wire:
        for message in (DOTTED, PARTS):
            assert wire.append("Archive", message).status == "OK"
        wire.ok(b"NOOP")
        for items in (b"BODY.PEEK[]", b"BODYSTRUCTURE", b"BODY.PEEK[2]", b"BINARY.PEEK[2]", b"BODY.PEEK[TEXT]<1000.5>"):
            wire.ok(b"FETCH 2 " + items)
        wire.ok(b"SEARCH BODY nowhere")
        wire.ok(b"COPY 1:2 Trash")


def _collect(ports: Ports) -> None:
    with Maildrop.open(ports[Service.POP3], ALICE) as drop:
        drop.retrieve(1)
        drop.command("TOP 1 100000")
        drop.body()


def _put_away(ports: Ports) -> None:
    with Wire(ports[Service.SMTP]) as wire:
        wire.hello()
        wire.mail(ALICE)
        assert wire.data(DOTTED).startswith("250")


def _many_messages(ports: Ports) -> None:
    crowd.fill(ports[Service.IMAP] - 143, BOB)
    with ImapWire.open(ports[Service.IMAP], BOB, "INBOX") as wire:
        for command in (
            b"FETCH 1:* (FLAGS UID)",
            b"FETCH 1:* (UID FLAGS ENVELOPE)",
            b"THREAD REFERENCES UTF-8 ALL",
            b"SORT (SUBJECT) UTF-8 ALL",
            b"SEARCH NOT FLAGGED OR UNSEEN SUBJECT x",
            b"STORE 1:* +FLAGS (\\Deleted)",
            b"STORE 1:* +FLAGS.SILENT (\\Flagged)",
            b"COPY 1:* Trash",
            b"EXPUNGE",
        ):
            wire.ok(command)


async def _watch(folder: Path, work: Callable[[Ports], None]) -> Watchdog:
    with bound() as places:
        ports = {service: place.endpoint.port for service, place in places.items()}
        async with running(folder, list(places.values()), DevOptions(strict=True, password=PASSWORD)):
            if work is _collect:
                await asyncio.to_thread(_put_away, ports)
            with watched(at_this_speed(LIMIT)) as found:
                await asyncio.to_thread(work, ports)
    print(f"{work.__name__}: {found.turns} turns, the longest {found.longest * 1e3:.1f} ms")
    return found


@pytest.mark.parametrize("work", [_receive, _submit, _append_and_read, _collect, _many_messages])
async def test_nothing_holds_the_loop(tmp_path: Path, work: Callable[[Ports], None]) -> None:
    """What is the server's own is found each time; on a busy machine a turn may take long once for other reasons."""
    for number in range(3):
        folder = tmp_path / str(number)
        await asyncio.to_thread(folder.mkdir)
        found = await _watch(folder, work)
        if not found.holds:
            return
    found.check()
