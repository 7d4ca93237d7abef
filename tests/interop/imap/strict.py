"""A server as the internet sees it: passwords only over TLS, even on loopback; and in several processes."""

import imaplib
import os
import signal
import smtplib
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.interop.imap.peers import Peer
from tests.outside.program import DOMAIN, PASSWORD, START_SECONDS, free_offset
from tests.outside.relay import until
from tests.outside.wire import Wire

# Another address than the server's: to Dovecot a client at the same address is as good as one with TLS.
SOURCE = "127.0.0.2"
USER = f"strict@{DOMAIN}"
WORKERS = 2


@dataclass(frozen=True)
class Strict:
    """Where it is, and who may log in."""

    port: int
    tls_port: int
    ca_file: Path
    user: str
    password: str
    deliver: Callable[[bytes], None]  # brings a message from outside, over a connection of its own

    def wire(self) -> Wire:
        """A bare connection without TLS."""
        return Wire(self.port, source=SOURCE)

    def imaplib(self) -> imaplib.IMAP4:
        """imaplib without TLS, not logged in."""
        return _FromElsewhere("localhost", self.port)


class _FromElsewhere(imaplib.IMAP4):
    def _create_socket(self, timeout: float | None) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout, (SOURCE, 0))


@contextmanager
def strict(peer: Peer, folder: Path, user: str) -> Iterator[Strict]:
    """`posthouse serve` with nothing relaxed, or the Dovecot that runs already."""
    if peer.name == "dovecot":
        yield Strict(peer.imap, peer.imaps, peer.ca_file, user, PASSWORD, lambda message: peer.deliver(user, message))
        return
    offset, config = free_offset(), folder / "posthouse.toml"
    port, tls_port, smtp = offset + 143, offset + 993, offset + 25
    config.write_text(f"""[server]
hostname = "localhost"
data = "{folder / "data"}"
user = ""
workers = {WORKERS}
[smtp]
listen = ["127.0.0.1:{smtp}"]
[submission]
listen = []
listen_tls = []
[pop3]
listen = []
listen_tls = []
[imap]
listen = ["127.0.0.1:{port}"]
listen_tls = ["127.0.0.1:{tls_port}"]
[outgoing]
enabled = false
""")
    for words in (["domain", "add", DOMAIN, "--yes"], ["account", "add", USER, "--password-stdin"]):
        command = [sys.executable, "-m", "posthouse", *words, "-c", str(config)]
        subprocess.run(command, input=PASSWORD + "\n", text=True, capture_output=True, check=True, timeout=60)
    with _serving(config, folder / "log", port):
        certificate = next((folder / "data").rglob("certificate.pem"))
        yield Strict(port, tls_port, certificate, USER, PASSWORD, lambda message: _deliver(smtp, message))


def _deliver(port: int, message: bytes) -> None:
    with smtplib.SMTP("127.0.0.1", port, local_hostname="client.test", timeout=60) as client:
        client.sendmail("sender@client.test", [USER], message)


@contextmanager
def _serving(config: Path, log: Path, port: int) -> Iterator[None]:
    with log.open("wb") as output:
        command = [sys.executable, "-m", "posthouse", "serve", "-c", str(config)]
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    try:
        until(lambda: _greets(process, port), lambda: log.read_text(), START_SECONDS)
        yield
        process.send_signal(signal.SIGTERM)
        assert process.wait(START_SECONDS) == 0 and "Traceback" not in log.read_text(), log.read_text()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _greets(process: "subprocess.Popen[bytes]", port: int) -> bool:
    assert process.poll() is None, "posthouse serve ended"
    try:
        with Wire(port) as wire:
            return wire.line().startswith(b"* OK")
    except OSError:
        return False
