"""`posthouse serve` with a configuration of its own: for tests of what goes out."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.outside.maildrop import collect
from tests.outside.program import PASSWORD, ProgramError
from tests.outside.wire import Wire

DOMAIN = "example.test"
ALICE = f"alice@{DOMAIN}"


def until(condition: Callable[[], Any], seconds: float = 30.0, what: str = "") -> Any:
    """What `condition` says once it is true."""
    limit = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < limit, f"not within {seconds} s: {what or condition}"
        time.sleep(0.05)
    return found


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class Served:
    """One server over one folder; may be killed and started again. `routes`: name -> where mail for NAME.test goes."""

    def __init__(
        self, folder: Path, routes: Mapping[str, int], *, tls: Mapping[str, str] | None = None, extra: str = ""
    ) -> None:
        self.smtp, self.submission, self.submissions, self.pop3 = (_free_port() for _ in range(4))
        self._file = folder / "posthouse.toml"
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        lines = [
            f'[server]\nhostname = "mail.example.test"\ndata = "{folder / "data"}"\nuser = ""',
            'workers = 2\ndrain = "1s"',
            f'[smtp]\nlisten = ["127.0.0.1:{self.smtp}"]\nrelay_from = ["127.0.0.9/32"]',
            f'[submission]\nlisten = ["127.0.0.1:{self.submission}"]\nlisten_tls = ["127.0.0.1:{self.submissions}"]',
            f'[pop3]\nlisten = ["127.0.0.1:{self.pop3}"]\nlisten_tls = []',
            "[login]\nplain_on_loopback = true\n[limits]\nper_address = 10000",
            '[dns]\nservers = ["127.0.0.1:9"]\ntimeout = "200ms"',  # nobody is there: all goes by routes
            '[outgoing]\nfirst_retry = "1s"\n' + extra,
        ]
        for name, port in routes.items():
            way = (tls or {}).get(name, "opportunistic")
            lines.append(f'[route.{name}]\nto = ["{name}.test"]\nhosts = ["127.0.0.1:{port}"]\ntls = "{way}"')
        self._file.write_text("\n".join(lines) + "\n")
        self.run("domain", "add", DOMAIN)
        for name in ("alice", "bob"):
            self.run("account", "add", f"{name}@{DOMAIN}", "--password-stdin", stdin=PASSWORD + "\n")

    @property
    def log(self) -> str:
        """What it has logged."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def start(self) -> "Served":
        """Start, and wait until it greets."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command("serve"), stdout=log, stderr=log, start_new_session=True)
        until(self._greets, what="a greeting")
        return self

    def _greets(self) -> bool:
        assert self._process is not None and self._process.poll() is None, f"it ended:\n{self.log}"
        try:
            for port in (self.smtp, self.submission, self.pop3):
                with socket.create_connection(("127.0.0.1", port), 5) as link:
                    if not link.recv(1):
                        return False
        except OSError:
            return False
        return True

    def kill(self) -> None:
        """SIGKILL to all of it."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def stop(self) -> None:
        """SIGTERM; it must end by itself, and never have shown a traceback."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(30)
        assert code == 0, f"exit code {code}\n{self.log}"
        assert "Traceback" not in self.log, self.log

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "posthouse", *words, "-c", str(self._file)]

    def run(self, *words: str, stdin: str = "", code: int = 0) -> str:
        """Another command on the same server; what it printed."""
        done = subprocess.run(
            self._command(*words), input=stdin, capture_output=True, text=True, check=False, timeout=60
        )
        if done.returncode != code:
            raise ProgramError(f"posthouse {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def submit(self, recipients: list[str], data: bytes, *, sender: str = ALICE, more: str = "") -> None:
        """Submit a message as its sender, by plain SMTP with a login."""
        with Wire(self.submission) as wire:
            wire.hello()
            wire.login(sender, PASSWORD)
            wire.expect(f"MAIL FROM:<{sender}>{more}".encode(), "250")
            for recipient in recipients:
                wire.expect(b"RCPT TO:" + recipient.encode(), "250")
            answer = wire.data(data)
            assert answer.startswith("250"), answer

    def queue(self, *words: str) -> list[dict[str, Any]]:
        """`posthouse queue list --json`."""
        return json.loads(self.run("queue", "list", "--json", *words))["recipients"]

    def inbox(self, address: str = ALICE) -> list[bytes]:
        """What lies in a maildrop."""
        return list(collect(self.pop3, address).values())

    def settled(self, seconds: float = 30.0) -> list[dict[str, Any]]:
        """All recipients, once none waits any more."""
        until(lambda: not self.queue(), seconds, "an empty queue")
        return self.queue("--settled")


@contextmanager
def serving(folder: Path, routes: Mapping[str, int], **more: Any) -> Iterator[Served]:
    """A started server that must stop well."""
    server = Served(folder, routes, **more)
    try:
        yield server.start()
        server.stop()
    finally:
        server.kill()
