"""The parent's side of the workers."""

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.stateful.faulty_disk import Fault
from tests.stateful.worker import Crash, receive, send

ROOT = Path(__file__).parents[2]
_PATIENCE = 60  # seconds for an answer; a worker that takes longer hangs


class WrongError(AssertionError):
    """The store has broken a promise."""


class DeadError(Exception):
    """The worker has died."""


class Workshop:
    """Makes workers: forks of one process that has imported all."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        command = [sys.executable, "-m", "tests.stateful.worker", str(theirs.fileno())]
        self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], cwd=ROOT)
        theirs.close()

    def make(self, folder: Path, now: float, faults: Sequence[Fault]) -> "Worker":
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.settimeout(_PATIENCE)
        socket.send_fds(self._control, [pickle.dumps((folder, now, faults))], [theirs.fileno()])
        theirs.close()
        return Worker(ours, receive(self._control))

    def close(self) -> None:
        self._control.close()
        self._process.wait()


class Worker:
    """A process that has the store open."""

    def __init__(self, link: socket.socket, pid: int) -> None:
        self._link = link
        self._process = -1
        with contextlib.suppress(ProcessLookupError):  # it may have died on opening the store
            self._process = os.pidfd_open(pid)  # a pid may be given to another process
        self.ill = False  # whether faults last on its disk

    def opened(self) -> tuple[str, list[str]]:
        """Why it could not open the store ("" when it could), and the faults it met."""
        return self.answer()  # type: ignore[no-any-return]

    def ask(self, now: float, name: str, *values: Any) -> None:
        try:
            send(self._link, (now, name, values))
        except OSError as error:
            raise DeadError from error

    def answer(self) -> Any:
        try:
            answer = receive(self._link)
        except EOFError as error:
            raise DeadError from error
        except TimeoutError as error:
            raise WrongError("a worker hangs") from error
        if isinstance(answer, Crash):
            raise WrongError(f"unexpected: {answer.what}")
        return answer

    def call(self, now: float, name: str, *values: Any) -> Any:
        self.ask(now, name, *values)
        return self.answer()

    def kill(self) -> None:
        """End it, if it has not ended; returns when it has. More than once does no harm."""
        if self._process >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._process, signal.SIGKILL)
            os.close(self._process)
            self._process = -1
        with contextlib.suppress(EOFError, OSError):
            while True:
                receive(self._link)
        self._link.close()
