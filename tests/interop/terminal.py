"""A foreign program on a terminal of its own."""

import os
import pty
import select
import signal
import subprocess
import time
from pathlib import Path

from tests.interop.tools import SECONDS


def pushed(*keys: str) -> str:
    """The command by which mutt and NeoMutt take keys as if they were pressed."""
    text = "".join(keys).replace("\\", "\\\\").replace('"', '\\"')
    return f'push "{text}"'


def on_a_terminal(command: list[str], home: Path) -> str:
    """Run a program that ends by itself; what stood on the screen. Another exit code than 0 fails with all of it."""
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TERM": "xterm"}
    ours, theirs = pty.openpty()
    try:
        with subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=home, start_new_session=True
        ) as process:
            os.close(theirs)
            screen = _read(ours, time.monotonic() + SECONDS / 4)
            if process.poll() is None:
                try:
                    process.wait(2)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    raise AssertionError(
                        f"{command}: still there, with this on the screen:\n{screen[-4000:]}"
                    ) from None
    finally:
        os.close(ours)
    assert process.returncode == 0, f"{command}: {process.returncode}\n{screen[-4000:]}"
    return screen


def _read(terminal: int, limit: float) -> str:
    """All that is written to the terminal until its program has gone."""
    pieces = []
    while select.select([terminal], [], [], max(0.0, limit - time.monotonic()))[0]:
        try:
            pieces.append(os.read(terminal, 65536))
        except OSError:  # EIO: nobody holds the other end any more
            break
    return b"".join(pieces).decode(errors="replace")
