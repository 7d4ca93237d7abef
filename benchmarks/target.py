"""What is measured: Posthouse, started here from nothing, or another server that already runs."""

import asyncio
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from benchmarks.connection import BenchError, first_line

USERS = 200
PASSWORD = "secret"
DOMAIN = "example.test"
PEER = "smtp=PORT,pop3=PORT[,imap=PORT][,imaps=PORT][,sink=PORT]"
NAMES = tuple(f"u{n}" for n in range(USERS))


class Target(Protocol):
    """A mail server with mailboxes u0 .. u199 of example.test, all with one password."""

    label: str
    smtp: int
    pop3: int
    imap: int  # 0: none
    imaps: int  # TLS from the start; 0: none
    sink: int  # where its mail for sink.test goes on this machine; 0: nowhere

    def flush(self) -> None:
        """Have all that waits in its queue tried now."""

    def roots(self) -> list[int]:
        """Process ids whose trees are the server; empty when they are not known."""

    def restart(self) -> float | None:
        """Stop and start; seconds from the command to the greeting on every port. None when it is not ours to start."""

    def forget_logins(self) -> bool:
        """Restart without a memory of passwords that were right; False when it is not ours to start."""


async def _greetings(ports: list[int]) -> None:
    limit = time.monotonic() + 60
    await asyncio.gather(*(first_line(port, limit) for port in ports))


@dataclass
class Peer:
    """A server that runs already: `--peer smtp=2525,pop3=2110`. Commands are optional and run by the shell's rules."""

    label: str
    smtp: int
    pop3: int
    imap: int = 0
    imaps: int = 0
    sink: int = 0
    flush_command: str = ""
    roots_command: str = ""  # prints process ids
    start_command: str = ""
    stop_command: str = ""

    def flush(self) -> None:
        """Run `flush_command`."""
        subprocess.run(shlex.split(self.flush_command), check=True, stdout=subprocess.DEVNULL)

    def roots(self) -> list[int]:
        """What `roots_command` prints."""
        if not self.roots_command:
            return []
        printed = subprocess.run(shlex.split(self.roots_command), check=True, capture_output=True, text=True).stdout
        return [int(word) for word in printed.split()]

    def restart(self) -> float | None:
        """Run the two commands, if given."""
        if not (self.start_command and self.stop_command):
            return None
        subprocess.run(shlex.split(self.stop_command), check=True, stdout=subprocess.DEVNULL)
        began = time.monotonic()
        with subprocess.Popen(shlex.split(self.start_command), stdout=subprocess.DEVNULL) as starting:
            asyncio.run(_greetings([port for port in (self.smtp, self.pop3, self.imap) if port]))
            took = time.monotonic() - began
            if starting.wait() != 0:
                raise BenchError(f"{self.start_command} failed")
        return took

    def forget_logins(self) -> bool:
        """Restart it: other servers keep that memory in a process, if anywhere."""
        return self.restart() is not None


@dataclass
class Posthouse:
    """`posthouse serve` of this working tree, over a data folder of its own, on free ports of loopback."""

    folder: Path
    workers: int = 0
    label: str = "Posthouse"
    smtp: int = 0
    pop3: int = 0
    imap: int = 0
    imaps: int = 0
    sink: int = 0
    others: list[int] = field(default_factory=list)
    _process: subprocess.Popen[bytes] | None = None

    def prepare(self) -> None:
        """Write the configuration and make the accounts."""
        self.smtp, self.pop3, self.imap, self.imaps, self.sink, *self.others = _free_ports(8)
        submission, submissions, pop3s = self.others
        settings: dict[str, dict[str, object]] = {
            "server": {"hostname": '"mail.example.test"', "data": f'"{self.folder / "data"}"', "workers": self.workers},
            "smtp": {"listen": f'["127.0.0.1:{self.smtp}"]', "relay_from": '["127.0.0.0/8"]'},
            "route.sink": {
                "to": '["sink.test"]',
                "hosts": f'["127.0.0.1:{self.sink}"]',
                "tls": '"opportunistic"',
            },
            "submission": {
                "listen": f'["127.0.0.1:{submission}"]',
                "listen_tls": f'["127.0.0.1:{submissions}"]',
            },
            "pop3": {"listen": f'["127.0.0.1:{self.pop3}"]', "listen_tls": f'["127.0.0.1:{pop3s}"]'},
            "imap": {"listen": f'["127.0.0.1:{self.imap}"]', "listen_tls": f'["127.0.0.1:{self.imaps}"]'},
            "login": {"plain_on_loopback": "true"},
            "limits": {"per_address": 5000},
            "log": {"level": '"warning"'},
        }
        if os.geteuid() == 0:
            settings["server"]["user"] = '"root"'  # the folder may lie where another user cannot reach
        lines = [f"[{part}]\n" + "".join(f"{k} = {v}\n" for k, v in keys.items()) for part, keys in settings.items()]
        (self.folder / "posthouse.toml").write_text("\n".join(lines))
        table = self.folder / "accounts.csv"
        table.write_text("".join(f"{name}@{DOMAIN},{PASSWORD},\n" for name in NAMES))
        self._run("domain", "add", DOMAIN, "--yes")
        self._run("account", "import", str(table))

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "posthouse", *arguments, "-c", str(self.folder / "posthouse.toml")]

    def _run(self, *arguments: str) -> None:
        done = subprocess.run(self._command(*arguments), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BenchError(f"posthouse {' '.join(arguments)}: {done.stdout}{done.stderr}")

    def start(self) -> float:
        """Start; seconds until every port greets (those with TLS from the start: accept)."""
        began = time.monotonic()
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command("serve"), stdout=log, stderr=log, start_new_session=True)
        asyncio.run(_greetings([self.smtp, self.pop3, self.imap, self.others[0]]))
        return time.monotonic() - began

    def stop(self) -> None:
        """End it and wait."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None

    def flush(self) -> None:
        """As an operator does."""
        self._run("queue", "retry", "--all")

    def roots(self) -> list[int]:
        """The parent."""
        return [self._process.pid] if self._process else []

    def restart(self) -> float | None:
        """Stop and start again."""
        self.stop()
        return self.start()

    def forget_logins(self) -> bool:
        """Start it without what may be lost."""
        self.stop()
        for file in (self.folder / "data").glob("volatile.db*"):
            file.unlink()
        self.start()
        return True


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def parse_peer(text: str, label: str, commands: dict[str, str]) -> Peer:
    """Read "smtp=2525,pop3=2110[,imap=2143][,imaps=2993][,sink=2526]". Raises BenchError."""
    try:
        ports = {name: int(port) for name, port in (part.split("=") for part in text.split(","))}
        if not {"smtp", "pop3"} <= set(ports) <= {"smtp", "pop3", "imap", "imaps", "sink"}:
            raise ValueError(text)
        imap, imaps, sink = (ports.get(name, 0) for name in ("imap", "imaps", "sink"))
        return Peer(label, ports["smtp"], ports["pop3"], imap, imaps, sink, **commands)
    except ValueError as error:
        raise BenchError(f"--peer wants {PEER}, not {json.dumps(text)}") from error
