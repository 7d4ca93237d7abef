"""Files of a data folder that may not be used: which, by whom, and what to do."""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import structlog
from structlog.testing import LogCapture

from posthouse.app.data_folder.permissions import warn_if_open
from posthouse.app.errors import Exit
from tests.app.folders import configure, run

_PARTS = ("store.json", "posthouse.db", "directory.db", "packs", "packs/1.pack", "reserve", "write.lock", "volatile.db")


@pytest.mark.parametrize("part", _PARTS)
def test_a_part_that_may_not_be_used_is_named(part: str, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = data / part
    assert closed.exists()
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != closed)
    for command in ("fsck", "account list", "mail trace alice@example.test", "queue list", "fsck --salvage"):
        done = run(*command.split(), "--data", str(data))
        assert done.returncode == Exit.CONFIG, done.stderr
        assert f"{closed} may not be read and written by root" in done.stderr
        assert f"chown root {closed}" in done.stderr


def test_a_disk_that_is_read_only_is_no_matter_of_who_one_is(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_flag=os.ST_RDONLY))
    done = run("account", "list", "--data", str(data))
    assert done.returncode == Exit.CONFIG
    assert "read-only" in done.stderr
    assert "remount,rw" in done.stderr
    assert "Run it as root" not in done.stderr


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users may enter, as they may not enter pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_server_does_not_start_on_a_file_of_somebody_else(data: Path, open_folder: Path) -> None:
    data = shutil.copytree(data, open_folder / "data")
    config, _ = configure(open_folder, data)
    config.write_text(config.read_text().replace('user = ""', 'user = "nobody"'))
    nobody = pwd.getpwnam("nobody")
    for part in (data, *data.rglob("*")):
        os.chown(part, nobody.pw_uid, nobody.pw_gid)
    os.chown(data / "destinations.db", 0, 0)
    (data / "destinations.db").chmod(0o600)
    command = [sys.executable, "-m", "posthouse", "serve", "-c", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == Exit.CONFIG, done.stderr
    assert "destinations.db may not be read and written by nobody" in done.stderr
    assert "chown nobody" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_folder_restored_by_root_is_given_back_by_the_command_that_is_named(data: Path, open_folder: Path) -> None:
    data = shutil.copytree(data, open_folder / "data")  # as cp -r: all of it is root's
    config, _ = configure(open_folder, data)
    config.write_text(config.read_text().replace('user = ""', 'user = "nobody"'))
    c = ("-c", str(config))
    for words in (("serve",), ("account", "list"), ("queue", "list"), ("fsck",), ("domain", "add", "b.test", "--yes")):
        done = subprocess.run(
            [sys.executable, "-m", "posthouse", *words, *c], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == Exit.CONFIG, done.stderr
        assert f"chown -R nobody: {data}" in done.stderr
    subprocess.run(["chown", "-R", "nobody:", data], check=True)
    assert subprocess.run([sys.executable, "-m", "posthouse", "account", "list", *c], check=False).returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_folder_that_only_root_may_reach_is_named(data: Path, open_folder: Path) -> None:
    home = open_folder / "home"
    home.mkdir(mode=0o700)
    shutil.copytree(data, home / "data")
    config, _ = configure(open_folder, home / "data")
    config.write_text(config.read_text().replace('user = ""', 'user = "nobody"'))
    subprocess.run(["chown", "-R", "nobody:", home / "data"], check=True)
    command = [sys.executable, "-m", "posthouse", "serve", "-c", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == Exit.CONFIG, done.stderr
    assert f"may not enter {home}" in done.stderr
    assert "server.data" in done.stderr


SECRET = '[route.out]\npassword = "hunter2"\n'


@pytest.mark.parametrize(
    ("folder", "file", "text", "warned"),
    [
        (0o700, 0o600, SECRET, []),
        (0o750, 0o600, SECRET, ["data"]),
        (0o700, 0o644, SECRET, ["file"]),
        (0o700, 0o644, '[tls]\nkey_password = "x"\n', ["file"]),
        (0o700, 0o644, '[route.out]\npassword_file = "/etc/x"\n', []),
        (0o705, 0o640, SECRET, ["data", "file"]),
    ],
)
def test_what_is_open_is_named(tmp_path: Path, folder: int, file: int, text: str, warned: list[str]) -> None:
    logged = LogCapture()
    log = structlog.wrap_logger(None, processors=[logged], wrapper_class=structlog.make_filtering_bound_logger(0))
    data, config = tmp_path / "data", tmp_path / "posthouse.toml"
    data.mkdir()
    config.write_text(text)
    data.chmod(folder)
    config.chmod(file)
    warn_if_open(data, config, log)
    assert [name for entry in logged.entries for name in ("data", "file") if name in entry] == warned
    assert "hunter2" not in str(logged.entries)


def test_what_cannot_be_looked_at_is_left_to_whoever_needs_it(tmp_path: Path) -> None:
    logged = LogCapture()
    log = structlog.wrap_logger(None, processors=[logged], wrapper_class=structlog.make_filtering_bound_logger(0))
    warn_if_open(tmp_path / "nowhere", None, log)
    assert logged.entries == []
