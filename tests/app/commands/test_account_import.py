"""posthouse account import as a program: its progress, and what an interruption leaves."""

import os
import pty
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import apsw
import pytest

HASH = "{BLF-CRYPT}$2b$04$X.WfF3HG3aISfb/NWK.wn.6.fAkBwUuFXwN.s5XNhWst8j7.ASb7y"
# The program, with lines of progress as soon as there is any.
_IMPATIENT = """
import sys
from posthouse.app import cli, output
output.LINE_SECONDS = 0.0
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    subprocess.run([*_words("domain", "add", "a.test", "--yes"), "--data", str(data)], check=True, capture_output=True)
    return data


def _words(*arguments: str) -> list[str]:
    return [sys.executable, "-c", _IMPATIENT, *arguments]


def importing(data: Path, table: Path) -> list[str]:
    return _words("account", "import", str(table), "--data", str(data))


def plain(folder: Path, count: int) -> Path:
    """A file whose rows each cost some 30 ms."""
    table = folder / "plain.csv"
    table.write_text("".join(f"user{number}@a.test,secret{number},\n" for number in range(count)))
    return table


def accounts(data: Path) -> int:
    with closing(apsw.Connection(str(data / "directory.db"), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
        connection.set_busy_timeout(30_000)  # the import may hold it at this moment
        return int(connection.execute("SELECT count(*) FROM accounts").get)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_import_keeps_what_it_did_and_says_so(
    data: Path, tmp_path: Path, number: signal.Signals
) -> None:
    table = plain(tmp_path, 120)
    with subprocess.Popen(importing(data, table), stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        first = running.stderr.readline()
        assert first == "Hashing passwords: 1 of 120\n"
        running.send_signal(number)
        last = running.stderr.read().splitlines()[-2:]
    added = accounts(data)
    assert running.returncode == 130
    assert 0 < added < 120
    assert last == [
        f"Added {added} accounts, 0 rows wrong.",
        f"Interrupted: {120 - added} rows are left. Import the same file again to go on.",
    ]
    again = subprocess.run(importing(data, table), capture_output=True, text=True, check=False)
    assert again.returncode == 0
    assert again.stderr.splitlines()[-1] == f"Added {120 - added} accounts, 0 rows wrong."
    assert f"{added} accounts are there already, and stay as they are: line" in again.stderr
    assert accounts(data) == 120


def test_a_killed_import_has_added_whole_thousands_and_goes_on(data: Path, tmp_path: Path) -> None:
    table = tmp_path / "hashed.csv"
    table.write_text("".join(f"user{number}@a.test,{HASH},\n" for number in range(8_000)))
    with subprocess.Popen(importing(data, table), stderr=subprocess.DEVNULL) as running:
        while accounts(data) == 0 and running.poll() is None:
            time.sleep(0.001)
        running.kill()
    added = accounts(data)
    assert added >= 1_000 and added % 1_000 == 0
    again = subprocess.run(importing(data, table), capture_output=True, text=True, check=False)
    assert again.returncode == 0
    assert accounts(data) == 8_000


def test_progress_on_a_terminal_is_a_bar(data: Path, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    with subprocess.Popen(importing(data, plain(tmp_path, 30)), stderr=theirs, env=environment) as running:
        os.close(theirs)
        shown = b""
        while True:
            try:
                shown += os.read(ours, 65_536)
            except OSError:  # the other end is closed
                break
    os.close(ours)
    assert running.returncode == 0
    assert b"Hashing passwords" in shown and b"\x1b[" in shown
    assert shown.endswith(b"Added 30 accounts, 0 rows wrong.\r\n")


def test_repeated_rows_are_told_in_one_line(data: Path, tmp_path: Path) -> None:
    table = tmp_path / "repeated.csv"
    table.write_text("address,password\n" + f"a@a.test,{HASH}\n" * 5 + f"b@a.test,{HASH}\n")
    done = subprocess.run(importing(data, table), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert [line for line in done.stderr.splitlines() if "Hashing" not in line] == [
        f"{table}:3: a@a.test stands in the lines 2 to 6; line 2 counts",
        "Added 2 accounts, 4 rows wrong.",
    ]
