"""The ways back: what fsck can do for a data folder that lost a part, tried with real servers afterwards."""

import asyncio
import errno
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from posthouse.app.commands import recovery
from posthouse.app.commands.opening import alone
from posthouse.app.commands.recovery import Claims, Homes
from posthouse.app.data_folder import making
from posthouse.app.data_folder.data_paths import DataPaths
from posthouse.app.data_folder.parts import FolderError
from posthouse.app.data_folder.starting import begin
from posthouse.app.errors import Exit
from posthouse.app.process.logs import open_log
from posthouse.mailstore.changes import LocalBus
from posthouse.mailstore.interface import Target
from posthouse.mailstore.records import make_pack_head
from posthouse.mailstore.sqlite.recovering import Owner
from posthouse.mailstore.sqlite.store import SqliteMailstore
from posthouse.sessions.imap.line_ends import scan_line_ends
from tests.app.folders import ALICE, card, configure, fail_at, first_version, run, serving, sql, stop, subjects
from tests.bad_sectors import spoil
from tests.outside.program import PASSWORD
from tests.stores import NOW, Bytes, delivery_id


def fsck(data: Path, *words: str) -> tuple[int, str, str]:
    done = run("fsck", *words, "--data", str(data))
    return done.returncode, done.stdout, done.stderr


def findings(data: Path) -> list[dict[str, str]]:
    _, out, err = fsck(data, "--json")
    assert out, err
    found: list[dict[str, str]] = json.loads(out)["findings"]
    return found


def overwrite_pages(path: Path) -> None:
    """Overwrite all but the first page."""
    size = path.stat().st_size - 4096
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * size)


def forget(data: Path, *names: str) -> None:
    for name in names:
        for path in data.glob(name):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_nothing_to_do(data: Path) -> None:
    assert findings(data) == []
    assert "There was nothing to file" in fsck(data, "--salvage")[2]
    assert "All parts are there" in fsck(data, "--accept")[2]
    assert "There is no mail of accounts that are not known" in fsck(data, "--adopt", "bob@example.test")[2]
    assert fsck(data, "--salvage", "--accept")[0] == Exit.USAGE


@pytest.mark.parametrize("damage", ["gone", "no database"])
def test_a_lost_database_is_begun_anew_and_all_mail_filed(damage: str, data: Path, tmp_path: Path) -> None:
    with serving(tmp_path, data) as server:
        assert server.send().startswith("250")  # it goes into a pack with a head, the others are of before
        stop(server)
    forget(data, "posthouse.db*")
    if damage != "gone":
        (data / "posthouse.db").write_bytes(b"nonsense" * 999)
    code, _, err = fsck(data)
    assert code == (Exit.CONFIG if damage == "gone" else Exit.FAILED)
    assert "fsck --salvage" in err + fsck(data)[1]
    assert fsck(data, "--salvage")[0] == Exit.USAGE  # it asks
    code, out, err = fsck(data, "--salvage", "--yes")
    assert code == 0, err
    assert dict(line.split("\t") for line in out.splitlines()) == {"alice@example.test": "4", "bob@example.test": "2"}
    assert (data / "posthouse.db.aside").exists() == (damage != "gone")
    assert findings(data) == []
    assert "nothing to file" in fsck(data, "--salvage")[2]
    assert findings(data) == []
    with serving(tmp_path, data) as server:
        assert server.send().startswith("250")
        assert len(subjects(server)) == 1  # the rest is in Recovered
        stop(server)
    assert findings(data) == []


