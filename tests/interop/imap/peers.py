"""Whom the clients talk to: the real program, or Dovecot where POSTHOUSE_TEST_PEER=dovecot says so."""

import smtplib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from tests.interop.imap.dovecot import Dovecot, dovecot
from tests.outside.program import Program, running

CLIENT = "client.test"


class Peer(Protocol):
    """A server with IMAP and POP3, and a way to bring mail in."""

    name: str
    imap: int  # the ports on 127.0.0.1
    imaps: int
    pop3: int
    ca_file: Path  # what a client must trust to see that "localhost" and 127.0.0.1 are genuine

    def deliver(self, address: str, *messages: bytes) -> None:
        """Bring messages into INBOX as they come from outside, over one connection."""

    def restart(self) -> None:
        """Stop it in order and start it again at the same ports."""


class PosthousePeer:
    """The real program."""

    name = "posthouse"

    def __init__(self, program: Program) -> None:
        self._program = program
        self.imap = program.offset + 143
        self.imaps = program.offset + 993
        self.pop3 = program.ports.pop3
        self.ca_file = program.data / "tls" / "certificate.pem"

    def deliver(self, address: str, *messages: bytes) -> None:
        """By SMTP."""
        with smtplib.SMTP("127.0.0.1", self._program.ports.smtp, local_hostname=CLIENT, timeout=60) as client:
            for message in messages:
                client.sendmail(f"sender@{CLIENT}", [address], message, _options(message))

    def restart(self) -> None:
        """As a service manager does."""
        assert self._program.stop() == 0, self._program.log
        self._program.start()


class DovecotPeer:
    """The second opinion."""

    name = "dovecot"

    def __init__(self, server: Dovecot) -> None:
        self._server = server
        self.imap = server.ports["imap"]
        self.imaps = server.ports["imaps"]
        self.pop3 = server.ports["pop3"]
        self.ca_file = server.ca_file

    def deliver(self, address: str, *messages: bytes) -> None:
        """By LMTP."""
        with smtplib.LMTP("127.0.0.1", self._server.ports["lmtp"], local_hostname=CLIENT, timeout=60) as client:
            for message in messages:
                client.sendmail(f"sender@{CLIENT}", [address], message, _options(message))

    def restart(self) -> None:
        """The whole of it."""
        self._server.stop()
        self._server.start()


def _options(message: bytes) -> list[str]:
    return [] if message.isascii() else ["BODY=8BITMIME"]


@contextmanager
def serving(kind: str, folder: Path, locals_: list[str]) -> Iterator[Peer]:
    """A running peer with the accounts local@example.test."""
    if kind == "dovecot":
        with dovecot([f"{local}@example.test" for local in locals_]) as server:
            yield DovecotPeer(server)
    else:
        with running(folder / "data") as program:
            program.add_accounts(locals_)
            yield PosthousePeer(program)
