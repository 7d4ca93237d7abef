"""Logs: one line each, escaped, without secrets."""

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from posthouse.app.process.logs import adopt_library_logs, open_log


class Sink:
    """A file that log lines go to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def lines(self) -> list[str]:
        return self.path.read_text().split("\n")[:-1]


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[Sink]:
    sink = Sink(tmp_path / "log")
    yield sink
    os.close(sink.descriptor)


def clock() -> float:
    return 1795512662.1234


def test_text(sink: Sink) -> None:
    log = open_log(descriptor=sink.descriptor, clock=clock, worker=2)
    log.info("message kept", id=b"\x01\x8f", sender="", octets=4096, seconds=0.5, tls=None, text="two words")
    assert sink.lines() == [
        '2026-11-24T09:31:02.123Z info message kept worker=2 id=018f sender="" octets=4096 seconds=0.5 text="two words"'
    ]


def test_json(sink: Sink) -> None:
    log = open_log(format="json", descriptor=sink.descriptor, clock=clock)
    log.warning("odd", who="évil\n\x9b", password="hunter2", tls=None)
    (line,) = sink.lines()
    assert line.isascii()
    assert json.loads(line) == {
        "time": "2026-11-24T09:31:02.123Z", "level": "warning", "event": "odd", "who": "évil\n\x9b", "password": "***"
    }  # fmt: skip


@pytest.mark.parametrize(
    "hostile", ["a\r\nfake line", "\x1b[2J", "\x00", "\u2028", "\x9b31m", "\udcff", 'quo"te', "back\\slash"]
)
def test_one_line_stays_one_line(sink: Sink, hostile: str) -> None:
    open_log(descriptor=sink.descriptor).info(hostile, value=hostile)
    (line,) = sink.lines()
    assert line.isprintable()


def test_the_level_filters(sink: Sink) -> None:
    log = open_log("warning", descriptor=sink.descriptor)
    log.debug("a")
    log.info("b")
    log.warning("c")
    log.error("d")
    assert [line.split()[1:] for line in sink.lines()] == [["warning", "c"], ["error", "d"]]


def test_secrets_are_blotted_out(sink: Sink) -> None:
    open_log(descriptor=sink.descriptor).error("login", password="hunter2", token="x")
    assert sink.lines()[0].endswith("password=*** token=***")


def test_an_exception_is_told_on_one_line(sink: Sink) -> None:
    log = open_log(descriptor=sink.descriptor)
    try:
        raise OSError("no\nspace")
    except OSError:
        log.exception("delivery failed", id="7")
    (line,) = sink.lines()
    assert " error delivery failed id=7 error=OSError reason=no\\nspace at=test_logs.py:" in line


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (FileNotFoundError(2, "No such file or directory", "/x"), '"/x: No such file or directory"'),
        (FileNotFoundError(2, "No such file or directory", Path("/x")), '"/x: No such file or directory"'),
        (ConnectionResetError(104, "Connection reset by peer"), '"Connection reset by peer"'),
        (
            RuntimeError(f"not stored: {OSError(28, 'No space left on device')}"),
            '"not stored: No space left on device"',
        ),
        (KeyError("uid"), "uid"),
        (ValueError(), "ValueError"),
        (["a@b.test", "c@d.test"], '"a@b.test, c@d.test"'),
        (("smtp", 25), '"smtp, 25"'),
        (Path("/var/lib"), "/var/lib"),
        ([], '""'),
    ],
)
def test_nothing_looks_like_python(sink: Sink, value: object, written: str) -> None:
    open_log(descriptor=sink.descriptor).warning("x", value=value)
    assert sink.lines()[0].partition("value=")[2] == written
    open_log(format="json", descriptor=sink.descriptor).warning("x", value=value)
    told = json.loads(sink.lines()[1])["value"]
    assert told == (list(value) if isinstance(value, (list, tuple)) else written.strip('"'))


def test_colour_is_for_watchers_only(sink: Sink) -> None:
    open_log(descriptor=sink.descriptor, brief=True, colour=True).warning("careful")
    assert "\x1b[33mwarning\x1b[0m careful" in sink.lines()[0]


def test_a_log_nobody_reads_harms_nobody() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    log = open_log(descriptor=writing)
    log.info("into the void")
    os.close(writing)
    log.info("into nothing at all")


def test_libraries_are_heard(sink: Sink) -> None:
    root = logging.getLogger()
    before, level = root.handlers, root.level
    try:
        adopt_library_logs(open_log(descriptor=sink.descriptor))
        logging.getLogger("asyncio").error("never retrieved: %s", "x")
        logging.getLogger("asyncio").info("quiet")
        logging.getLogger("asyncio").error("Task exception was never retrieved\nfuture: <Task finished name='Task-1'>")
    finally:
        root.handlers = before
        root.setLevel(level)
    line, second = sink.lines()
    assert line.endswith("error never retrieved: x source=asyncio")
    assert second.endswith("error Task exception was never retrieved source=asyncio")