@pytest.mark.parametrize("damage", ["gone", "empty", "no database", "damaged"])
def test_a_lost_directory_is_begun_anew_and_the_mail_adopted(damage: str, data: Path, tmp_path: Path) -> None:
    match damage:
        case "gone":
            forget(data, "directory.db*")
        case "empty":
            (data / "directory.db").write_bytes(b"")
        case "no database":
            (data / "directory.db").write_bytes(b"nonsense" * 999)
        case "damaged":
            overwrite_pages(data / "directory.db")
    at = ("--data", str(data))
    refused = run("account", "add", "alice@example.test", "--generate", *at)
    assert refused.returncode == Exit.CONFIG
    assert "posthouse domain add" in refused.stderr
    assert run("domain", "add", "example.test", *at).returncode == Exit.USAGE  # it asks
    with alone(DataPaths(data)):
        assert run("domain", "add", "example.test", "--yes", *at).returncode == Exit.UNAVAILABLE
    made = run("domain", "add", "example.test", "--yes", *at)
    assert made.returncode == 0
    assert "Keep the server stopped until all accounts are there" in made.stderr
    assert (data / "directory.db.aside").exists() == (damage != "gone")
    for name in ("alice", "bob"):
        words = ("account", "add", f"{name}@example.test", "--password-stdin", *at)
        assert run(*words, stdin=PASSWORD + "\n").returncode == 0
    lost = {each["where"].split()[1] for each in findings(data) if each["kind"] == "unknown account"}
    assert len(lost) == 2
    _, _, err = fsck(data, "--adopt", "alice@example.test", "--yes")
    assert "which account is meant" in err
    assert all(number in err for number in lost)
    for number in lost:
        assert fsck(data, "--adopt", "alice@example.test", "--account", number, "--yes")[0] == 0
    assert findings(data) == []
    with serving(tmp_path, data) as server:
        assert server.send().startswith("250")
        assert len(subjects(server)) == 1
        stop(server)
    listed = run("account", "list", *at).stdout.splitlines()
    assert listed[0].split("\t")[:2] == ["alice@example.test", "5"]


@pytest.mark.parametrize("part", ["name", "older directory", "another's directory", "packs", "pack"])
def test_what_is_accepted_is_served(part: str, data: Path, tmp_path: Path) -> None:
    match part:
        case "name":
            forget(data, "store.json")
        case "older directory":
            sql(data / "directory.db", "UPDATE store SET generation = 0")
        case "another's directory":
            sql(data / "directory.db", "UPDATE store SET id = randomblob(16)")
        case "packs":
            forget(data, "packs")
        case "pack":
            forget(data, "packs/1.pack")
    before = card(data) if part != "name" else {}
    assert fsck(data, "--accept")[0] == Exit.USAGE  # it asks
    code, _, err = fsck(data, "--accept", "--yes")
    assert code == 0, err
    assert "All parts are there" in fsck(data, "--accept")[2]
    assert not before or card(data)["store"] == before["store"]
    assert card(data)["missing_packs"] == ([1] if part.startswith("pack") else [])
    assert card(data)["salvage_due"] == (part == "name")  # it had said whether posthouse.db is the latest
    if part == "name":
        assert fsck(data, "--salvage")[0] == 0
    with serving(tmp_path, data) as server:
        assert server.send().startswith("250")
        if not part.startswith("pack"):
            assert len(subjects(server)) == len(ALICE) + 1
        stop(server)
    with serving(tmp_path, data) as server:
        assert server.send().startswith("250")


