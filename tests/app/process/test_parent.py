"""The parent of the workers, with workers that serve nothing. Each test runs the parent in a child of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from posthouse.app.process.heartbeat import Heartbeat
from posthouse.app.process.logs import open_log
from posthouse.app.process.notify import Notifier
from posthouse.app.process.parent import Parent

# What a worker does is the argument; it tells what happens on standard output, one line each.
PROGRAM = """
import os, select, signal, sys, time
from posthouse.app.process.logs import open_log
from posthouse.app.process.notify import Notifier
from posthouse.app.process.parent import Parent

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def run(index, ready, life_line, heartbeat):
    if {how!r} == "fail":
        raise ValueError("no")
    hears = os.pipe()
    os.set_blocking(hears[1], False)
    signal.set_wakeup_fd(hears[1])
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM, signal.SIGHUP])
    say("worker", index, os.getpid())
    ready()
    while True:
        heartbeat.beat()
        readable, _, _ = select.select([hears[0], life_line], [], [], 0.2)
        if life_line in readable:
            say("orphan", index)
            return 0
        for number in os.read(hears[0], 100) if hears[0] in readable else ():
            if number == signal.SIGTERM and {how!r} != "stubborn":
                say("stopped", index)
                return 0
            say(signal.Signals(number).name, index)

say("parent", os.getpid())
parent = Parent(2, run, {drain!r}, open_log(), Notifier(os.environ), on_ready=lambda: say("ready"))
sys.exit(parent.run())
"""


class Running:
    """A parent under test."""

    def __init__(self, how: str, drain: float) -> None:
        program = PROGRAM.format(how=how, drain=drain)
        self.process = subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.pids: dict[str, int] = {}

    @property
    def out(self) -> IO[str]:
        assert self.process.stdout is not None
        return self.process.stdout

    def read(self, count: int) -> list[str]:
        lines = []
        for _ in range(count):
            line = self.out.readline().strip()
            name, _, pid = line.rpartition(" ")
            if name.startswith(("worker", "parent")):
                self.pids[name] = int(pid)
                line = name
            lines.append(line)
        return sorted(lines)

    def end(self) -> tuple[int, str]:
        _, errors = self.process.communicate(timeout=30)
        return self.process.returncode, errors


@pytest.fixture
def start() -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def starter(how: str = "", drain: float = 5.0) -> Running:
        started.append(Running(how, drain))
        return started[-1]

    yield starter
    for running in started:
        if running.process.poll() is None:
            running.process.kill()
        running.process.communicate()


def test_workers_start_and_stop(start: Callable[..., Running]) -> None:
    running = start()
    assert running.read(4) == ["parent", "ready", "worker 0", "worker 1"]
    running.process.send_signal(signal.SIGTERM)
    assert running.read(2) == ["stopped 0", "stopped 1"]
    assert running.end()[0] == 0


def test_a_dead_worker_is_replaced_and_the_other_lives_on(start: Callable[..., Running]) -> None:
    running = start()
    running.read(4)
    first = dict(running.pids)
    os.kill(first["worker 1"], signal.SIGKILL)
    assert running.read(1) == ["worker 1"]
    assert running.pids["worker 1"] != first["worker 1"]
    assert running.pids["worker 0"] == first["worker 0"]
    running.process.send_signal(signal.SIGINT)
    assert running.read(2) == ["stopped 0", "stopped 1"]
    code, errors = running.end()
    assert code == 0
    assert "worker died" in errors
    assert "code=-9" in errors


def test_reload_reaches_every_worker(start: Callable[..., Running]) -> None:
    running = start()
    running.read(4)
    running.process.send_signal(signal.SIGHUP)
    assert running.read(2) == ["SIGHUP 0", "SIGHUP 1"]


def test_a_worker_that_never_starts_ends_it_all(start: Callable[..., Running]) -> None:
    code, errors = start("fail").end()
    assert code == 1
    assert "worker failed" in errors
    assert "error=ValueError reason=no" in errors


def test_workers_that_will_not_stop_are_killed_at_the_second_asking(start: Callable[..., Running]) -> None:
    running = start("stubborn", drain=600.0)
    running.read(4)
    running.process.send_signal(signal.SIGTERM)
    assert running.read(2) == ["SIGTERM 0", "SIGTERM 1"]
    time.sleep(1.1)
    running.process.send_signal(signal.SIGTERM)
    assert running.end()[0] == 0


def test_two_requests_to_stop_within_a_second_are_one() -> None:
    """A service manager and a script, or Ctrl-C and the shell's own signal: that is no hurry."""
    now = 100.0
    parent = Parent(0, _never, 600.0, open_log(), Notifier({}), clock=lambda: now)
    parent._act(signal.SIGTERM)
    until = parent._kill_at
    assert until > now + 600
    for second in (signal.SIGTERM, signal.SIGINT):
        now = 100.9
        parent._act(second)
        assert parent._kill_at == until
    now = 101.1
    parent._act(signal.SIGTERM)
    assert parent._kill_at == now


def _never(index: int, ready: Callable[[], None], life_line: int, heartbeat: Heartbeat) -> int:
    raise AssertionError("no worker is wanted")


def test_a_closed_terminal_is_the_end(capfd: pytest.CaptureFixture[str]) -> None:
    gone = False
    reloads: list[str] = []
    parent = Parent(
        0, _never, 5.0, open_log(), Notifier({}), on_reload=lambda: reloads.append("x"), is_abandoned=lambda: gone
    )
    parent._act(signal.SIGHUP)
    assert (reloads, parent._stopping) == (["x"], False)
    gone = True
    parent._act(signal.SIGHUP)
    assert (reloads, parent._stopping) == (["x"], True)


def test_workers_notice_that_the_parent_is_gone(start: Callable[..., Running]) -> None:
    running = start()
    running.read(4)
    running.process.kill()
    assert running.read(2) == ["orphan 0", "orphan 1"]


def test_systemd_is_told(start: Callable[..., Running], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        running = start()
        assert heard.recv(100) == b"READY=1"
        running.process.send_signal(signal.SIGTERM)
        assert heard.recv(100) == b"STOPPING=1"
        assert running.end()[0] == 0
