"""posthouse identity and posthouse account limits."""

import json
from pathlib import Path

import pytest

from posthouse.app.cli import main
from posthouse.app.errors import Exit


class Shell:
    """Runs commands on one data folder."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._folder = folder
        self._capsys = capsys

    def __call__(self, *words: str, code: int = Exit.OK) -> tuple[str, str]:
        """(standard output, standard error)."""
        assert main([*words, "--data", str(self._folder)]) == code
        captured = self._capsys.readouterr()
        return captured.out, captured.err

    def json(self, *words: str) -> dict[str, object]:
        """The document."""
        found = json.loads(self(*words, "--json")[0])
        assert isinstance(found, dict)
        return found


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    monkeypatch.setenv("POSTHOUSE_SERVER__HOSTNAME", "mail.example.org")
    made = Shell(tmp_path / "data", capsys)
    made("domain", "add", "example.org", "--yes")
    made("account", "add", "alice@example.org", "--generate")
    return made


def test_grants(shell: Shell) -> None:
    assert "Nothing was granted" in "".join(shell("identity", "list", "alice@example.org"))
    _, said = shell("identity", "add", "alice@example.org", "sales@example.org")
    assert said == "alice@example.org may send as sales@example.org.\n"
    _, said = shell("identity", "add", "alice@example.org", "Sales@EXAMPLE.org")
    assert "already" in said
    shell("identity", "add", "alice@example.org", "*@münchen.example")
    listed = shell.json("identity", "list", "alice@example.org")
    assert listed["identities"] == ["sales@example.org", "*@münchen.example"]
    assert "*@münchen.example" in shell("identity", "list", "alice@example.org")[0]
    shell("identity", "remove", "alice@example.org", "*@xn--mnchen-3ya.example")
    assert shell.json("identity", "list", "alice@example.org")["identities"] == ["sales@example.org"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["add", "alcie@example.org", "x@example.org"], "did you mean alice@example.org"),
        (["add", "alice@example.org", "nonsense"], "lacks a domain"),
        (["remove", "alice@example.org", "x@example.org"], "was not granted"),
        (["list", "bob@example.org"], "there is no account bob@example.org"),
    ],
)
def test_mistakes_are_told_in_a_sentence(shell: Shell, words: list[str], said: str) -> None:
    out, err = shell("identity", *words, code=Exit.FAILED)
    assert out == "" and err.startswith("error: ") and said in err


def test_limits(shell: Shell) -> None:
    limits = ("account", "limits", "alice@example.org")
    unset = {"version": 1, "address": "alice@example.org", "messages": None, "recipients": None, "sent_copy": None}
    assert shell.json(*limits) == unset
    shell(*limits, "--messages", "500", "--recipients", "0", "--sent-copy")
    assert shell.json(*limits) == {**unset, "messages": 500, "recipients": 0, "sent_copy": True}
    shell(*limits, "--recipients", "default", "--no-sent-copy")
    assert shell.json(*limits) == {**unset, "messages": 500, "sent_copy": False}
    _, said = shell(*limits)
    assert "at most 500 messages" in said and "not kept" in said
    assert shell.json(*limits, "--messages", "Default")["messages"] is None
    _, said = shell(*limits, "--recipients", "none")
    assert "at most 1000 messages (as [submission] says)" in said and "any number of recipients" in said
    assert shell.json(*limits)["recipients"] == "none"


@pytest.mark.parametrize("number", ["many", "-1", "1.5", "1000000000000", ""])
def test_a_limit_is_a_number(shell: Shell, number: str) -> None:
    _, err = shell("account", "limits", "alice@example.org", f"--messages={number}", code=Exit.USAGE)
    assert err.startswith("error: ")
    assert shell.json("account", "limits", "alice@example.org")["messages"] is None
