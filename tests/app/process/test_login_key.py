"""Where the key of remembered passwords is kept, what is not trusted there, and what a real server does with it."""

import os
import poplib
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import structlog
from structlog.testing import LogCapture

from posthouse.app.process import login_key
from posthouse.app.process.login_key import kept_key
from tests.app.commands.test_serve import Server, answers, until
from tests.app.folders import configure, first_version, run, stop
from tests.outside.program import PASSWORD

LOG = structlog.wrap_logger(None, processors=[LogCapture()], wrapper_class=structlog.make_filtering_bound_logger(0))


@pytest.fixture
def memory() -> Iterator[Path]:
    """The place itself, and nothing of ours in it before and after."""
    place = Path("/dev/shm")
    before = set(place.iterdir())
    yield place
    for path in set(place.iterdir()) - before:
        if path.name.startswith("posthouse-login-key-"):
            path.unlink()


def test_the_key_is_the_same_at_the_next_start(tmp_path: Path, memory: Path) -> None:
    key = kept_key(tmp_path, LOG)
    assert len(key) == 32
    assert kept_key(tmp_path, LOG) == key
    other = tmp_path / "other"
    other.mkdir()
    assert kept_key(other, LOG) != key
    path = memory / login_key._name(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.unlink()  # as when the machine starts
    assert kept_key(tmp_path, LOG) != key


def test_a_folder_on_a_disk_keeps_no_key(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    assert kept_key(tmp_path, LOG, folder=folder) != kept_key(tmp_path, LOG, folder=folder)
    assert list(folder.iterdir()) == []
    assert len(kept_key(tmp_path, LOG, folder=tmp_path / "nowhere")) == 32


@pytest.mark.parametrize("what", ["open to others", "another's", "a link", "a hard link", "a folder", "cut short"])
def test_what_cannot_be_trusted_is_no_key(
    tmp_path: Path, memory: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = kept_key(tmp_path, LOG)
    path = memory / login_key._name(tmp_path)
    aside = memory / f"{path.name}-aside"
    match what:
        case "open to others":
            path.chmod(0o640)
        case "another's":
            us = os.geteuid()
            monkeypatch.setattr("posthouse.app.process.login_key.os.geteuid", lambda: us + 1)
            path.rename(memory / login_key._name(tmp_path))
        case "a link":
            path.rename(aside)
            path.symlink_to(aside)
        case "a hard link":
            os.link(path, aside)
        case "a folder":
            path.unlink()
            path.mkdir()
        case "cut short":
            path.write_bytes(key[:31])
    assert kept_key(tmp_path, LOG) != key
    if what == "cut short":
        assert kept_key(tmp_path, LOG) == path.read_bytes()
    elif what == "a folder":
        path.rmdir()


# A server that writes down each hash.
_COUNTING = """
import os, sys
from posthouse.accounts.passwords import PasswordHasher
from posthouse.app.cli import main
check, made = PasswordHasher.check, sys.argv.pop(1)
def counted(self, stored, password):
    with open(made, "a") as file:
        file.write("x")
    return check(self, stored, password)
PasswordHasher.check = counted
sys.exit(main(sys.argv[1:]))
"""


@contextmanager
def counting(folder: Path, data: Path, made: Path) -> Iterator[Server]:
    config, offset = configure(folder, data)
    config.write_text(config.read_text().replace("workers = 1", "workers = 2"))
    log = folder / "log"
    with log.open("ab") as out:
        command = [sys.executable, "-c", _COUNTING, str(made), "serve", "-c", str(config)]
        process = subprocess.Popen(command, stdout=out, stderr=out)
    server = Server(process, config, offset, log)
    try:
        until(lambda: answers(server) or process.poll() is not None, log)
        yield server
        stop(server)
    finally:
        process.kill()
        process.wait()


def log_in(server: Server, password: str = PASSWORD) -> bool:
    pop3 = poplib.POP3("127.0.0.1", server.port(110), timeout=20)
    try:
        pop3.user("alice@example.test")
        pop3.pass_(password)
        pop3.quit()
    except poplib.error_proto:
        return False
    finally:
        pop3.close()
    return True


def test_a_password_is_hashed_once_a_server(tmp_path: Path, memory: Path) -> None:
    """By two workers, and over a restart; a new password ends it at once, and a new key too."""
    data, made = first_version(tmp_path), tmp_path / "hashes"
    with counting(tmp_path, data, made) as server:
        assert all(log_in(server) for _ in range(12))
        assert made.read_text() == "x"
    with counting(tmp_path, data, made) as server:
        assert all(log_in(server) for _ in range(12))
        assert made.read_text() == "x"
        words = ["account", "password", "alice@example.test", "--password-stdin", "-c", str(server.config)]
        assert run(*words, stdin="another\n").returncode == 0
        assert not log_in(server)
        assert all(log_in(server, "another") for _ in range(12))
        assert made.read_text() == "xxx"
    key_file = memory / login_key._name(data)
    key = key_file.read_bytes()
    for path in data.rglob("*"):
        if path.is_file():
            assert key not in path.read_bytes(), path
    key_file.unlink()  # the machine was started
    with counting(tmp_path, data, made) as server:
        assert log_in(server, "another")
        assert made.read_text() == "xxxx"
