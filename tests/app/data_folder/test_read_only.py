"""Commands that only read make nothing, and tell apart what is not there, what may not be read, and what is empty."""

import os
import tempfile
from hashlib import sha256
from pathlib import Path

import pytest

from posthouse.app.errors import Exit
from posthouse.app.process.privileges import become
from posthouse.app.system_users import find_user
from tests.app.folders import Done, run

READING = (
    "domain list",
    "account list",
    "account limits alice@example.test",
    "alias list",
    "identity list alice@example.test",
    "queue list --settled",
    "queue show 01m86vpsh4",
    "mail trace alice@example.test",
    "fsck",
)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): sha256(path.read_bytes()).digest() if path.is_file() else b"" for path in folder.rglob("*")}


@pytest.mark.parametrize("command", READING)
def test_nothing_is_made_or_changed(command: str, data: Path) -> None:
    before = contents(data.parent)
    assert run(*command.split(), "--data", str(data)).returncode in (0, 1)
    assert contents(data.parent) == before


@pytest.mark.parametrize("command", READING)
def test_what_is_not_there_is_said_to_be_not_there(command: str, tmp_path: Path) -> None:
    done = run(*command.split(), "--data", str(tmp_path / "typo"))
    assert done.returncode == Exit.UNAVAILABLE
    assert f"there is no data folder at {tmp_path / 'typo'}" in done.stderr
    (tmp_path / "void").mkdir()
    done = run(*command.split(), "--data", str(tmp_path / "void"))
    assert done.returncode == Exit.CONFIG
    assert f"there is no mail store in {tmp_path / 'void'}" in done.stderr
    assert list(tmp_path.rglob("*")) == [tmp_path / "void"]


def as_nobody(*words: str) -> Done:
    """A command of another user: in a child, since not everybody may read the interpreter."""
    with tempfile.TemporaryFile("w+") as file:
        if (pid := os.fork()) == 0:
            become(find_user("nobody"))
            done = run(*words)
            file.write(f"{done.returncode}\n{done.stderr}")
            file.flush()
            os._exit(0)
        os.waitpid(pid, 0)
        file.seek(0)
        code, _, text = file.read().partition("\n")
    return Done(int(code), "", text)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
@pytest.mark.parametrize("command", READING)
def test_what_may_not_be_read_is_said_to_be_that(command: str, data: Path) -> None:
    for named in (data, data / "deeper"):
        done = as_nobody(*command.split(), "--data", str(named))
        assert done.returncode == Exit.NO_PERMISSION
        assert "permission denied" in done.stderr
        assert "Run it as root" in done.stderr
    done = as_nobody(*command.split(), "-c", str(data / "posthouse.toml"))
    assert done.returncode in (Exit.CONFIG, Exit.NO_PERMISSION)
    assert "ermission denied" in done.stderr


def test_what_is_empty_is_said_to_be_empty(tmp_path: Path) -> None:
    data = ("--data", str(tmp_path / "data"))
    assert run("domain", "add", "example.test", "--yes", *data).returncode == 0
    assert run("domain", "remove", "example.test", *data).returncode == 0
    assert run("domain", "list", *data) == (0, "", "No domains yet. Add one: posthouse domain add example.org\n")
    assert run("queue", "list", *data) == (0, "", "Nothing waits to be sent.\n")