def test_one_bad_sector_keeps_no_other_mail_from_being_filed(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = min((data / "packs").iterdir())
    with pack.open("ab") as file:
        file.write(b"x" * 20_000)
    forget(data, "posthouse.db*")
    with monkeypatch.context() as patch:
        spoil(patch, pack.name, range(12288, 12800))
        code, _, err = fsck(data, "--salvage", "--yes")
        assert code == Exit.FAILED
        assert f"packs/{pack.name}: 1 places were passed over, the first at 12288: Input/output error" in err
        assert "run this again" in err
        assert "Filed 5 messages" in err
        assert begin_refused(data) == ""
        assert "unreadable pack" in {each["kind"] for each in findings(data)}
    assert fsck(data, "--salvage", "--yes")[0] == 0
    assert findings(data) == []


def test_what_the_disk_gives_no_more_when_it_is_to_be_filed_is_passed_over(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was whole a moment ago."""
    forget(data, "posthouse.db*")
    calls = itertools.count(1)

    def failing(body: Iterable[bytes]) -> tuple[bool, bool]:
        if next(calls) == 2:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return scan_line_ends(body)

    with monkeypatch.context() as patch:
        patch.setattr(recovery, "scan_line_ends", failing)
        code, _, err = fsck(data, "--salvage", "--yes")
    assert code == Exit.FAILED
    assert "1 places were passed over" in err
    assert "Filed 4 messages" in err
    assert "Filed 1 messages" in fsck(data, "--salvage", "--yes")[2]


def begin_refused(data: Path) -> str:
    try:
        begin(DataPaths(data), open_log("error"))
    except FolderError as error:
        return f"{error.text}; {error.fix}"
    return ""


def test_an_older_database_is_served_once_the_mail_that_it_does_not_know_is_filed(data: Path, tmp_path: Path) -> None:
    older = tmp_path / "older.db"
    shutil.copy(data / "posthouse.db", older)
    with serving(tmp_path, data) as server:
        for _ in range(3):
            assert server.send().startswith("250")
        stop(server)
    forget(data, "posthouse.db*")
    shutil.copy(older, data / "posthouse.db")
    code, _, err = fsck(data, "--accept", "--yes")
    assert code == 0
    assert "The server starts after: posthouse fsck --salvage" in err
    assert "refused at start" in {each["kind"] for each in findings(data)}
    for _ in range(2):
        assert "posthouse fsck --salvage" in begin_refused(data)
        _, _, err = fsck(data, "--accept", "--yes")  # it was accepted already, and that does not change what is due
        assert "The server starts after: posthouse fsck --salvage" in err
    config, _ = configure(tmp_path, data)
    command = [sys.executable, "-m", "posthouse", "serve", "-c", str(config)]
    served = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert served.returncode == Exit.CONFIG
    assert "posthouse fsck --salvage" in served.stderr
    code, out, _ = fsck(data, "--salvage", "--yes")
    assert (code, out) == (0, "alice@example.test\t3\n")
    with serving(tmp_path, data) as server:
        assert subjects(server) == ALICE
        stop(server)
    assert findings(data) == []
    assert "nothing to file" in fsck(data, "--salvage")[2]


def make_older(data: Path) -> None:
    sql(data / "posthouse.db", "UPDATE store SET generation = 1")


def make_foreign(data: Path) -> None:
    sql(data / "posthouse.db", "UPDATE store SET id = randomblob(16)")


def make_unnamed(data: Path) -> None:
    sql(data / "posthouse.db", "DELETE FROM store")


def lose_card(data: Path) -> None:
    (data / "store.json").unlink()


@pytest.mark.parametrize("change", [make_older, make_foreign, make_unnamed, lose_card])
def test_killed_at_each_step_an_accept_is_repeated_and_salvage_stays_due(
    change: Callable[[Path], None], data: Path, tmp_path: Path
) -> None:
    steps = ("write_card", "renew_numbers", "set_identity")
    for last in range(1, 5):
        copy = shutil.copytree(data, tmp_path / str(last))
        change(copy)
        before = sorted(validities(copy))
        with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
            fail_at(last, KeyboardInterrupt(), patch, making, steps)
            making.accept(DataPaths(copy), lambda _: None)
        assert begin_refused(copy)
        assert making.accept(DataPaths(copy), lambda _: None).salvage_due
        assert "posthouse fsck --salvage" in begin_refused(copy)
        assert min(validities(copy)) > before[-1]
        assert fsck(copy, "--salvage", "--yes")[0] == 0
        assert begin_refused(copy) == ""


def validities(data: Path) -> list[int]:
    with closing(apsw.Connection(str(data / "posthouse.db"))) as connection:
        return [number for (number,) in connection.execute("SELECT uidvalidity FROM mailbox")]


def test_killed_at_each_step_a_new_database_is_begun_again_and_the_mail_filed(data: Path, tmp_path: Path) -> None:
    steps = ("claim_identity", "write_card", "put_aside", "create_replacement")
    for last in range(1, 5):
        copy = shutil.copytree(data, tmp_path / str(last))
        (copy / "posthouse.db").write_bytes(b"nonsense" * 999)
        with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
            fail_at(last, KeyboardInterrupt(), patch, making, steps)
            making.renew_mail(DataPaths(copy), [1])
        assert begin_refused(copy)
        making.renew_mail(DataPaths(copy), [1])
        assert "posthouse fsck --salvage" in begin_refused(copy)  # as when it is killed before it has filed all
        assert fsck(copy, "--salvage", "--yes")[0] == 0
        assert begin_refused(copy) == ""
        assert (copy / "posthouse.db.aside").read_bytes() == b"nonsense" * 999


def test_a_pack_that_came_back_is_looked_for_again(data: Path) -> None:
    pack, away = data / "packs" / "1.pack", data.parent / "1.pack"
    pack.rename(away)
    assert fsck(data, "--accept", "--yes")[0] == 0
    begin(DataPaths(data), open_log("error"))
    assert card(data)["missing_packs"] == [1]
    shutil.copy(away, pack)
    pack.write_bytes(make_pack_head(b"another store 16", 1))  # another's is not the one that was lost
    begin(DataPaths(data), open_log("error"))
    assert card(data)["missing_packs"] == [1]
    shutil.copy(away, pack)
    begin(DataPaths(data), open_log("error"))
    assert card(data)["missing_packs"] == []
    pack.unlink()
    with pytest.raises(FolderError, match=r"1\.pack"):
        begin(DataPaths(data), open_log("error"))


def test_what_changes_the_folder_is_not_done_beside_a_server(data: Path, tmp_path: Path) -> None:
    with serving(tmp_path, data):
        for words in (["--salvage"], ["--accept"]):
            code, _, err = fsck(data, *words, "--yes")
            assert code == Exit.UNAVAILABLE
            assert "Stop the server first" in err
        assert fsck(data)[0] == 0


def test_whose_a_record_is() -> None:
    homes = Homes({"alice@example.test": 1, "bob@example.test": 2}, 9)
    alice = b"Return-Path: <x@y.test>\r\nDelivered-To: Alice@example.test\r\nReceived: here\r\n"
    bob = b"Return-Path: <>\r\nDelivered-To: bob@example.test\r\n"
    carol = b"Return-Path: <>\r\nDelivered-To: carol@example.test\r\n"
    assert homes.claims(alice) == Claims((Owner(1, len(alice), len(alice)),))
    both = bob + alice
    assert homes.claims(both) == Claims((Owner(2, len(both), len(bob)), Owner(1, len(alice), len(alice))))
    assert homes.claims(carol + carol + alice) == Claims((), ("carol@example.test",))  # nobody else reads her mail
    assert homes.claims(b"") == Claims((Owner(9, 0, 0),))
    added = b"Received: by a courier\r\nSubject: x\r\n"
    assert homes.claims(added) == Claims((Owner(9, len(added), len(added)),))
    assert Homes(homes.accounts, None).claims(added) == Claims()
    assert Homes(homes.accounts, None).claims(added + alice) == Claims((Owner(1, len(alice), len(alice)),))


def test_mail_of_an_account_that_is_not_there_yet_waits_for_it(data: Path) -> None:
    at = ("--data", str(data))
    forget(data, "posthouse.db*", "directory.db*")
    assert run("domain", "add", "example.test", "--yes", *at).returncode == 0
    assert run("account", "add", "postmaster@example.test", "--generate", *at).returncode == 0
    code, out, err = fsck(data, "--salvage", "--yes")
    assert code == 0
    assert out == ""
    assert "alice@example.test (3)" in err
    assert "bob@example.test (2)" in err
    assert "account add" in err
    for name in ("alice", "bob"):
        assert run("account", "add", f"{name}@example.test", "--generate", *at).returncode == 0
    code, out, err = fsck(data, "--salvage")
    assert code == Exit.USAGE  # it asks
    assert out == ""
    code, out, err = fsck(data, "--salvage", "--yes")
    assert sorted(out.splitlines()) == ["alice@example.test\t3", "bob@example.test\t2"], err


async def _append_unnamed(data: Path) -> None:
    store = SqliteMailstore.open(data, bus=LocalBus(), create=False)
    await store.deliver(
        delivery_id(), Bytes(b"Subject: sent\r\n\r\nhello\r\n"), [Target(1, b"")], NOW, all_or_nothing=True
    )
    await store.close()


def test_mail_that_does_not_say_whose_it_is_waits_for_a_name(data: Path) -> None:
    asyncio.run(_append_unnamed(data))
    forget(data, "posthouse.db*")
    code, _, err = fsck(data, "--salvage", "--yes")
    assert code == 0, err
    assert "1 messages that do not say whose they are" in err
    assert "--to ADDRESS" in err
    code, out, err = fsck(data, "--salvage", "--to", "bob@example.test", "--yes")
    assert out == "bob@example.test\t1\n", err
    assert "Left where they are" not in err


@pytest.mark.parametrize(
    ("part", "said", "code"),
    [
        ("no card", "store.json is gone", Exit.FAILED),
        ("older mail", "posthouse.db in", Exit.FAILED),
        ("another's mail", "posthouse.db belongs to another mail store", Exit.FAILED),
        ("no directory", "directory.db is gone", Exit.FAILED),
        ("empty directory", "directory.db is empty", Exit.FAILED),
        ("older directory", "directory.db in", Exit.FAILED),
        ("newer directory", "directory.db is of a newer version", Exit.CONFIG),
        ("newer mail", "posthouse.db is of a newer version", Exit.CONFIG),
        ("empty mail", "posthouse.db is empty", Exit.CONFIG),
        ("no packs", "packs is gone", Exit.CONFIG),
    ],
)
def test_a_check_tells_what_no_server_starts_on(part: str, said: str, code: Exit, data: Path) -> None:
    match part.split():
        case ["no", name]:
            forget(data, {"card": "store.json", "directory": "directory.db*", "packs": "packs"}[name])
        case ["empty", name]:
            (data / _DATABASES[name]).write_bytes(b"")
        case ["older", name]:
            sql(data / _DATABASES[name], "UPDATE store SET generation = 1")
        case ["another's", name]:
            sql(data / _DATABASES[name], "UPDATE store SET id = randomblob(16)")
        case ["newer", name]:
            sql(data / _DATABASES[name], "PRAGMA user_version = 99")
    found, out, err = fsck(data)
    assert found == code, out + err
    assert said in (out if code == Exit.FAILED else err)
    assert "all is well" not in err
    assert "[Errno" not in out + err
    assert "no such" not in out + err
    assert fsck(data, "--repair")[0] != 0
    if part == "no packs":
        _, _, err = fsck(data, "--salvage", "--yes")
        assert "packs is gone" in err


_DATABASES = {"mail": "posthouse.db", "directory": "directory.db"}


def test_a_folder_of_an_earlier_version_is_to_be_started_once(tmp_path: Path) -> None:
    data = first_version(tmp_path)
    at = ("--data", str(data))
    for command in ("fsck", "fsck --repair", "fsck --salvage --yes", "mail trace alice@example.test", "account list"):
        done = run(*command.split(), *at)
        assert done.returncode == Exit.CONFIG, command
        assert "posthouse.db is of an earlier version" in done.stderr
        assert "Start the server once" in done.stderr


def test_an_option_without_the_one_that_it_belongs_to_is_told(data: Path) -> None:
    assert fsck(data, "--account", "3")[0] == Exit.USAGE
    assert fsck(data, "--to", "bob@example.test")[0] == Exit.USAGE


def test_a_posthouse_db_of_another_store_than_the_packs_is_not_accepted(data: Path) -> None:
    pack = data / "packs" / "2.pack"
    pack.write_bytes(make_pack_head(bytes.fromhex(str(card(data)["store"])), 2))
    sql(data / "posthouse.db", "UPDATE store SET id = randomblob(16)")
    before = (data / "store.json").read_bytes()
    code, _, err = fsck(data, "--accept", "--yes")
    assert code == Exit.CONFIG
    assert "knows none of the messages" in err
    assert "fsck --accept" not in err
    assert "fsck --salvage" in err
    assert (data / "store.json").read_bytes() == before


def test_a_damaged_name_is_complained_of_once(data: Path) -> None:
    (data / "store.json").write_bytes(b"{}")
    _, _, err = fsck(data, "--accept", "--yes")
    assert "store.json is damaged" in err
    assert "store.json is gone" not in err


def test_a_folder_that_is_not_there_is_told_by_the_option_that_named_it(tmp_path: Path) -> None:
    config, _ = configure(tmp_path, tmp_path / "none")
    for words, said in ((("-c", str(config)), str(config)), (("--data", str(tmp_path / "none")), "Is that the name")):
        done = run("account", "list", *words)
        assert done.returncode == Exit.UNAVAILABLE
        assert said in done.stderr
        assert "-c FILE" not in done.stderr
