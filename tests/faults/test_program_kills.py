"""kill -9 of the running program under load, judged by a ledger outside it.

Twenty clients deliver while four collect and delete; after 50 to 500 ms the whole process group is killed and started
again on the same data. A client writes a number into the ledger only after it has read the acknowledgement: 250 to
DATA, +OK to QUIT. At the end everything is collected and compared:
- a delivery acknowledged and not deleted is there, whole, byte for byte, once;
- a deletion acknowledged stays a deletion; without QUIT nothing was deleted.

POSTHOUSE_LONG=1 kills 100 times, the short form 4 times. The judge itself is tried too, on a store put back to before.
"""

import hashlib
import random
import shutil
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.scale import times
from tests.outside.maildrop import Maildrop, collect
from tests.outside.program import Program
from tests.outside.wire import Wire

KILLS = times(4, 100)
SENDERS = 20
COLLECTORS = 4
_ENDS = (OSError, AssertionError, ValueError)  # how a conversation with a killed server ends


@dataclass
class Ledger:
    """What the program has promised, over all its lives."""

    delivered: dict[int, str] = field(default_factory=dict)  # number -> address
    asked: set[int] = field(default_factory=set)  # marked with DELE in a session that reached QUIT
    deleted: set[int] = field(default_factory=set)  # and QUIT said +OK
    lock: threading.Lock = field(default_factory=threading.Lock)
    last: int = 0

    def next(self) -> int:
        with self.lock:
            self.last += 1
            return self.last

    def faults(self, found: dict[str, list[bytes]]) -> list[str]:
        """Where what is there differs from what was promised."""
        there: Counter[int] = Counter()
        faults = []
        for address, messages in found.items():
            for message in messages:
                number = number_of(message)
                there[number] += 1
                if not message.endswith(message_of(number)):
                    faults.append(f"{number} for {address} is not whole")
        faults += [f"{n} was acknowledged and is lost" for n in self.delivered if n not in self.asked and not there[n]]
        faults += [f"{n} was deleted and is back" for n in self.deleted if there[n]]
        faults += [f"{n} is there {there[n]} times" for n in there if there[n] > 1]
        return faults


def message_of(number: int) -> bytes:
    """A message whose octets follow from its number."""
    seed = hashlib.sha256(b"%d" % number).hexdigest().encode()
    return b"Subject: %d\r\n\r\n" % number + (seed + b"\r\n") * (1 + number % 120)


def number_of(message: bytes) -> int:
    return int(message.partition(b"\nSubject: ")[2].split(b"\r", 1)[0])


def deliver(program: Program, ledger: Ledger, address: str, stop: threading.Event) -> None:
    """Send numbered messages until the server goes away."""
    try:
        with Wire(program.ports.smtp, timeout=5) as wire:
            wire.hello()
            while not stop.is_set():
                number = ledger.next()
                wire.mail(address)
                if wire.data(message_of(number)).startswith("250"):
                    with ledger.lock:
                        ledger.delivered[number] = address
    except _ENDS:
        return


def delete(program: Program, ledger: Ledger, address: str, stop: threading.Event) -> None:
    """Collect some and delete them, every third time without QUIT."""
    turn = 0
    while not stop.is_set():
        turn += 1
        try:
            with Maildrop.open(program.ports.pop3, address) as drop:
                count = min(5, int(drop.command("STAT").split()[0]))
                numbers = {number_of(drop.retrieve(n)) for n in range(1, count + 1)}
                for n in range(1, count + 1):
                    drop.command(f"DELE {n}")
                if turn % 3 == 0:
                    continue
                with ledger.lock:
                    ledger.asked |= numbers
                drop.quit()
                with ledger.lock:
                    ledger.deleted |= numbers
        except _ENDS:
            if stop.wait(0.01):
                return


def one_life(program: Program, ledger: Ledger, addresses: list[str], seconds: float) -> None:
    """Start, load, kill."""
    program.start()
    stop = threading.Event()
    workers = [
        threading.Thread(target=work, args=(program, ledger, addresses[n % len(addresses)], stop))
        for work, count in ((deliver, SENDERS), (delete, COLLECTORS))
        for n in range(count)
    ]
    for worker in workers:
        worker.start()
    time.sleep(seconds)
    program.kill()
    stop.set()
    for worker in workers:
        worker.join()


def test_killed_again_and_again(tmp_path: Path) -> None:
    source = random.Random(1124)
    program, ledger = Program(tmp_path / "data"), Ledger()
    program.start()
    addresses = program.add_accounts([f"k{n}" for n in range(8)])
    program.stop()
    slowest = 0.0
    for _ in range(KILLS):
        one_life(program, ledger, addresses, source.uniform(0.05, 0.5))
        slowest = max(slowest, program.start_seconds)
    program.start()
    try:
        found = {address: list(collect(program.ports.pop3, address).values()) for address in addresses}
        checked = program.run("fsck")
    finally:
        program.kill()
    print(
        f"{KILLS} kills, {len(ledger.delivered)} acknowledged, {len(ledger.deleted)} deleted, back in {slowest:.2f} s"
    )
    assert ledger.faults(found) == []
    assert len(ledger.delivered) > 10 * KILLS, "too little happened to say anything"
    assert "error" not in checked
    assert "Traceback" not in program.log


def test_the_ledger_catches_loss(tmp_path: Path) -> None:
    """A store put back to what it was before has lost what it acknowledged since: the ledger must say so."""
    program, ledger, stop = Program(tmp_path / "data"), Ledger(), threading.Event()
    program.start()
    address = "alice@example.test"
    program.stop()
    shutil.copytree(tmp_path / "data", tmp_path / "before")
    program.start()
    worker = threading.Thread(target=deliver, args=(program, ledger, address, stop))
    worker.start()
    while len(ledger.delivered) < 5:
        time.sleep(0.01)
    program.kill()
    worker.join()
    shutil.rmtree(tmp_path / "data")
    shutil.copytree(tmp_path / "before", tmp_path / "data")
    program.start()
    try:
        found = {address: list(collect(program.ports.pop3, address).values())}
    finally:
        program.kill()
    assert any("is lost" in fault for fault in ledger.faults(found))
