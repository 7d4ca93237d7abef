"""Mail that goes out: submitted here, taken by a sink; live, and from a queue that had to wait."""

import asyncio
import os
import shutil
import subprocess
import time

from benchmarks import load
from benchmarks.connection import BenchError
from benchmarks.load import Mail
from benchmarks.target import Target

SINK_DOMAIN = "sink.test"
_LIMIT = 90.0  # seconds
_PUSH = 8.0


def _sink(port: int, messages: int) -> "subprocess.Popen[bytes]":
    """Postfix's smtp-sink, which ends by itself when it has that many."""
    program = shutil.which("smtp-sink", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        raise BenchError("the relay rows need smtp-sink: install Debian's postfix")
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    command = [program, *user, "-M", str(messages), f"127.0.0.1:{port}", "500"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def _wait(target: Target, sink: "subprocess.Popen[bytes]") -> None:
    """Until the sink has all. A message that was put off for minutes, as one now and then is, gets another push."""
    limit = time.monotonic() + _LIMIT
    try:
        while True:
            try:
                if sink.wait(_PUSH) != 0:
                    raise BenchError("smtp-sink failed")
                return
            except subprocess.TimeoutExpired:
                if time.monotonic() > limit:
                    raise BenchError("not every message has reached the sink in time") from None
                target.flush()
    finally:
        sink.kill()
        sink.wait()


def live(target: Target, relay: Mail) -> float:
    """Messages a second from the first submission until the sink has all."""
    sink = _sink(target.sink, relay.messages)
    time.sleep(0.3)
    began = time.perf_counter()
    asyncio.run(load.bring(target, relay))
    _wait(target, sink)
    return relay.messages / (time.perf_counter() - began)


def drain(target: Target, relay: Mail) -> float:
    """The same for a queue that waits: from the order to try again until the sink has all."""
    asyncio.run(load.bring(target, relay))
    time.sleep(2)
    sink = _sink(target.sink, relay.messages)
    time.sleep(0.3)
    began = time.perf_counter()
    target.flush()
    _wait(target, sink)
    return relay.messages / (time.perf_counter() - began)
