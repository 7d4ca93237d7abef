import errno
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from posthouse.database.server_lock import ServerLock, ServerRunningError, running_server


def test_one_server_per_folder(tmp_path: Path) -> None:
    assert running_server(tmp_path) is None
    lock = ServerLock.acquire(tmp_path)
    assert running_server(tmp_path) == os.getpid()
    with pytest.raises(ServerRunningError) as caught:
        ServerLock.acquire(tmp_path)
    assert caught.value.pid == os.getpid()
    assert str(os.getpid()) in str(caught.value)
    lock.release()
    assert running_server(tmp_path) is None
    ServerLock.acquire(tmp_path).release()


def test_asking_does_not_turn_a_server_away(tmp_path: Path) -> None:
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            running_server(tmp_path)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for _ in range(20):
            ServerLock.acquire(tmp_path).release()
    finally:
        stop.set()
        asking.join()


def test_a_killed_server_is_no_server(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, time; from posthouse.database.server_lock import ServerLock;"
        "lock = ServerLock.acquire(pathlib.Path(sys.argv[1])); print('ready', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        assert running_server(tmp_path) == server.pid
        server.send_signal(signal.SIGKILL)
    assert running_server(tmp_path) is None


def test_a_child_holds_it_on(tmp_path: Path) -> None:
    code = (
        "import os, sys, pathlib, time; from posthouse.database.server_lock import ServerLock;"
        "lock = ServerLock.acquire(pathlib.Path(sys.argv[1]));"
        "child = os.fork();"
        "print(child, flush=True) if child else sys.stdin.read()"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        parent.wait()
        assert running_server(tmp_path) == parent.pid


def test_nobody_else_may_open_it(tmp_path: Path) -> None:
    ServerLock.acquire(tmp_path).release()
    lock = tmp_path / "server.lock"
    assert stat.S_IMODE(lock.stat().st_mode) == 0o600
    lock.chmod(0o644)  # as earlier versions made it
    ServerLock.acquire(tmp_path).release()
    assert stat.S_IMODE(lock.stat().st_mode) == 0o600


def test_a_shorter_number_leaves_nothing_of_the_longer_one(tmp_path: Path) -> None:
    (tmp_path / "server.lock").write_text("123456789012\n")
    lock = ServerLock.acquire(tmp_path)
    assert running_server(tmp_path) == os.getpid()
    lock.release()


def test_a_full_disk_does_not_keep_the_server_from_starting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    lock = ServerLock.acquire(tmp_path)
    assert running_server(tmp_path) == 0  # it runs, but could not say which process it is
    lock.release()


def test_what_was_opened_is_closed_when_it_is_held_by_another(tmp_path: Path) -> None:
    lock = ServerLock.acquire(tmp_path)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(ServerRunningError):
        ServerLock.acquire(tmp_path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    lock.release()
