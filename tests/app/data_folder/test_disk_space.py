"""Room for a start on a full disk: what is given up, and in which order."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog
from structlog.testing import LogCapture

from posthouse.app.data_folder import disk_space
from posthouse.app.data_folder.data_paths import DataPaths
from posthouse.app.data_folder.disk_space import give_back, make_room


@pytest.fixture
def logged() -> LogCapture:
    return LogCapture()


@pytest.fixture
def log(logged: LogCapture) -> structlog.typing.FilteringBoundLogger:
    wrapper = structlog.make_filtering_bound_logger(0)
    return structlog.wrap_logger(None, processors=[logged], wrapper_class=wrapper)  # type: ignore[no-any-return]


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataPaths:
    (tmp_path / "memory").mkdir()
    monkeypatch.setattr(disk_space, "_MEMORY", tmp_path / "memory")
    data = tmp_path / "data"
    data.mkdir()
    for name in ("reserve", "index.db", "index.db-wal", "leases.db", "volatile.db", "posthouse.db", "directory.db"):
        (data / name).write_bytes(b"x")
    return DataPaths(data)


def says(*answers: bool) -> Callable[[Path], bool]:
    left = list(answers)
    return lambda _folder: left.pop(0)


def test_room_enough(paths: DataPaths, log: structlog.typing.FilteringBoundLogger, logged: LogCapture) -> None:
    before = sorted(path.name for path in paths.data.iterdir())
    assert make_room(paths, log) == paths
    assert sorted(path.name for path in paths.data.iterdir()) == before
    assert (paths.data / "reserve").stat().st_size == 1
    assert logged.entries == []


def test_the_reserve_first(
    paths: DataPaths, log: structlog.typing.FilteringBoundLogger, logged: LogCapture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_space, "_has_room", says(False, True))
    assert make_room(paths, log) == paths
    assert (paths.data / "reserve").stat().st_size == 0
    assert paths.index.exists()
    assert "the reserve was given up" in logged.entries[0]["event"]


def test_then_what_can_be_made_anew(
    paths: DataPaths, log: structlog.typing.FilteringBoundLogger, logged: LogCapture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_space, "_has_room", says(False, False))
    made = make_room(paths, log)
    names = {path.name for path in paths.data.iterdir()}
    assert names == {"reserve", "posthouse.db", "directory.db", "scratch"}
    assert made.scratch is not None
    assert {made.index.parent, made.leases.parent, made.volatile.parent} == {made.scratch}
    assert made.mail == paths.mail
    assert made.scratch.stat().st_mode & 0o077 == 0
    give_back(made)
    assert not made.scratch.exists()
    assert not (paths.data / "scratch").is_symlink()


def test_what_a_killed_server_left_is_removed(
    paths: DataPaths, log: structlog.typing.FilteringBoundLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as full:
        full.setattr(disk_space, "_has_room", says(False, False))
        made = make_room(paths, log)
    assert made.scratch is not None
    made.leases.write_bytes(b"x")
    assert make_room(paths, log).scratch is None
    assert not made.scratch.exists()
    assert not (paths.data / "scratch").is_symlink()


def test_a_link_to_something_else_is_not_followed(paths: DataPaths, log: structlog.typing.FilteringBoundLogger) -> None:
    other = paths.data.parent / "other"
    other.mkdir()
    (paths.data / "scratch").symlink_to(other)
    make_room(paths, log)
    assert other.exists()
    assert not (paths.data / "scratch").is_symlink()


@pytest.mark.parametrize(
    ("number", "room_enough"),
    [(errno.ENOSPC, False), (errno.EDQUOT, False), (errno.EOPNOTSUPP, True), (errno.EINVAL, True), (errno.EIO, None)],
)
def test_what_the_file_system_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, room_enough: bool | None
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "posix_fallocate", fail)
    if room_enough is None:
        with pytest.raises(OSError, match="Input/output error"):
            disk_space._has_room(tmp_path)
    else:
        assert disk_space._has_room(tmp_path) is room_enough
