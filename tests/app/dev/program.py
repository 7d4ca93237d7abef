"""`posthouse dev` as a developer starts it: takes any mail, on ports of the system's choice."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.outside.wire import Wire


@dataclass
class Dev:
    """A running program. `events` are the lines of its feed that were read so far."""

    process: subprocess.Popen[str]
    ready: dict[str, Any]
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def ports(self) -> dict[str, int]:
        """By service."""
        return dict(self.ready["ports"])

    def event(self) -> dict[str, Any]:
        """The next line of the feed; waits for it."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the feed has ended"
        self.events.append(json.loads(line))
        return self.events[-1]

    def interrupt(self) -> None:
        """What Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)


@contextmanager
def dev(*options: str, temporary: Path) -> Iterator[Dev]:
    """A started `posthouse dev --json --free-ports`; it must end with 0, leave nothing in `temporary` and be quiet."""
    command = [sys.executable, "-m", "posthouse", "dev", "--json", "--free-ports", *options]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            yield Dev(process, json.loads(line))
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
            assert process.stderr.read() == ""
            assert list(temporary.iterdir()) == []
        finally:
            process.kill()


def send(
    port: int, recipient: str, message: bytes = b"Subject: hi\r\n\r\nx\r\n", sender: str = "app@myapp.test"
) -> str:
    """One message over one connection; the last reply."""
    with Wire(port) as wire:
        wire.hello()
        wire.expect(f"MAIL FROM:<{sender}>".encode(), "250")
        answer = wire.ask(f"RCPT TO:<{recipient}>".encode())
        return wire.data(message) if answer.startswith("250") else answer
