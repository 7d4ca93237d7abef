"""A server as the internet sees it: passwords only over TLS, even on loopback."""

import imaplib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
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


@dataclass(frozen=True)
class Strict:
    """Where it is, and who may log in."""

    port: int
    tls_port: int
    ca_file: Path
    user: str
    password: str

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
        yield Strict(peer.imap, peer.imaps, peer.ca_file, user, PASSWORD)
        return
    offset, config = free_offset(), folder / "posthouse.toml"
    port, tls_port = offset + 143, offset + 993
    config.write_text(
        f'[server]\nhostname = "localhost"\ndata = "{folder / "data"}"\nuser = ""\nworkers = 1\n'
        f"[smtp]\nlisten = []\n[submission]\nlisten = []\nlisten_tls = []\n[pop3]\nlisten = []\nlisten_tls = []\n"
        f'[imap]\nlisten = ["127.0.0.1:{port}"]\nlisten_tls = ["127.0.0.1:{tls_port}"]\n[outgoing]\nenabled = false\n'
    )
    for words in (["domain", "add", DOMAIN], ["account", "add", USER, "--password-stdin"]):
        command = [sys.executable, "-m", "posthouse", *words, "-c", str(config)]
        subprocess.run(command, input=PASSWORD + "\n", text=True, capture_output=True, check=True, timeout=60)
    with _serving(config, folder / "log", port):
        yield Strict(port, tls_port, next((folder / "data").rglob("certificate.pem")), USER, PASSWORD)


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
