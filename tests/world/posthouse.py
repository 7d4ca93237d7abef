"""`posthouse serve` on a host of its own, as its administrators run it: one configuration file, and commands."""

import json
import signal
import smtplib
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.outside.maildrop import collect
from tests.outside.program import PASSWORD
from tests.outside.wire import trusting
from tests.world.mail import Letter, LocalClient, carry
from tests.world.names import Names
from tests.world.net import NAMESERVER, Host, ip4
from tests.world.trust import Certificate
from tests.world.waiting import SECONDS, until


class Posthouse:
    """One server in charge of one domain. Its accounts exist before it starts."""

    def __init__(
        self, folder: Path, host: Host, certificate: Certificate, roots: Path, domain: str, locals_: Iterable[str]
    ) -> None:
        self.host = host
        self.domain = domain
        self._folder = folder
        folder.mkdir()
        self._config = folder / "posthouse.toml"
        self._config.write_text(self._text(certificate, roots))
        self._process: subprocess.Popen[bytes] | None = None
        self.run("domain", "add", domain, "--yes")
        for local in locals_:
            self.run("account", "add", f"{local}@{domain}", "--password-stdin", stdin=PASSWORD + "\n")

    def _text(self, certificate: Certificate, roots: Path) -> str:
        return f"""[server]
hostname = "mx.{self.domain}"
data = "{self._folder}/data"
user = ""
workers = 2
[tls]
certificate = "{certificate.chain}"
key = "{certificate.key}"
[smtp]
listen = ["0.0.0.0:25", "[::]:25"]
[submission]
listen = ["127.0.0.1:587"]
listen_tls = []
[pop3]
listen = ["127.0.0.1:110"]
listen_tls = []
[login]
plain_on_loopback = true
[dns]
servers = ["{ip4(NAMESERVER)}"]
trust_ad = true
timeout = "2s"
[outgoing]
enabled = true
ca_file = "{roots}"
allow_private = true
first_retry = "1s"
[log]
level = "debug"
"""

    def run(self, *words: str, stdin: str = "") -> str:
        """One command of the program; what it printed."""
        command = [sys.executable, "-m", "posthouse", *words, "-c", str(self._config)]
        return self.host.run(*command, stdin=stdin.encode())

    def publish(self, names: Names) -> None:
        """Add all records that `posthouse domain dns` says its domain needs."""
        for line in self.run("domain", "dns", self.domain, "--zone").splitlines():
            if line.startswith((f"{self.domain}. ", "_")) or f".{self.domain}. " in line:
                names.line(line)

    def start(self) -> None:
        """Start it; it serves when this returns."""
        with (self._folder / "log").open("ab") as log:
            self._process = self.host.start(
                sys.executable, "-m", "posthouse", "serve", "-c", str(self._config), log=log
            )
        until(self._greets, lambda: f"{self.host.name} does not greet:\n{self.log}")

    def _greets(self) -> bool:
        """Its ports listen before anybody is behind them; a greeting comes only from a worker that is ready."""
        assert self._process is not None and self._process.poll() is None, self.log
        try:
            with LocalClient(self.host):
                return True
        except (OSError, smtplib.SMTPException):
            return False

    def stop(self) -> None:
        """Stop it as a service manager does; it must do so without complaint."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(SECONDS) == 0, self.log
        assert "Traceback" not in self.log, self.log

    def send(self, letter: Letter, options: Sequence[str] = ()) -> None:
        """Submitted by its sender, who logs in."""
        with LocalClient(self.host, 587) as client:
            client.starttls(context=trusting())
            client.login(letter.sender, PASSWORD)
            carry(client, letter, options)

    def mailbox(self, address: str) -> list[bytes]:
        """What POP3 shows."""
        with self.host.inside():
            return list(collect(110, address).values())

    def recipients(self, *words: str) -> list[dict[str, Any]]:
        """The queue as `posthouse queue list` shows it; `words` are more options."""
        rows: list[dict[str, Any]] = json.loads(self.run("queue", "list", "--json", *words))["recipients"]
        return rows

    def queued(self) -> int:
        """Recipients that wait."""
        return len(self.recipients())

    def reason(self, address: str) -> str:
        """Why the last attempt for an address that waits came to nothing; "" when there was none."""
        rows = self.recipients("--to", address)
        return str(rows[0]["tries"][-1]["reply"]) if rows and rows[0]["tries"] else ""

    def proof(self, address: str) -> str:
        """How the last message for an address went, as is kept for traces: TLS version, cipher, what was proven."""
        return str(self.recipients("--settled", "--to", address)[0]["tries"][-1]["tls"])

    def forget(self) -> None:
        """Drop all that waits."""
        self.run("queue", "drop", "--all", "--yes")

    @property
    def log(self) -> str:
        """What it wrote to standard error."""
        path = self._folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""
