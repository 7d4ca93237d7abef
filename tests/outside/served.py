"""`posthouse serve` with several workers, as an operator has it, and which worker has which connection."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.outside.imap_wire import ImapWire
from tests.outside.program import DOMAIN, PASSWORD, free_offset, process_tree
from tests.outside.wire import Wire

SECONDS = 20.0


@dataclass
class Served:
    """A running server with a worker for each core it was given."""

    process: subprocess.Popen[bytes]
    config: Path
    offset: int
    log_file: Path
    count: int  # of workers

    @property
    def imap(self) -> int:
        """The port."""
        return 143 + self.offset

    @property
    def log(self) -> str:
        """All that it wrote."""
        return self.log_file.read_text(errors="replace")

    def start(self) -> None:
        """Start it, again after kill(), and wait until it serves with all its workers."""
        self.process = _start(self.config, self.log_file)
        self.until(lambda: len(self.workers()) == self.count and self.answers())

    def kill(self) -> None:
        """SIGKILL to the whole process group: what a crash looks like to everyone else."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def workers(self) -> list[int]:
        """The processes that serve."""
        return [pid for pid in process_tree(self.process.pid) if pid != self.process.pid]

    def run(self, *command: str, stdin: str = "") -> str:
        """Another command with the same configuration; what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "posthouse", *command, "-c", str(self.config)],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for it; fails with the log."""
        limit = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < limit, self.log
            time.sleep(0.02)

    def answers(self) -> bool:
        """Whether a new connection is greeted."""
        try:
            with Wire(self.imap, timeout=5) as wire:
                return wire.line().startswith(b"* OK")
        except OSError:
            return False

    def worker_of(self, wire: ImapWire) -> int:
        """The process at the other end of a connection."""
        ours = wire.local_port
        for pid in self.workers():
            if f"socket:[{_inode(self.imap, ours)}]" in _open_by(pid):
                return pid
        raise AssertionError(f"nobody has the connection from port {ours}")


def _open_by(pid: int) -> set[str]:
    """What the files are that a process has open. Some are closed meanwhile."""
    found = set()
    with contextlib.suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found.add(link.readlink().name)
    return found


def _inode(local: int, remote: int) -> str:
    """Of the socket between two ports of 127.0.0.1."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].partition(":")[2], 16) == local and int(fields[2].partition(":")[2], 16) == remote:
            return fields[9]
    return "none"


@contextmanager
def served(folder: Path, locals_: list[str], *, workers: int = 2) -> Iterator[Served]:
    """A started server with the accounts local@example.test; it must stop in order, with no traceback in its log."""
    offset = free_offset()
    config, table = folder / "posthouse.toml", folder / "accounts.csv"
    config.write_text(
        f'[server]\nhostname = "mail.{DOMAIN}"\ndata = "{folder / "data"}"\nuser = ""\n'
        f'workers = {workers}\ndrain = "3s"\n'
        f'[smtp]\nlisten = ["127.0.0.1:{25 + offset}"]\n'
        f'[submission]\nlisten = ["127.0.0.1:{587 + offset}"]\nlisten_tls = ["127.0.0.1:{465 + offset}"]\n'
        "messages = 0\nnew_recipients = 0\n"
        f'[pop3]\nlisten = ["127.0.0.1:{110 + offset}"]\nlisten_tls = ["127.0.0.1:{995 + offset}"]\n'
        f'[imap]\nlisten = ["127.0.0.1:{143 + offset}"]\nlisten_tls = ["127.0.0.1:{993 + offset}"]\n'
        "[login]\nplain_on_loopback = true\n"
    )
    table.write_text("".join(f"{local}@{DOMAIN},{PASSWORD},\n" for local in locals_))
    log = folder / "log"
    first = [sys.executable, "-m", "posthouse"]
    subprocess.run([*first, "domain", "add", DOMAIN, "--yes", "-c", str(config)], check=True, capture_output=True)
    subprocess.run([*first, "account", "import", str(table), "-c", str(config)], check=True, capture_output=True)
    server = Served(_start(config, log), config, offset, log, workers)
    try:
        server.until(lambda: len(server.workers()) == workers and server.answers())
        yield server
        server.process.terminate()
        assert server.process.wait(SECONDS) == 0, server.log
        assert "Traceback" not in server.log, server.log
    finally:
        server.kill()


def _start(config: Path, log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "posthouse", "serve", "-c", str(config)]
    with log.open("ab") as out:
        return subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
