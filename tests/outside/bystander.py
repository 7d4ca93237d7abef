"""A client that only wants to know whether the server still answers: NOOP again and again, in a process of its own.

In a process of its own, so that what a test does in between does not count as the server's delay.
    python -m tests.outside.bystander PORT USER
says for each line that it reads how long the slowest answer since the last took, in seconds.
"""

import select
import subprocess
import sys
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.outside.imap_wire import ImapWire

_PAUSE = 0.01


class Bystander:
    """The process, from outside."""

    def __init__(self, port: int, user: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.outside.bystander", str(port), user],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            self.slowest()
        except BaseException:
            self._end()
            raise

    def slowest(self) -> float:
        """Seconds that the slowest answer since the last call took; what is not answered yet counts."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(b"?\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the bystander was hung up on"
        return float(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):  # what it was asked last may wait in here still
                self._process.stdin.close()


def main(port: int, user: str) -> None:
    with ImapWire.open(port, user, "INBOX") as wire:
        slowest = 0.0
        while True:
            began = time.monotonic()
            wire.ok(b"NOOP")
            slowest = max(slowest, time.monotonic() - began)
            if select.select([sys.stdin], [], [], _PAUSE)[0]:
                if not sys.stdin.readline():
                    return
                print(f"{slowest:.4f}", flush=True)
                slowest = 0.0


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
