"""Signals while a server starts: nothing is left behind, no traceback is shown."""

import os
import pty
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from posthouse.app.process.interruption import InterruptedByError, interruptible, uninterrupted
from posthouse.app.process.terminal import Terminal
from tests.app.commands.test_serve import until
from tests.app.folders import configure, run
from tests.outside.program import process_tree

# Stops at a step of the start, says so, and waits for the signal.
_STOPPING_AT = """
import os, signal, sys, time
from posthouse.app.commands import {module}
def stop(*values, **options):
    {early}
    os.write(1, b"here\\n")
    time.sleep(600)
{module}.{step} = stop
from posthouse.__main__ import main
sys.argv[0] = "posthouse"
sys.exit(main())
"""


def stopped_at(
    step: str, words: Sequence[str], number: int, folder: Path, *, module: str = "serve", early: str = ""
) -> tuple[int, str]:
    """Exit code and standard error of a command that gets a signal at that step."""
    program = _STOPPING_AT.format(module=module, step=step, early=early)
    environment = {**os.environ, "TMPDIR": str(folder), "NO_COLOR": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", program, *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line == "here\n", process.communicate()
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert "Traceback" not in errors
    return process.returncode, errors


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short enough for a socket's path."""
    with tempfile.TemporaryDirectory(prefix="p") as name:
        yield Path(name)


@pytest.mark.parametrize(
    ("number", "code", "told"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGHUP, 129, "interrupted"), (15, 0, "")]
)
@pytest.mark.parametrize("step", ["require_store", "self_signed", "prepare", "Parent"])
def test_a_start_that_is_interrupted(step: str, number: int, code: int, told: str, folder: Path) -> None:
    config, _ = configure(folder, folder / "data")
    config.write_text(config.read_text() + f'[lmtp]\nlisten = ["unix:{folder}/lmtp"]\n')
    assert run("domain", "add", "example.test", "--yes", "-c", str(config)).returncode == 0
    (folder / "tmp").mkdir()
    early = f"assert os.path.exists({str(folder / 'lmtp')!r})"
    words = ("serve", "-c", str(config))
    ended, errors = stopped_at(step, words, number, folder / "tmp", early=early)
    assert (ended, "interrupted" in errors) == (code, bool(told))
    assert not (folder / "lmtp").exists()
    assert list((folder / "tmp").iterdir()) == []
    assert not list((folder / "data").rglob(".*"))
    assert run("fsck", "-c", str(config)).returncode == 0  # no lock is held, nothing is half done


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGTERM])
def test_dev_that_is_interrupted(number: int, folder: Path) -> None:
    """Before its loop runs; from then on the signal waits for a start of milliseconds, and ends it as it ends all."""
    ended, _ = stopped_at("explain_disk_errors", ("dev", "--free-ports"), number, folder, module="dev")
    assert ended in (0, 128 + number)
    assert list(folder.iterdir()) == []


def test_one_signal_is_enough() -> None:
    undone: list[int] = []
    with pytest.raises(InterruptedByError), interruptible() as undo:
        undo.callback(undone.append, 2)
        undo.callback(os.kill, os.getpid(), signal.SIGHUP)  # in the middle of the end
        undo.callback(undone.append, 1)
        os.kill(os.getpid(), signal.SIGINT)
        undone.append(0)
    assert undone == [1, 2]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_is_made_is_noted() -> None:
    """Also beside other threads, which a signal blocked in this one would reach."""
    made: list[int] = []
    ended = threading.Event()
    beside = threading.Thread(target=ended.wait)
    beside.start()
    with pytest.raises(InterruptedByError), interruptible():
        with uninterrupted():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.05)  # for the other thread to take it, where it can
            made.append(1)
        made.append(2)
    ended.set()
    beside.join()
    assert made == [1]


def test_ctrl_c_while_modules_are_loaded() -> None:
    program = (
        "import sys, types\n"
        "class Finder:\n"
        "    @staticmethod\n"
        "    def find_spec(name, path=None, target=None):\n"
        "        if name == 'cyclopts':\n"
        "            import os, signal\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder)\n"
        "from posthouse.__main__ import main\n"
        "sys.exit(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", program, "version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_a_terminal_that_is_closed() -> None:
    ours, theirs = pty.openpty()
    terminal = Terminal()
    terminal._descriptors = [theirs]
    assert not terminal.is_gone()
    os.close(ours)
    assert terminal.is_gone()
    os.close(theirs)
    terminal._descriptors = []
    assert not terminal.is_gone()  # there was none


def test_a_server_ends_with_its_terminal(folder: Path) -> None:
    config, _ = configure(folder, folder / "data")
    assert run("domain", "add", "example.test", "--yes", "-c", str(config)).returncode == 0
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-m", "posthouse", "serve", "-c", str(config)])
    said = b""
    while b"ready, serving" not in said:
        said += os.read(terminal, 4096)
    family = process_tree(pid)
    assert len(family) == 2
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    until(lambda: not any(Path(f"/proc/{each}").exists() for each in family), config)
