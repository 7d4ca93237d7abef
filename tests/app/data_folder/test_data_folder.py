"""A data folder whose parts are missing, older, newer or another's: real servers that refuse it, and real ones that
serve what is sound.
"""

import errno
import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from posthouse.app.data_folder import starting
from posthouse.app.data_folder.checks import check
from posthouse.app.data_folder.data_paths import DataPaths
from posthouse.app.data_folder.making import make
from posthouse.app.data_folder.parts import FolderError, Parts, is_new
from posthouse.app.data_folder.starting import begin
from posthouse.app.data_folder.store_card import StoreCard
from posthouse.app.errors import Exit
from posthouse.app.process.logs import open_log
from posthouse.database.errors import DatabaseFullError
from posthouse.database.identity import Identity
from tests.app.folders import (
    ALICE,
    card,
    commit_to_log,
    configure,
    fail_at,
    first_version,
    run,
    serving,
    sql,
    subjects,
)
from tests.outside.program import PASSWORD


def refused(folder: Path, data: Path) -> str:
    """What `posthouse serve` says, which must refuse the folder and leave it as it was."""
    config, _ = configure(folder, data)
    before = listing(data)
    command = [sys.executable, "-m", "posthouse", "serve", "-c", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == Exit.CONFIG, done.stderr
    assert "Traceback" not in done.stderr
    error, fix = done.stderr.splitlines()[-2:]
    assert error.startswith("error: ")
    assert fix.strip()
    after = listing(data)
    assert {name for name in after if name.endswith((".db", ".pack", ".json"))} == set(before)
    return done.stderr


def listing(data: Path) -> list[str]:
    if not data.is_dir():
        return []
    named = (path.relative_to(data).as_posix() for path in data.rglob("*"))
    return [name for name in named if name.endswith((".db", ".pack", ".json"))]


# What is served.


def test_a_folder_of_the_first_version_is_named_once_and_served(served: Path) -> None:
    """The fixture has read its mail; here is what it has become."""
    said = card(served)
    assert said["generation"] == 2
    for name in ("posthouse.db", "directory.db"):
        with closing(apsw.Connection(str(served / name))) as connection:
            found = connection.execute("SELECT lower(hex(id)), generation FROM store").fetchall()
            assert found == [(said["store"], 2)]


def test_a_copy_of_a_stopped_server_is_served(data: Path, tmp_path: Path) -> None:
    with serving(tmp_path, data) as server:
        assert subjects(server) == ALICE
        assert subjects(server, "bob") == ["letter 2", "letter 3"]


def test_a_server_that_was_killed_starts_again_with_all_its_mail(data: Path, tmp_path: Path) -> None:
    for number in range(3):
        with serving(tmp_path, data) as server:
            assert server.send().startswith("250")
            assert len(subjects(server)) == len(ALICE) + number + 1


def test_a_new_store_needs_a_yes_and_then_works_in_the_order_of_the_readme(tmp_path: Path) -> None:
    data = tmp_path / "data"
    config, _ = configure(tmp_path, data)
    at = ("-c", str(config))
    asked = run("domain", "add", "example.test", *at)
    assert asked.returncode == Exit.USAGE
    assert "Add --yes" in asked.stderr
    assert not data.exists()
    assert run("domain", "add", "example.test", "--yes", *at).returncode == 0
    assert run("domain", "add", "other.test", *at).returncode == 0  # the store is there: no question
    added = run("account", "add", "alice@example.test", "--password-stdin", *at, stdin=PASSWORD + "\n")
    assert added.returncode == 0
    with serving(tmp_path, data) as server:
        assert server.send().startswith("250")
        assert len(subjects(server)) == 1


# What is refused.


@pytest.mark.parametrize("made", [False, True])
def test_no_folder_or_an_empty_one_is_not_served(made: bool, tmp_path: Path) -> None:
    data = tmp_path / "data"
    if made:
        data.mkdir()
    said = refused(tmp_path, data)
    assert "Is its disk mounted?" in said
    assert "posthouse domain add" in said
    assert data.exists() == made
    assert not made or list(data.iterdir()) == []
    at = ("--data", str(data))
    for command in (
        "account add a@b.test --generate",
        "domain list",
        "account list",
        "queue list",
        "mail trace a",
        "fsck",
    ):
        assert run(*command.split(), *at).returncode in (Exit.CONFIG, Exit.UNAVAILABLE)
    assert not made or list(data.iterdir()) == []


def remove(*names: str) -> Callable[[Path], None]:
    def change(data: Path) -> None:
        for name in names:
            for path in data.glob(name):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    return change


def write(name: str, content: bytes) -> Callable[[Path], None]:
    def change(data: Path) -> None:
        remove(name + "-*")(data)
        (data / name).write_bytes(content)

    return change


def change_sql(name: str, statement: str) -> Callable[[Path], None]:
    return lambda data: sql(data / name, statement)


def change_card(**values: object) -> Callable[[Path], None]:
    return lambda data: write("store.json", json.dumps({**card(data), **values}).encode())(data)


@pytest.mark.parametrize(
    ("change", "said", "fix"),
    [
        (remove("posthouse.db*"), "posthouse.db is gone", "fsck --salvage"),
        (remove("directory.db*"), "directory.db is gone", "fsck --adopt"),
        (remove("store.json"), "store.json is gone", "fsck --accept"),
        (remove("packs"), "packs is gone", "mounted"),
        (remove("packs/*"), "1.pack of", "mounted"),
        (write("posthouse.db", b""), "posthouse.db is empty", "fsck --salvage"),
        (write("directory.db", b""), "directory.db is empty", "domain add"),
        (write("posthouse.db", b"nonsense" * 999), "posthouse.db is no database", "fsck --salvage"),
        (write("directory.db", b"nonsense" * 999), "directory.db is no database", "Restore"),
        (write("store.json", b"{}"), "store.json is damaged", "Restore"),
        (change_sql("posthouse.db", "PRAGMA user_version = 99"), "posthouse.db is of a newer version", "newer one"),
        (change_sql("directory.db", "PRAGMA user_version = 99"), "directory.db is of a newer version", "newer one"),
        (change_sql("posthouse.db", "UPDATE schema_version SET version = 9"), "schema 9 of queue", "newer one"),
        (change_card(format=2), "store.json is of a newer version", "newer one"),
        (change_sql("directory.db", "UPDATE store SET generation = 1"), "directory.db in", "fsck --accept"),
        (change_sql("posthouse.db", "UPDATE store SET generation = 1"), "posthouse.db in", "fsck --accept"),
        (change_sql("posthouse.db", "UPDATE store SET generation = 4"), "directory.db and store.json in", "--accept"),
        (change_card(generation=0), "store.json in", "fsck --accept"),
        (change_sql("directory.db", "UPDATE store SET id = randomblob(16)"), "another mail store", "fsck --accept"),
        (change_card(store="ab" * 16), "another mail store", "fsck --accept"),
        (change_sql("directory.db", "DELETE FROM store"), "it has no id", "fsck --accept"),
    ],
)
def test_parts_that_are_missing_or_do_not_belong_together(
    change: Callable[[Path], None], said: str, fix: str, data: Path, tmp_path: Path
) -> None:
    change(data)
    told = refused(tmp_path, data)
    error, advice = told.splitlines()[-2:]
    assert said in error
    assert fix in advice


def test_a_lost_name_is_not_taken_for_a_folder_of_before(data: Path, tmp_path: Path) -> None:
    """directory.db of the first version among parts that have a name: an old backup."""
    (tmp_path / "old").mkdir()
    fresh = first_version(tmp_path / "old")
    shutil.copy(fresh / "directory.db", data / "directory.db")
    assert "older than the rest" in refused(tmp_path, data)
    (data / "store.json").unlink()
    assert "store.json is gone" in refused(tmp_path, data)


@pytest.mark.parametrize("damage", [b"", b"nonsense" * 999])
def test_commands_say_what_is_wrong_with_the_mail_and_make_nothing(damage: bytes, data: Path) -> None:
    (data / "posthouse.db").write_bytes(damage)
    before = sorted(path.name for path in data.iterdir())
    at = ("--data", str(data))
    for command in ("account list", "account remove bob@example.test --yes", "queue list", "mail trace a@b.test"):
        done = run(*command.split(), *at)
        assert done.returncode == Exit.CONFIG, command
        assert "posthouse.db is" in done.stderr
        assert "fsck --salvage" in done.stderr
    assert (data / "posthouse.db").read_bytes() == damage
    assert sorted(path.name for path in data.iterdir()) == before


# What was committed last may stand in the log only: nothing that looks may fold it into another file.

_LOOKS = (
    "account list",
    "queue list",
    "mail trace a@b.test",
    "fsck",
    "fsck --accept",
    "domain list",
    "domain add b.test",
)


def _another_store(data: Path) -> None:
    other = DataPaths(data.parent / "other")
    other.data.mkdir()
    make(other)
    shutil.copy(other.mail, data / "posthouse.db")


def _empty(data: Path) -> None:
    (data / "posthouse.db").write_bytes(b"")


def _nonsense(data: Path) -> None:
    (data / "posthouse.db").write_bytes(b"nonsense" * 999)


def _older(data: Path) -> None:
    (data / "posthouse.db-wal").rename(data / "log")
    sql(data / "posthouse.db", "UPDATE store SET generation = 1")
    (data / "log").rename(data / "posthouse.db-wal")


@pytest.mark.parametrize("swap", [_another_store, _empty, _nonsense, _older])
def test_the_log_of_a_killed_server_outlives_every_look_at_a_wrong_database(
    swap: Callable[[Path], None], data: Path, tmp_path: Path
) -> None:
    log = commit_to_log(data / "posthouse.db", "UPDATE message SET received = 12345")
    shutil.copy(data / "posthouse.db", tmp_path / "right.db")
    swap(data)
    refused(tmp_path, data)
    for command in _LOOKS:
        run(*command.split(), "--data", str(data))
    assert (data / "posthouse.db-wal").read_bytes() == log
    (tmp_path / "right.db").rename(data / "posthouse.db")
    with closing(apsw.Connection(str(data / "posthouse.db"))) as connection:
        assert connection.execute("SELECT DISTINCT received FROM message").fetchall() == [(12345,)]


def test_commands_do_not_work_on_a_swapped_database(data: Path) -> None:
    _another_store(data)
    at = ("--data", str(data))
    for command in ("account list", "account remove bob@example.test --yes", "queue list", "mail trace a@b.test"):
        done = run(*command.split(), *at)
        assert done.returncode == Exit.CONFIG, command
        assert "belongs to another mail store" in done.stderr
    sql(data / "directory.db", "UPDATE store SET id = randomblob(16)")
    (data / "store.json").unlink()
    assert "belongs to another mail store" in run("account", "add", "new@example.test", "--generate", *at).stderr


def test_a_log_of_another_store_is_told_by_the_id_below_it(data: Path, tmp_path: Path) -> None:
    for part in data.iterdir():
        shutil.rmtree(part) if part.is_dir() else part.unlink()
    make(DataPaths(data))
    log = commit_to_log(data / "posthouse.db", "UPDATE store SET generation = 1")
    _another_store(data)
    told = refused(tmp_path, data)
    assert "posthouse.db and posthouse.db-wal belong to different mail stores" in told
    assert "Put back the posthouse.db that" in told
    assert run("fsck", "--accept", "--yes", "--data", str(data)).returncode == Exit.CONFIG
    assert (data / "posthouse.db-wal").read_bytes() == log


def test_an_older_file_under_a_later_log_is_not_served_when_they_do_not_fit(data: Path, tmp_path: Path) -> None:
    older = shutil.copy(data / "posthouse.db", tmp_path / "older.db")
    sql(data / "posthouse.db", "CREATE TABLE filler AS SELECT randomblob(200000) AS octets")
    log = commit_to_log(
        data / "posthouse.db", "UPDATE store SET generation = 3; CREATE TABLE beyond AS SELECT * FROM filler"
    )
    shutil.copy(older, data / "posthouse.db")
    assert "posthouse.db is damaged" in refused(tmp_path, data)
    assert run("fsck", "--accept", "--yes", "--data", str(data)).returncode == Exit.CONFIG
    assert (data / "posthouse.db-wal").read_bytes() == log


def test_a_log_without_its_file_is_put_aside_when_a_new_one_is_begun(data: Path) -> None:
    log = commit_to_log(data / "posthouse.db", "UPDATE message SET received = 12345")
    (data / "posthouse.db").unlink()
    assert not is_new(DataPaths(data))
    done = run("fsck", "--salvage", "--yes", "--data", str(data))
    assert done.returncode == 0, done.stderr
    assert (data / "posthouse.db.aside-wal").read_bytes() == log


def test_a_folder_that_is_in_order_is_left_without_a_log(data: Path) -> None:
    before = sorted(path.name for path in data.iterdir())
    assert not any(name.endswith("-wal") for name in before)
    for command in ("account list", "fsck", "fsck --accept"):
        assert run(*command.split(), "--data", str(data)).returncode == 0
    assert sorted(path.name for path in data.iterdir()) == before


_ONE = b"1" * 16


def judged(card: int | None, mail: int | None, directory: int | None) -> str:
    """The complaint about parts of one store at these generations (None: without a name)."""
    parts = Parts(
        None if card is None else StoreCard(_ONE, "", card),
        None if mail is None else Identity(_ONE, mail),
        None if directory is None else Identity(_ONE, directory),
    )
    try:
        check(parts, DataPaths(Path("/data")))
    except FolderError as error:
        return error.text
    return ""


def test_exactly_what_a_crash_can_leave_is_accepted() -> None:
    """Every step of naming and of ten starts, each of which may be the last; nothing else."""
    reachable = {(None, None, None), (None, 0, None), (None, 0, 0), (0, 0, 0)}
    for generation in range(10):
        reachable |= {
            (generation, generation, generation),
            (generation, generation + 1, generation),
            (generation, generation + 1, generation + 1),
        }
    values = (None, *range(9))
    for state in itertools.product(values, repeat=3):
        # Without a database of the first version nothing is without a name but both, or the directory.
        if state == (None, None, 0):
            continue
        assert (judged(*state) == "") == (state in reachable), state


def test_the_older_part_is_named() -> None:
    assert "directory.db in /data is from an earlier time" in judged(7, 7, 3)
    assert "posthouse.db in /data is from an earlier time" in judged(7, 3, 7)
    assert "posthouse.db in /data is from an earlier time" in judged(7, 7, 8)
    assert "directory.db and store.json in /data are from an earlier time" in judged(3, 9, 3)
    assert "store.json in /data is from an earlier time" in judged(3, 9, 9)


# The steps of a start, each of which may be the last.


class Killed(BaseException):
    """The process died here."""


_STEPS = ("claim_identity", "set_identity", "write_card")


def begun(data: Path) -> int:
    begin(DataPaths(data), open_log("error"))
    found = card(data)["generation"]
    assert isinstance(found, int)
    return found


@pytest.mark.parametrize("named", [False, True])
def test_killed_at_each_step_of_a_start_the_next_one_goes_on(named: bool, tmp_path: Path) -> None:
    for step in range(1, 4 if named else 7):  # naming takes three more
        (tmp_path / str(step)).mkdir()
        data = first_version(tmp_path / str(step))
        before = begun(data) if named else 0
        for _ in range(2 if named else 1):  # even twice in a row
            with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
                fail_at(step, Killed(), patch, starting, _STEPS)
                begun(data)
        assert begun(data) == before + 1
        assert begun(data) == before + 2


@pytest.mark.parametrize("failure", [DatabaseFullError("full"), OSError(errno.ENOSPC, "No space left on device")])
def test_a_full_disk_does_not_keep_a_server_from_starting(failure: Exception, tmp_path: Path) -> None:
    for step in range(1, 7):
        (tmp_path / str(step)).mkdir()
        data = first_version(tmp_path / str(step))
        with pytest.MonkeyPatch.context() as patch:
            fail_at(step, failure, patch, starting, _STEPS)
            begin(DataPaths(data), open_log("error"))
        assert begun(data) == 1
        if step <= 3:
            with pytest.MonkeyPatch.context() as patch:
                fail_at(step, failure, patch, starting, _STEPS)
                begin(DataPaths(data), open_log("error"))
            assert begun(data) == 2


def test_a_make_that_was_killed_is_completed(tmp_path: Path) -> None:
    for step in range(1, 4):
        paths = DataPaths(tmp_path / str(step))
        paths.data.mkdir()
        with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
            fail_at(step, Killed(), patch, starting, _STEPS)
            make(paths)
        assert begun(paths.data) == 1  # the databases are there: the start names them
    for size in (0, 4096):
        paths = DataPaths(tmp_path / f"blank {size}")
        paths.data.mkdir()
        paths.mail.write_bytes(bytes(size))
        if size:
            paths.mail.unlink()
            with closing(apsw.Connection(str(paths.mail))) as connection:
                connection.pragma("journal_mode", "WAL")
        assert is_new(paths)
        make(paths)
        assert begun(paths.data) == 1
