"""What the tests ask of every mail server of the world, whichever it is."""

import smtplib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

from tests.world.net import Host
from tests.world.waiting import SECONDS, until

LOCALS = ("alice", "bob", "carol", "postmaster")


@dataclass(frozen=True)
class Letter:
    """A message that can be told from all others."""

    sender: str
    recipient: str
    subject: str = field(default_factory=lambda: f"letter {uuid.uuid4().hex}")
    body: str = "Guten Tag\r\n.\r\n..dots, and a line.\r\n\r\nBye\r\n"

    @property
    def octets(self) -> bytes:
        """As it is submitted."""
        lines = [
            f"From: <{self.sender}>",
            f"To: <{self.recipient}>",
            f"Subject: {self.subject}",
            "Date: Tue, 24 Nov 2026 12:00:00 +0000",
            f"Message-ID: <{self.subject.replace(' ', '.')}@{self.sender.rpartition('@')[2]}>",
            "MIME-Version: 1.0",
            "Content-Type: text/plain; charset=utf-8",
            "",
            self.body,
        ]
        return "\r\n".join(lines).encode()


class Server(Protocol):
    """A mail server on a host of its own, in charge of one domain or more."""

    host: Host
    domain: str

    def start(self) -> None:
        """Start it; it listens when this returns."""

    def send(self, letter: Letter, options: Sequence[str] = ()) -> None:
        """Submit a letter as its sender; `options` are those of RCPT."""

    def mailbox(self, address: str) -> list[bytes]:
        """All that is delivered there, with lines as they are stored."""

    def queued(self) -> int:
        """How many messages or recipients it still has to send."""

    def reason(self, address: str) -> str:
        """Why the last attempt for an address that waits came to nothing; "" when there was none."""

    def forget(self) -> None:
        """Drop all that waits."""

    @property
    def log(self) -> str:
        """What it has said."""


def carry(client: smtplib.SMTP, letter: Letter, options: Sequence[str] = ()) -> None:
    """Send a letter over an SMTP session. Raises AssertionError when it is not taken."""
    assert client.sendmail(letter.sender, [letter.recipient], letter.octets, rcpt_options=options) == {}


class LocalClient(smtplib.SMTP):
    """An SMTP session from a host to itself."""

    def __init__(self, host: Host, port: int = 25) -> None:
        with host.inside():
            super().__init__("127.0.0.1", port, local_hostname="localhost", timeout=SECONDS)


def having(messages: list[bytes], text: str) -> list[bytes]:
    """Those with `text` somewhere in them."""
    return [message for message in messages if text.encode() in message]


def arrived(server: Server, address: str, text: str, *others: Server) -> bytes:
    """The one message with `text` in a mailbox, once it is there. On failure the logs of `others` are told too."""

    def logs() -> str:
        told = [f"--- {each.host.name}\n{each.log[-6000:]}" for each in (server, *others)]
        return f"no message with {text!r} for {address}\n" + "\n".join(told)

    (found,) = until(lambda: having(server.mailbox(address), text), logs)
    return found


def settled(*servers: Server) -> None:
    """Wait until nobody has anything left to send."""
    for server in servers:
        until(partial(_is_idle, server), f"{server.host.name} still sends:\n{server.log[-6000:]}")


def _is_idle(server: Server) -> bool:
    return server.queued() == 0


def maildir(folder: Path) -> list[bytes]:
    """The new messages of a Maildir, with CRLF as their line ends."""
    paths = sorted((folder / "new").glob("*")) if folder.is_dir() else []
    return [path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") for path in paths]
