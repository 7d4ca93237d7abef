"""Peers that ask for more than their share, and how long others wait beside them; each in a process of its own.

    python -m tests.outside.crowd attack NAME OFFSET
attacks the server whose ports are the standard ones and OFFSET, until its standard input ends; NAME is one of ATTACKS.
    python -m tests.outside.crowd others OFFSET
does what others do, for each line on its standard input prints how long that took since the last: see Waits.
"""

import contextlib
import json
import os
import select
import statistics
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.outside.attacks import ATTACKER, ATTACKS, VICTIM
from tests.outside.imap_wire import ImapWire
from tests.outside.maildrop import Maildrop
from tests.outside.wire import Wire

MESSAGES = 5000  # in the attacker's INBOX
_PAUSE = 0.02  # seconds, between two things that others do
_RETURN = 0.05  # seconds, after which an attacker who was hung up on comes again
_NICE = 10  # of attackers: they come from elsewhere, and do not take the server's processors from it


@dataclass(frozen=True)
class Waits:
    """How long others waited, in seconds: at the median, for 99 of 100, at most; of so many tries."""

    median: float
    p99: float
    longest: float
    count: int


def fill(offset: int, user: str = ATTACKER) -> None:
    """Give somebody much mail: threads of ten messages."""
    with ImapWire.open(143 + offset, user) as wire:
        for first in range(0, MESSAGES, 250):
            tag = wire.order(b"APPEND INBOX " + b" ".join(map(_literal, range(first, first + 250))))
            assert wire.finish(tag).status == "OK"


def _literal(number: int) -> bytes:
    message = b"Message-ID: <%d@x.test>\r\nReferences: <%d@x.test>\r\nSubject: Re: subject %d\r\n\r\nx\r\n" % (
        number,
        number // 10 * 10,
        number % 700,
    )
    return b"{%d+}\r\n%b" % (len(message), message)


@contextmanager
def attacked(name: str, offset: int) -> Iterator[None]:
    """While the block runs, somebody attacks."""
    with _process("attack", name, str(offset)):
        yield


@contextmanager
def others(offset: int) -> Iterator[Callable[[], dict[str, Waits]]]:
    """Others, who work as long as the block runs; gives what tells how long they have waited since its last call."""
    with _process("others", str(offset)) as process:

        def waits() -> dict[str, Waits]:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(b"?\n")
            process.stdin.flush()
            line = process.stdout.readline()
            assert line, "others were hung up on"
            return {name: Waits(*numbers) for name, numbers in json.loads(line).items()}

        waits()
        yield waits


@contextmanager
def _process(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "tests.outside.crowd", *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline(), "it could not begin"
        yield process
    finally:
        process.kill()
        process.communicate()


def _attack(name: str, offset: int) -> None:
    os.nice(_NICE)
    count, work = ATTACKS[name]
    for number in range(count):
        threading.Thread(target=_without_end, args=(work, offset, number), daemon=True).start()


def _without_end(work: Callable[[int, int], None], offset: int, number: int) -> None:
    """Who is hung up on comes again."""
    while True:
        with contextlib.suppress(OSError, AssertionError, ValueError):
            work(offset, number)
        time.sleep(_RETURN)


# Others.


class _Others:
    """What others do, again and again, each kind in a thread of its own."""

    def __init__(self, offset: int) -> None:
        self._offset = offset
        self._seconds: dict[str, list[float]] = {}
        self._imap = ImapWire.open(143 + offset, "alice@example.test", "INBOX")
        self._smtp = Wire(25 + offset)
        self._smtp.hello()

    def start(self) -> None:
        for kind in (self.come_by_smtp, self.come_by_imap, self.come_by_pop3, self.noop, self.mail, self.collect):
            threading.Thread(target=self._again_and_again, args=(kind,), daemon=True).start()

    def _again_and_again(self, work: Callable[[], None]) -> None:
        while True:
            began = time.monotonic()
            try:
                work()
            except BaseException:  # what others are refused is a fault, whatever it is
                traceback.print_exc()
                os._exit(1)
            self._seconds.setdefault(work.__name__, []).append(time.monotonic() - began)
            time.sleep(_PAUSE)

    def come_by_smtp(self) -> None:
        with Wire(25 + self._offset) as wire:
            wire.hello()

    def come_by_imap(self) -> None:
        with ImapWire(143 + self._offset) as wire:
            wire.greeting()

    def come_by_pop3(self) -> None:
        with Maildrop(110 + self._offset) as wire:
            wire.line()

    def noop(self) -> None:
        self._imap.ok(b"NOOP")

    def mail(self) -> None:
        self._smtp.mail("bob@example.test")
        answer = self._smtp.data(b"Subject: small\r\n\r\nx\r\n")
        assert answer.startswith("250"), answer

    def collect(self) -> None:
        with Maildrop(110 + self._offset) as wire:
            wire.login(VICTIM)
            for message in wire.sizes():
                wire.command(f"DELE {message}")
            wire.quit()

    def waits(self) -> dict[str, list[float]]:
        found, self._seconds = self._seconds, {}
        return {name: _summary(seconds) for name, seconds in found.items()}


def _summary(seconds: Iterable[float]) -> list[float]:
    ordered = sorted(seconds)
    return [statistics.median(ordered), ordered[int(len(ordered) * 0.99)], ordered[-1], len(ordered)]


def main(kind: str, *arguments: str) -> None:
    if kind == "attack":
        _attack(arguments[0], int(arguments[1]))
        print("ready", flush=True)
        sys.stdin.read()
        return
    crowd = _Others(int(arguments[0]))
    crowd.start()
    print("ready", flush=True)
    while select.select([sys.stdin], [], [])[0] and sys.stdin.readline():
        print(json.dumps(crowd.waits()), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
