"""The real program as its users have it: a process of its own, driven by its command line and its sockets."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PASSWORD = "correct horse 7"
DOMAIN = "example.test"
START_SECONDS = 30.0


class ProgramError(AssertionError):
    """The program did not do what its command line promises; holds what it wrote."""


@dataclass(frozen=True)
class Ports:
    """Where each service listens, on 127.0.0.1."""

    smtp: int
    submission: int
    submissions: int
    pop3: int
    pop3s: int
    lmtp: int


def free_offset() -> int:
    """A port offset at which all ports of `posthouse dev` are free."""
    for _ in range(200):
        offset = 10_000 + int.from_bytes(os.urandom(2), "big") % 20_000
        if all(_is_free(offset + port) for port in (24, 25, 110, 143, 465, 587, 993, 995, 7025)):
            return offset
    raise ProgramError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class Program:
    """`posthouse dev --strict` over one data folder; may be stopped, killed and started again at the same ports."""

    def __init__(self, data: Path, *, wrapper: tuple[str, ...] = (), options: tuple[str, ...] = ()) -> None:
        self.data = data
        self.offset = free_offset()
        self.start_seconds = 0.0
        self._wrapper = wrapper
        self._options = options
        self._log = data.parent / f"{data.name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._ports: Ports | None = None

    @property
    def ports(self) -> Ports:
        """The ports of the last start."""
        assert self._ports is not None, "not started"
        return self._ports

    @property
    def pid(self) -> int:
        """The process that was started; workers are below it."""
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def log(self) -> str:
        """All that the program has written to standard error."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def start(self) -> "Program":
        """Start, and wait until the one line of --json says that everything serves."""
        command = [*self._wrapper, sys.executable, "-m", "posthouse", "dev", "--data", str(self.data)]
        command += ["--port-offset", str(self.offset), "--json", "--strict", "--password", PASSWORD]
        command += ["--quiet", *self._options]
        began = time.monotonic()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, start_new_session=True
            )
        ready = json.loads(self._first_line())
        self.start_seconds = time.monotonic() - began
        self._ports = Ports(**{name: ready["ports"][name] for name in Ports.__dataclass_fields__})
        return self

    def _first_line(self) -> bytes:
        assert self._process is not None and self._process.stdout is not None
        out = self._process.stdout.fileno()
        line, limit = b"", time.monotonic() + START_SECONDS
        while not line.endswith(b"\n"):
            came, _, _ = select.select([out], [], [], max(0.0, limit - time.monotonic()))
            piece = os.read(out, 65536) if came else b""
            if not piece:
                self.kill()
                raise ProgramError(f"posthouse dev did not become ready; it wrote:\n{line!r}\n{self.log}")
            line += piece
        return line

    def stop(self) -> int:
        """End it as Ctrl-C or a service manager does; its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(START_SECONDS)
        except subprocess.TimeoutExpired as error:
            self.kill()
            raise ProgramError(f"SIGTERM did not end it:\n{self.log}") from error
        self._close()
        return code

    def kill(self) -> None:
        """SIGKILL to the whole process group: what a crash looks like to everyone else."""
        if self._process is None:
            return
        if self._process.returncode is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._close()

    def _close(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        self._process.stdout.close()

    def run(self, *arguments: str, stdin: str = "") -> str:
        """Run another command of the program on the same data folder; what it printed. Raises ProgramError."""
        done = subprocess.run(
            [sys.executable, "-m", "posthouse", *arguments, "--data", str(self.data)],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode != 0:
            raise ProgramError(f"posthouse {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def add_account(self, local: str) -> str:
        """Make the account local@example.test with the password PASSWORD; its address."""
        address = f"{local}@{DOMAIN}"
        self.run("account", "add", address, "--password-stdin", stdin=PASSWORD + "\n")
        return address

    def add_accounts(self, locals_: list[str]) -> list[str]:
        """Many accounts in one go, by CSV."""
        table = self.data.parent / f"{self.data.name}-accounts.csv"
        table.write_text("".join(f"{local}@{DOMAIN},{PASSWORD},\n" for local in locals_))
        self.run("account", "import", str(table))
        return [f"{local}@{DOMAIN}" for local in locals_]

    def rss(self) -> int:
        """Octets of memory held now by the process and all below it."""
        return sum(memory_of(pid) for pid in process_tree(self.pid))


def memory_of(pid: int) -> int:
    """Octets of memory that a process holds now."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0  # it ended meanwhile
    return sum(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS:"))


def process_tree(root: int) -> list[int]:
    """`root` and every process that descends from it."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
            children.setdefault(parent, []).append(int(folder.name))
    found, todo = [], [root]
    while todo:
        found.append(todo.pop())
        todo += children.get(found[-1], [])
    return found


@contextmanager
def running(data: Path, *, options: tuple[str, ...] = ()) -> Iterator[Program]:
    """A started program; at the end it is told to stop, and must do so with exit code 0 and no traceback in its log."""
    program = Program(data, options=options)
    try:
        yield program.start()
        code = program.stop()
    finally:
        program.kill()
    assert code == 0, f"exit code {code}\n{program.log}"
    assert "Traceback" not in program.log, program.log
