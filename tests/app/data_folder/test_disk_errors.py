"""What a disk can do to a server that starts is reported in a sentence."""

import contextlib
import errno
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from posthouse.accounts.errors import DirectoryBusyError
from posthouse.app.data_folder.disk_errors import disk_refusal, explain_disk_errors
from posthouse.app.errors import CommandError, Exit
from posthouse.database.errors import DatabaseError
from posthouse.mailstore.interface import StoreError
from tests.app.folders import configure, run, sql


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.EROFS, "is read-only"),
        (errno.ENOSPC, "is full"),
        (errno.EDQUOT, "is full"),
        (errno.EIO, "cannot be used: Input/output error"),
        (errno.ENOENT, "cannot be used: No such file"),
        (errno.ENOTCONN, "cannot be used: Transport endpoint"),
        (errno.ESTALE, "cannot be used: Stale file handle"),
    ],
)
def test_errors_of_the_system(tmp_path: Path, number: int, text: str) -> None:
    with pytest.raises(CommandError) as caught, explain_disk_errors(tmp_path):
        raise OSError(number, os.strerror(number))
    assert text in caught.value.text
    assert str(tmp_path) in caught.value.text
    assert caught.value.fix
    assert caught.value.code == Exit.UNAVAILABLE


@pytest.mark.parametrize("kind", [StoreError, DatabaseError, DirectoryBusyError])
def test_errors_of_a_database(tmp_path: Path, kind: type[Exception]) -> None:
    with pytest.raises(CommandError, match="disk I/O error") as caught, explain_disk_errors(tmp_path):
        raise kind("disk I/O error")
    assert caught.value.code == Exit.UNAVAILABLE
    with pytest.raises(CommandError, match="does not exist"), explain_disk_errors(tmp_path / "gone"):
        raise kind("unable to open database file")


def test_other_errors_are_not_the_disks(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), explain_disk_errors(tmp_path):
        raise PermissionError(errno.EACCES, "Permission denied")


@pytest.mark.parametrize("kind", [apsw.FullError, apsw.IOError, apsw.CantOpenError])
def test_errors_of_sqlite(tmp_path: Path, kind: type[Exception]) -> None:
    with pytest.raises(CommandError) as caught, explain_disk_errors(tmp_path):
        raise kind("x")
    assert "df " in caught.value.fix
    assert ("is full" in caught.value.text) == (kind is apsw.FullError)


def test_mistakes_of_ours_are_not_the_disks(tmp_path: Path) -> None:
    with pytest.raises(apsw.SQLError), explain_disk_errors(tmp_path):
        raise apsw.SQLError("no such column")
    assert disk_refusal(apsw.SQLError("no such column")) is None
    assert disk_refusal(ValueError("odd")) is None


COMMANDS = (
    "serve", "account add b@example.test --generate", "queue list", "fsck", "domain add c.test --yes",
    "domain add c.test --yes --data {folder}/new", "dev --free-ports --data {folder}/dev",
)  # fmt: skip


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk of 16 MB with a data folder."""
    if os.geteuid() != 0:
        pytest.fail("only root can mount a disk: run `make test` as root")
    with tempfile.TemporaryDirectory(prefix="posthouse-disk-") as name:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", name], check=True)
        try:
            yield Path(name)
        finally:
            subprocess.run(["umount", "-l", name], check=True)


@pytest.mark.parametrize("how", ["full", "read-only"])
def test_no_command_takes_the_disk_for_a_bug(how: str, small_disk: Path, tmp_path: Path) -> None:
    config, _ = configure(tmp_path, small_disk / "data")
    program = [sys.executable, "-m", "posthouse"]
    add = [*program, "domain", "add", "example.test", "--yes", "-c", str(config)]
    subprocess.run(add, check=True)
    if how == "full":
        with contextlib.suppress(OSError), (small_disk / "fill").open("wb", buffering=0) as fill:
            while fill.write(b"x" * 4096):
                pass
    else:
        subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    for command in COMMANDS:
        words = command.format(folder=small_disk).split()
        named = [] if "--data" in words else ["-c", str(config)]
        done = subprocess.run([*program, *words, *named], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode not in (0, -9), (command, done.stderr)
        assert "bug" not in done.stderr and "Traceback" not in done.stderr, (command, done.stderr)
        assert not any(Path(scratch).exists() for scratch in re.findall(r"scratch=(\S+)", done.stderr)), command
        advice = "df " if how == "full" else "remount,rw"
        assert advice in done.stderr, (command, done.stderr)


@pytest.mark.parametrize("name", ["posthouse.db", "directory.db"])
def test_no_command_takes_a_newer_version_for_a_bug(name: str, tmp_path: Path) -> None:
    config, _ = configure(tmp_path, tmp_path / "data")
    assert run("domain", "add", "example.test", "--yes", "-c", str(config)).returncode == 0
    sql(tmp_path / "data" / name, "PRAGMA user_version = 9999")
    program = [sys.executable, "-m", "posthouse"]
    concerned = "queue list" if name == "posthouse.db" else "account list"
    for command in (f"serve -c {config}", f"{concerned} -c {config}", f"dev --data {tmp_path}/data --free-ports"):
        done = subprocess.run([*program, *command.split()], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 78, (command, done.stderr)
        assert "newer version" in done.stderr, (command, done.stderr)
        assert "Run the version of Posthouse that wrote it" in done.stderr
