"""The one way to open a database: every way in which a file can be wrong, and what is left of it."""

import logging
import os
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from posthouse.database.errors import (
    DatabaseDamagedError,
    DatabaseGoneError,
    DatabaseUnusableError,
    NotADatabaseError,
    SchemaTooNewError,
)
from posthouse.database.opening import OpenPolicy, open_database, put_aside

STEPS = ("CREATE TABLE a (n)", "INSERT INTO a VALUES (1)")
ROOMS = {"": STEPS, "other": ("CREATE TABLE b (n)",)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.db"


def make(path: Path) -> None:
    open_database(path, ROOMS, policy=OpenPolicy.CREATE).close()


def spoil_schema(path: Path) -> None:
    """Make the page that says which tables there are nonsense; the file still says that it is a database."""
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 3996)


def test_it_is_made_with_all_its_tables_and_opened_again(path: Path) -> None:
    make(path)
    assert path.stat().st_mode & 0o777 == 0o600
    with closing(open_database(path, ROOMS)) as connection:
        assert connection.execute("SELECT n FROM a").fetchall() == [(1,)]
        assert connection.execute("SELECT n FROM b").fetchall() == []
        assert connection.pragma("journal_mode") == "wal"


def test_a_missing_one_is_made_only_when_that_is_asked_for(path: Path) -> None:
    with pytest.raises(DatabaseGoneError, match=r"x\.db is gone"):
        open_database(path, ROOMS)
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("made", [False, True])
def test_one_without_anything_in_it_is_as_good_as_gone(path: Path, made: bool) -> None:
    path.touch()
    if made:
        with closing(apsw.Connection(str(path))) as connection:
            connection.execute("CREATE TABLE x (n); DROP TABLE x")
    with pytest.raises(DatabaseGoneError, match=r"x\.db is empty"):
        open_database(path, ROOMS)
    make(path)  # with CREATE it goes on where a killed process stopped


@pytest.mark.parametrize("room", ["", "other"])
@pytest.mark.parametrize("policy", [OpenPolicy.EXISTING, OpenPolicy.CREATE])
def test_one_of_a_later_version_is_refused_and_not_written(path: Path, room: str, policy: OpenPolicy) -> None:
    make(path)
    with closing(apsw.Connection(str(path))) as connection:
        if room:
            connection.execute("UPDATE schema_version SET version = 9")
        else:
            connection.pragma("user_version", 9)
        connection.pragma("journal_mode", "DELETE")
    before = path.read_bytes()
    with pytest.raises(SchemaTooNewError, match=r"newer version of Posthouse \(schema 9"):
        open_database(path, ROOMS, policy=policy)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("policy", [OpenPolicy.EXISTING, OpenPolicy.CREATE])
def test_what_is_no_database_or_damaged_is_refused(path: Path, policy: OpenPolicy) -> None:
    path.write_bytes(b"nonsense" * 1000)
    with pytest.raises(NotADatabaseError, match=r"x\.db is no database"):
        open_database(path, ROOMS, policy=policy)
    assert path.read_bytes() == b"nonsense" * 1000
    path.unlink()
    make(path)
    spoil_schema(path)
    with pytest.raises(DatabaseDamagedError, match=r"x\.db is damaged"):
        open_database(path, ROOMS, policy=policy)
    path.unlink()
    path.mkdir()
    with pytest.raises(NotADatabaseError, match="is no database but a folder"):
        open_database(path, ROOMS, policy=policy)


