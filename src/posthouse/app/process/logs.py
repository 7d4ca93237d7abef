"""Logs: one line each on standard error, for people (text) or machines (json). Control characters never get through.

    log = open_log("info", "text")
    log.info("message kept", id="018f", octets=4096)
    2026-11-24T09:31:02.123Z info message kept id=018f octets=4096

Bodies and passwords have no place in a log: fields with the names of secrets are blotted out, wherever they come from.
"""

import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from posthouse.message.printable import escape

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_SECRET = frozenset({"password", "passphrase", "secret", "token", "proof", "credentials"})
_STYLES = {"debug": "2", "info": "36", "warning": "33", "error": "1;31", "critical": "1;31"}
_ERROR_NUMBER = re.compile(r"\[Errno -?\d+\] ")  # in the text of another exception
_SHORT = 4000  # a line stays below PIPE_BUF with room to spare, so that lines of several workers never mix


class _Lines:
    """Writes whole lines with one system call each."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def msg(self, line: str) -> None:
        try:
            os.write(self._descriptor, line.encode(errors="backslashreplace") + b"\n")
        except OSError:
            # The reader of the log is gone, or its disk is full: mail goes on without it.
            return

    log = debug = info = warning = error = critical = msg


def open_log(
    level: str = "info",
    format: str = "text",  # noqa: A002 -- the setting's name
    *,
    brief: bool = False,
    colour: bool = False,
    descriptor: int | None = None,
    clock: Callable[[], float] = time.time,
    **fields: Any,
) -> FilteringBoundLogger:
    """Open a log that tells what weighs `level` or more. `brief` is for a person watching: the time of day alone.

    `fields` stand in every line. Nothing global changes; see adopt_library_logs for what libraries tell.
    """
    render: Any = _Json(clock) if format == "json" else _Text(clock, brief=brief, colour=colour)
    return structlog.wrap_logger(  # type: ignore[no-any-return]
        _Lines(sys.stderr.fileno() if descriptor is None else descriptor),
        processors=[_format_errors, render],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        context_class=dict,
        **fields,
    ).bind()  # once, and not for every line


def adopt_library_logs(log: FilteringBoundLogger) -> None:
    """Let warnings and errors that libraries (asyncio above all) tell by the logging module come out here."""

    class Adopted(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            failure = {"exc_info": record.exc_info} if record.exc_info else {}
            # What asyncio adds on lines of their own are its own objects, as Python writes them.
            text = record.getMessage().partition("\n")[0]
            log.log(record.levelno, text, source=record.name, **failure)

    root = logging.getLogger()
    root.handlers = [Adopted()]
    root.setLevel(logging.WARNING)


def _format_errors(_: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Turn exc_info into fields: the kind, the text, and where it was raised. A log line is not a traceback."""
    event["level"] = "error" if method == "exception" else method
    failure = event.pop("exc_info", None)
    if failure is True:
        failure = sys.exc_info()
    if isinstance(failure, BaseException):
        failure = (type(failure), failure, failure.__traceback__)
    if isinstance(failure, tuple) and failure[0] is not None:
        event["error"] = failure[0].__name__
        event["reason"] = described(failure[1])
        event["at"] = _frames(failure[2])
    return event


def _frames(traceback: Any) -> str:
    frames: list[str] = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        frames.append(f"{os.path.basename(code.co_filename)}:{traceback.tb_lineno}")  # noqa: PTH119 -- a name, not a path
        traceback = traceback.tb_next
    return " > ".join(frames[-8:])


class _Text:
    def __init__(self, clock: Callable[[], float], *, brief: bool, colour: bool) -> None:
        self._clock = clock
        self._brief = brief
        self._colour = colour

    def __call__(self, _: WrappedLogger, __: str, event: EventDict) -> str:
        level = str(event.pop("level"))
        text = escaped(str(event.pop("event")))
        fields = " ".join(f"{key}={_value(key, value)}" for key, value in event.items() if value is not None)
        stamp = stamped(self._clock(), brief=self._brief)
        if self._colour:
            return f"\x1b[2m{stamp}\x1b[0m \x1b[{_STYLES[level]}m{level}\x1b[0m {text} \x1b[2m{fields[:_SHORT]}\x1b[0m"
        return f"{stamp} {level} {text} {fields}".rstrip()[:_SHORT]


class _Json:
    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock

    def __call__(self, _: WrappedLogger, __: str, event: EventDict) -> str:
        head = {"time": stamped(self._clock(), brief=False), "level": event.pop("level"), "event": event.pop("event")}
        return json.dumps(head | _redacted(event), default=_plain)


def _redacted(event: Mapping[str, Any]) -> dict[str, Any]:
    return {key: "***" if key in _SECRET else value for key, value in event.items() if value is not None}


def _plain(value: object) -> str:
    """Nothing of how Python writes things: who reads a log need not know what the server is written in."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, BaseException):
        return described(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return ", ".join(map(_plain, value))
    return str(value)


def described(error: BaseException) -> str:
    """What an exception says: of one of the system, "file: No such file or directory"."""
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror if error.filename is None else f"{_plain(error.filename)}: {error.strerror}"
    elif len(error.args) == 1 and isinstance(error, LookupError):  # str() would write what was looked for with quotes
        text = str(error.args[0])
    else:
        text = str(error)
    return _ERROR_NUMBER.sub("", text) or type(error).__name__


def _value(key: str, value: object) -> str:
    if key in _SECRET:
        return "***"
    if isinstance(value, (int, float)):
        return f"{value:g}" if isinstance(value, float) else str(value)
    text = escaped(_plain(value))
    if not text or " " in text or '"' in text or "=" in text:
        return '"' + text.replace('"', '\\"') + '"'
    return text


def escaped(text: str) -> str:
    """Write control characters, and all else that is not printable, as escapes: one line stays one line."""
    return escape(text, also="\\")


def stamped(seconds: float, *, brief: bool) -> str:
    """Write a time: "2026-11-24T09:31:02.123Z", or for `brief` the time of day here, "09:31:02"."""
    if brief:
        return time.strftime("%H:%M:%S", time.localtime(seconds))
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1000):03d}Z"
