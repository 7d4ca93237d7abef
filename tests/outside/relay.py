"""`posthouse serve` with ways out: the whole server, sending to remotes on loopback by routes of its configuration.

No name server answers it: all that leaves goes by a route.
"""

import json
import os
import signal
import smtplib
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tests.outside.maildrop import collect
from tests.outside.program import PASSWORD, START_SECONDS, ProgramError, free_offset
from tests.outside.wire import Wire

T = TypeVar("T")
_STANDARD = {"smtp": 25, "submission": 587, "submissions": 465, "pop3": 110, "imap": 143}


@dataclass(frozen=True)
class Way:
    """A route: mail to `domain` goes to 127.0.0.1, `port`."""

    domain: str
    port: int
    tls: str = "opportunistic"
    host: str = "127.0.0.1"


class Relay:
    """One server over one folder; may be killed and started again at the same ports. `data`: if it is elsewhere."""

    def __init__(
        self, folder: Path, ways: Sequence[Way], *, workers: int = 2, outgoing: str = "", data: Path | None = None
    ) -> None:
        self._folder = folder
        self.data = data or folder / "data"
        self._config = folder / "posthouse.toml"
        self._log = folder / "log"
        offset = free_offset()
        self.ports = {name: port + offset for name, port in _STANDARD.items()}
        self._config.write_text(self._text(ways, workers, outgoing))
        self._process: subprocess.Popen[bytes] | None = None
        self.start_seconds = 0.0
        self.run("domain", "add", "example.test", "--yes")

    def _text(self, ways: Sequence[Way], workers: int, outgoing: str) -> str:
        at = {name: f'"127.0.0.1:{port}"' for name, port in self.ports.items()}
        routes = "".join(
            f'[route.way{n}]\nto = ["{way.domain}"]\nhosts = ["{way.host}:{way.port}"]\ntls = "{way.tls}"\n'
            for n, way in enumerate(ways)
        )
        return f"""[server]
hostname = "mail.example.test"
data = "{self.data}"
user = ""
workers = {workers}
drain = "1s"
[smtp]
listen = [{at["smtp"]}]
[submission]
listen = [{at["submission"]}]
listen_tls = [{at["submissions"]}]
messages = 0
new_recipients = 0
[pop3]
listen = [{at["pop3"]}]
listen_tls = []
[imap]
listen = [{at["imap"]}]
listen_tls = []
[login]
plain_on_loopback = true
[limits]
per_address = 5000
[dns]
servers = ["127.0.0.1:9"]
timeout = "200ms"
[outgoing]
enabled = true
first_retry = "1s"
{outgoing}
{routes}"""

    def run(self, *words: str, stdin: str = "") -> str:
        """One command of the program; what it printed. Raises ProgramError."""
        command = [sys.executable, "-m", "posthouse", *words, "-c", str(self._config)]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 0:
            raise ProgramError(f"posthouse {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def add_accounts(self, locals_: Sequence[str]) -> list[str]:
        """Accounts local@example.test with the password PASSWORD; their addresses."""
        table = self._folder / "accounts.csv"
        addresses = [f"{local}@example.test" for local in locals_]
        table.write_text("".join(f"{address},{PASSWORD},\n" for address in addresses))
        self.run("account", "import", str(table))
        return addresses

    def start(self) -> "Relay":
        """Start, and wait until it greets."""
        began = time.monotonic()
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "posthouse", "serve", "-c", str(self._config)]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        until(self._greets, lambda: f"it does not greet\n{self.log}", START_SECONDS)
        self.start_seconds = time.monotonic() - began
        return self

    def _greets(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise ProgramError(f"posthouse serve ended\n{self.log}")
        try:
            with Wire(self.ports["submission"], timeout=START_SECONDS) as wire:
                return wire.reply().startswith("220")
        except OSError:
            return False

    def stop(self) -> None:
        """End it as a service manager does; it must do so without complaint."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(START_SECONDS) == 0, self.log
        assert "Traceback" not in self.log, self.log

    @property
    def pid(self) -> int:
        """The parent of the workers."""
        assert self._process is not None, "not started"
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL to the whole process group: what a crash looks like to everyone else."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    @property
    def log(self) -> str:
        """What it wrote."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def session(self, address: str) -> smtplib.SMTP:
        """A submission session, logged in, that says its name as a client at home would."""
        client = smtplib.SMTP("127.0.0.1", self.ports["submission"], local_hostname="client.test", timeout=60)
        try:
            client.login(address, PASSWORD)
        except BaseException:
            client.close()
            raise
        return client

    def submit(self, sender: str, recipients: Sequence[str], message: bytes, options: Sequence[str] = ()) -> None:
        """One message, every recipient accepted."""
        with self.session(sender) as client:
            assert client.sendmail(sender, recipients, message, options) == {}

    def mailbox(self, address: str) -> list[bytes]:
        """What POP3 shows."""
        return list(collect(self.ports["pop3"], address).values())

    def queue(self, *words: str) -> list[dict[str, Any]]:
        """The recipients in the queue, as `posthouse queue list --json` shows them."""
        found: list[dict[str, Any]] = json.loads(self.run("queue", "list", "--json", *words))["recipients"]
        return found


def until(question: Callable[[], T], failure: Callable[[], str], seconds: float = 30.0) -> T:
    """The first true answer of `question`. After `seconds` without one it fails with `failure`."""
    limit = time.monotonic() + seconds
    while not (answer := question()):
        if time.monotonic() > limit:
            raise AssertionError(f"not within {seconds} s: {failure()}")
        time.sleep(0.03)
    return answer
