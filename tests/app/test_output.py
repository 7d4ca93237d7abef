"""What commands write, and how they look without a terminal."""

import json

import pytest

from posthouse.app import output


def test_an_error_is_one_line_and_its_fix(capsys: pytest.CaptureFixture[str]) -> None:
    output.error("bad\nthing \x1b[2J", "do this")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "error: bad\\nthing \\x1b[2J\n       do this\n"


def test_a_listing_for_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    output.listing(["address", "quota"], [["a@example.org", None], ["b@example.org", "1GB"]], "none")
    assert capsys.readouterr().out == "a@example.org\t\nb@example.org\t1GB\n"


def test_a_listing_for_people(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    output.listing(["address", "quota"], [["alice@example.org", None], ["b@example.org", "1GB"]], "none")
    assert capsys.readouterr().out == "address            quota\nalice@example.org\nb@example.org      1GB\n"


def test_a_listing_on_a_narrow_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    rows = [["1", "alice@example.org", 3, "451 4.4.1 nobody answers at this address"], ["2", "b" * 50, 0, ""]]
    output.listing(["id", "to", "tries", "reply"], rows, "none", below=("to", "reply"))
    assert capsys.readouterr().out.splitlines() == [
        "id  tries",
        "1   3",
        "    to: alice@example.org",
        "    reply: 451 4.4.1 nobody answers at",
        "      this address",
        "2   0",
        "    to: " + "b" * 32,
        "      " + "b" * 18,
    ]
    monkeypatch.setenv("COLUMNS", "120")
    output.listing(["id", "to", "tries", "reply"], rows, "none", below=("to", "reply"))
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_an_empty_listing_is_chatter(capsys: pytest.CaptureFixture[str]) -> None:
    output.listing(["address"], [], "no accounts yet")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "no accounts yet\n")


def test_colour_needs_a_terminal_that_may(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import sys

    assert not output.has_colour(sys.stdout)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert output.has_colour(sys.stdout)
    monkeypatch.setenv("TERM", "dumb")
    assert not output.has_colour(sys.stdout)
    assert capsys.readouterr().out == ""


def test_a_document_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    output.document({"version": 1, "path": __import__("pathlib").Path("/x")})
    assert json.loads(capsys.readouterr().out) == {"version": 1, "path": "/x"}


def test_hints_are_for_people(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    output.hint("serve")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    output.hint("posthouse serve")
    assert capsys.readouterr().err == "Next: posthouse serve\n"


def test_progress_in_a_pipe_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("posthouse.app.output.time.monotonic", lambda: now)
    with output.progress("Reading") as advance:
        for done in range(1, 2_501):
            now += 0.01
            advance(done, 2_500)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == ["Reading: 1,000 of 2,500", "Reading: 2,000 of 2,500"]


def test_short_work_shows_none(capsys: pytest.CaptureFixture[str]) -> None:
    with output.progress("Reading") as advance:
        advance(1, 2)
        advance(2, 2)
    assert capsys.readouterr().err == ""
