"""Data folders, and real servers on them."""

import contextlib
import io
import itertools
import json
import poplib
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import apsw
import pytest

from posthouse.app.cli import main
from tests.app.commands.test_serve import Server, answers, until
from tests.outside.program import PASSWORD, free_offset

UPGRADE = Path(__file__).parent.parent / "upgrade"
ALICE = ["letter 1", "letter 2"]


class Done(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def run(*words: str, stdin: str = "") -> Done:
    """A command, in this process: starting Python takes longer than most of them."""
    out, err = io.StringIO(), io.StringIO()
    before, sys.stdin = sys.stdin, io.StringIO(stdin)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(words)
    finally:
        sys.stdin = before
    return Done(code, out.getvalue(), err.getvalue())


def configure(folder: Path, data: Path) -> tuple[Path, int]:
    offset = free_offset()
    config = folder / "posthouse.toml"
    config.write_text(
        f'[server]\nhostname = "mail.example.test"\ndata = "{data}"\nuser = ""\nworkers = 1\ndrain = "2s"\n'
        f'[smtp]\nlisten = ["127.0.0.1:{25 + offset}"]\n'
        f'[pop3]\nlisten = ["127.0.0.1:{110 + offset}"]\nlisten_tls = []\n'
        f"[submission]\nlisten = []\nlisten_tls = []\n[imap]\nlisten = []\nlisten_tls = []\n"
        "[login]\nplain_on_loopback = true\n"
    )
    return config, offset


@contextmanager
def serving(folder: Path, data: Path) -> Iterator[Server]:
    """A server on a folder that is there; killed at the end unless it was stopped."""
    config, offset = configure(folder, data)
    log = folder / "log"
    with log.open("wb") as out:
        command = [sys.executable, "-m", "posthouse", "serve", "-c", str(config)]
        process = subprocess.Popen(command, stdout=out, stderr=out)
    server = Server(process, config, offset, log)
    try:
        until(lambda: answers(server) or process.poll() is not None, log)
        assert process.poll() is None, log.read_text()
        yield server
    finally:
        process.kill()
        process.wait()


def stop(server: Server) -> None:
    server.process.terminate()
    assert server.process.wait(15) == 0, server.log.read_text()


def subjects(server: Server, name: str = "alice") -> list[str]:
    pop3 = poplib.POP3("127.0.0.1", server.port(110), timeout=20)
    try:
        pop3.user(f"{name}@example.test")
        pop3.pass_(PASSWORD)
        found = []
        for number in range(1, pop3.stat()[0] + 1):
            lines = pop3.retr(number)[1]
            found += [line[9:].decode() for line in lines if line.startswith(b"Subject: ")]
        return found
    finally:
        pop3.quit()


def first_version(folder: Path) -> Path:
    data = folder / "data"
    data.mkdir(mode=0o700)
    with tarfile.open(UPGRADE / "0.1.0.tar.xz") as archive:
        archive.extractall(data, filter="data")
    return data


def sql(path: Path, statement: str) -> None:
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute(statement).fetchall()


def commit_to_log(path: Path, statement: str) -> bytes:
    """Commit as a server does that is killed then: it stands only in the log, whose octets these are."""
    connection = apsw.Connection(str(path))
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    connection.pragma("wal_autocheckpoint", 0)
    connection.execute(statement).fetchall()
    connection.close()
    return path.with_name(path.name + "-wal").read_bytes()


def card(data: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((data / "store.json").read_text())
    return found


def fail_at(
    step: int, failure: BaseException, patch: pytest.MonkeyPatch, module: ModuleType, steps: Sequence[str]
) -> None:
    """Let the step of that number fail, and all after it. `steps`: the functions of the module that count as one."""
    count = itertools.count(1)

    def failing(work: Callable[..., object]) -> Callable[..., object]:
        def run_or_fail(*values: object, **options: object) -> object:
            if next(count) >= step:
                raise failure
            return work(*values, **options)

        return run_or_fail

    for name in steps:
        patch.setattr(module, name, failing(getattr(module, name)))