@pytest.mark.parametrize("how", ["no database", "damaged", "newer version"])
def test_one_that_may_be_lost_is_put_aside_and_begun_anew(
    path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    make(path)
    if how == "no database":
        path.write_bytes(b"nonsense" * 1000)
    elif how == "damaged":
        spoil_schema(path)
    else:
        with closing(apsw.Connection(str(path))) as connection:
            connection.pragma("user_version", 9)
    before = path.read_bytes()
    with caplog.at_level(logging.WARNING), closing(open_database(path, ROOMS, policy=OpenPolicy.REPLACE)) as connection:
        assert connection.execute("SELECT n FROM a").fetchall() == [(1,)]
    assert path.with_name("x.db.aside").read_bytes() == before
    (line,) = caplog.messages
    assert how in line
    assert "x.db.aside" in line


def test_one_that_may_be_lost_and_whose_version_is_not_that_of_its_tables_is_begun_anew(path: Path) -> None:
    """As a file that was cut: what it says of itself and what is in it are of different times."""
    make(path)
    with closing(apsw.Connection(str(path))) as connection:
        connection.pragma("user_version", 0)
    with pytest.raises(apsw.SQLError):
        open_database(path, ROOMS)
    with closing(open_database(path, ROOMS, policy=OpenPolicy.REPLACE)) as connection:
        assert connection.execute("SELECT n FROM a").get == 1
    assert path.with_name("x.db.aside").exists()


def test_a_sound_one_that_may_be_lost_is_kept(path: Path) -> None:
    with closing(open_database(path, ROOMS, policy=OpenPolicy.REPLACE)) as connection:
        connection.execute("INSERT INTO b VALUES (7)")
    with closing(open_database(path, ROOMS, policy=OpenPolicy.REPLACE)) as connection:
        assert connection.execute("SELECT n FROM b").fetchall() == [(7,)]
    assert not path.with_name("x.db.aside").exists()


def test_the_log_is_put_aside_with_its_file(path: Path) -> None:
    connection = open_database(path, ROOMS, policy=OpenPolicy.CREATE)
    connection.execute("INSERT INTO b VALUES (7)")
    aside = put_aside(path)
    assert sorted(file.name for file in path.parent.iterdir()) == ["x.db.aside", "x.db.aside-wal"]
    connection.close(True)
    with closing(open_database(path, ROOMS, policy=OpenPolicy.CREATE)) as fresh:
        assert fresh.execute("SELECT n FROM b").fetchall() == []
    put_aside(path)
    assert aside.exists()
    assert not aside.with_name("x.db.aside-wal").exists()  # it would belong to another file


def test_one_that_must_not_be_lost_is_put_aside_whole_even_by_a_second_try(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the log and its file, the log is all that has what was committed last."""

    def contents(aside: Path) -> tuple[bytes, bytes]:
        return aside.read_bytes(), aside.with_name(aside.name + "-wal").read_bytes()

    rename = Path.rename

    def rename_the_log(self: Path, target: Path) -> Path:
        if not self.name.endswith("-wal"):
            raise InterruptedError
        return rename(self, target)

    for name in ("x.db.aside", "x.db.aside2"):
        path.write_bytes(name.encode())
        log = path.with_name("x.db-wal")
        log.write_bytes(b"log of " + name.encode())
        before = path.read_bytes(), log.read_bytes()
        with monkeypatch.context() as patch, pytest.raises(InterruptedError):
            patch.setattr(Path, "rename", rename_the_log)
            put_aside(path, replace=False)
        assert put_aside(path, replace=False) == path.with_name(name)
        assert contents(path.with_name(name)) == before
    assert contents(path.with_name("x.db.aside"))[0] == b"x.db.aside"


def test_a_log_that_was_left_behind_keeps_its_name(path: Path) -> None:
    """Somebody removed what had been put aside, but not its log: another file must not get it."""
    left = path.with_name("x.db.aside-wal")
    left.write_bytes(b"of another one")
    path.write_bytes(b"database")
    path.with_name("x.db-wal").write_bytes(b"its log")
    aside = put_aside(path, replace=False)
    assert aside.name == "x.db.aside2"
    assert aside.with_name("x.db.aside2-wal").read_bytes() == b"its log"
    assert left.read_bytes() == b"of another one"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_one_that_may_not_be_read(path: Path) -> None:
    make(path)
    path.chmod(0)
    with pytest.raises(DatabaseUnusableError, match="may not be read and written by this user"):
        open_database(path, ROOMS)


def test_opening_leaves_the_locks_of_other_connections_alone(path: Path) -> None:
    """POSIX ends all of a process's locks on a file when it closes any descriptor of it."""
    make(path)

    def locks() -> int:
        number = f":{path.stat().st_ino} "
        return sum(number in line for line in Path("/proc/locks").read_text().splitlines())

    with closing(open_database(path, ROOMS)) as first:
        first.execute("SELECT n FROM a").fetchall()
        held = locks()
        assert held
        open_database(path, ROOMS).close()
        assert locks() == held
