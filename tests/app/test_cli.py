"""The command line as a whole: help, mistyped words, exit codes, errors without tracebacks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from posthouse.app import cli
from posthouse.app.cli import build_app, main
from posthouse.app.config.loading import load
from posthouse.app.errors import CommandError, Exit


def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "posthouse", *arguments],
        capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **environment},
    )  # fmt: skip


def test_help_names_every_command_and_loads_none_of_them() -> None:
    program = (
        "import sys; from posthouse.app.cli import main; code = main(['--help']); "
        "late = ('posthouse.app.commands.', 'asyncio', 'apsw', 'ssl'); "
        "print([name for name in sys.modules if name.startswith(late)]); "
        "sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    for word in ("dev", "serve", "domain", "account", "alias", "config", "fsck", "version", "posthouse dev"):
        assert word in done.stdout
    assert done.stdout.endswith("[]\n")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_standard_streams_that_are_closed(closed: str, tmp_path: Path) -> None:
    """No file of the program takes the number of one, and nothing fails."""
    program = (
        "import os, sys; from posthouse.app.cli import main; code = main(['version']); "
        "print('', end='', flush=True); print('', end='', file=sys.stderr, flush=True); "
        "sys.exit(code or os.open('/dev/null', os.O_RDONLY) < 3)"
    )
    command = f"'{sys.executable}' -c \"{program}\" {closed}"
    assert subprocess.run(command, shell=True, timeout=60, check=False, stdout=subprocess.DEVNULL).returncode == 0


@pytest.mark.parametrize("command", [command for command, _, _ in cli._VERBS])
def test_every_command_has_help_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), "--help"]) == Exit.OK
    out = capsys.readouterr().out
    assert f"Usage: posthouse {command}" in out
    assert "Example: " in out


@pytest.mark.parametrize("command", [command for command, _, _ in cli._VERBS])
def test_examples_are_valid(command: str) -> None:
    """Each example parses: its command, its options, its arguments."""
    example = next(example for name, _, example in cli._VERBS if name == command)
    words = example.split("|")[-1].split(">")[0].split()
    assert words[0] == "posthouse"
    build_app().parse_args(words[1:], exit_on_error=False, print_error=False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["conifg"], 'did you mean "config"'),
        (["config", "shwo"], 'did you mean "show"'),
        (["config", "show", "--jsno"], "did you mean --json"),
        (["config", "show", "extra"], 'unexpected argument "extra"'),
        (["config", "check", "-c"], "requires an argument"),
        (["account", "add"], "requires an argument"),
        (["dev", "--port-offset", "many"], "many"),
    ],
)
def test_usage_errors(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == Exit.USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    first, second = captured.err.splitlines()
    assert first.startswith("error: ")
    assert said.lower() in first.lower()
    assert second.strip().startswith("See: posthouse")


def test_the_program_itself() -> None:
    done = run("version", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["posthouse"] == "0.1.0"
    done = run("nonsense", NO_COLOR="1")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")


def test_config_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "posthouse.toml"
    file.write_text("[smtp]\nmax_size = 7.5\n")
    assert main(["config", "check", "-c", str(file)]) == Exit.CONFIG
    assert capsys.readouterr().err.startswith(f"{file}:2:12: error: smtp.max_size: expected a size")
    assert main(["config", "check", "-c", str(file), "--json"]) == Exit.CONFIG
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert problem["place"] == {"line": 2, "column": 12}
    file.write_text('[server]\nhostname = "mail.example.org"\nuser = ""\n')
    assert main(["config", "check", "-c", str(file), "--data", str(tmp_path / "none")]) == Exit.OK
    assert main(["config", "check", "-c", str(file), "--data", str(tmp_path / "none"), "--json"]) == Exit.OK


def test_config_show_is_a_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "posthouse.toml"
    file.write_text('[smtp]\nmax_size = "7MB"\n[tls]\nkey_password = "hunter2"\n')
    assert main(["config", "show", "-c", str(file), "--data", "/srv/mail"]) == Exit.OK
    shown = capsys.readouterr().out
    assert f'max_size = "7MB"  # {file}:2: ' in shown
    assert 'data = "/srv/mail"  # --data: ' in shown
    assert "hunter2" not in shown
    again = tmp_path / "again.toml"
    again.write_text(shown)
    assert load(again, {}).settings.server.data == Path("/srv/mail")


def test_config_show_for_machines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTHOUSE_SERVER__WORKERS", "3")
    assert main(["config", "show", "--json"]) == Exit.OK
    settings = json.loads(capsys.readouterr().out)["settings"]
    assert settings["server.workers"] == {"value": 3, "origin": "POSTHOUSE_SERVER__WORKERS"}


@pytest.mark.parametrize(
    ("failure", "code", "said"),
    [
        (CommandError("no", fix="do", code=Exit.TRY_LATER), 75, "error: no\n       do\n"),
        (PermissionError(13, "Permission denied", "/x"), 77, "error: /x: permission denied\n"),
        (FileNotFoundError(2, "No such file", "/x"), 1, "error: /x: No such file\n"),
        (ValueError("odd"), 1, "error: something unexpected happened: ValueError: odd\n"),
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
    ],
)
def test_failures_are_told_in_a_sentence(
    failure: BaseException, code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(cli, "build_app", lambda: fail)
    monkeypatch.delenv("POSTHOUSE_TRACEBACK", raising=False)
    assert main(["x"]) == code
    captured = capsys.readouterr()
    assert captured.err.startswith(said)
    assert "Traceback" not in captured.err


def test_a_reader_who_has_had_enough_is_no_error() -> None:
    program = f"{sys.executable} -m posthouse config show --json | head -c 1 >/dev/null; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("0\n", "")
