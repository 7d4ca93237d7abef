"""kill -9 of a server that sends, judged by a ledger outside it and by the journals of those it sends to.

Clients submit numbered messages, each to three recipients: a remote that takes it, one that greylists it, one that
refuses it. After 50 to 500 ms the whole process group is killed and started again on the same data. A number goes into
the ledger only after the 250 was read. At the end the queue drains, and every acknowledged number is
- in the journal of the good remote and of the greylister, whole, byte for byte;
- in exactly one bounce in its sender's mailbox.
A remote may have it twice only where SMTP has no answer: its 250 went out, and a kill came before that was recorded.
Those are counted and told. What was never acknowledged may be there too, under the same rules.

POSTHOUSE_LONG=1 kills 200 times, the short form 8 times. The judge itself is tried too.
"""

import hashlib
import random
import re
import smtplib
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

from tests.faults.scale import LONG, times
from tests.outside.misbehaving import Greylister, Refuser
from tests.outside.relay import Relay, Way, until
from tests.outside.remotes import Accepted, Remote

KILLS = times(8, 200)
SENDERS = 8
RIGHT_BEFORE = 0.5  # seconds from a 250 to the kill that may make it a double
RIGHT_AFTER = 0.1  # from the end of a process to a 250 for what it had sent already; no new one starts in so little
DRAIN_SECONDS = 600.0 if LONG else 60.0
_ENDS = (OSError, smtplib.SMTPException, ValueError)  # how a session with a killed server ends


@dataclass
class Ledger:
    """What the server has acknowledged, over all its lives.

    `kills`: from when to when each killing took, by time.monotonic().
    """

    acknowledged: set[int] = field(default_factory=set)
    kills: list[tuple[float, float]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    last: int = 0

    def next(self) -> int:
        with self.lock:
            self.last += 1
            return self.last

    def acknowledge(self, number: int) -> None:
        with self.lock:
            self.acknowledged.add(number)

    def faults(self, name: str, taken: Sequence[Accepted]) -> list[str]:
        """Where the journal of a remote that takes everything differs from what was promised."""
        copies: dict[int, list[Accepted]] = {}
        faults = []
        for one in taken:
            number = number_of(one.data)
            copies.setdefault(number, []).append(one)
            if not one.data.endswith(message_of(number)):
                faults.append(f"{number} is not whole at {name}")
        faults += [f"{number} never came to {name}" for number in sorted(self.acknowledged - copies.keys())]
        for number, each in copies.items():
            faults += [
                f"{number} came twice to {name}, and no kill was the reason"
                for one, other in pairwise(each)
                if not self.is_excused(one.at, other.at)
            ]
        return faults

    def is_excused(self, first: float, second: float) -> bool:
        """Whether the first 250 went out right before a kill or to a client dead already, and the second after it."""
        return any(began - RIGHT_BEFORE < first < ended + RIGHT_AFTER and ended < second for began, ended in self.kills)

    def told_faults(self, bounces: Sequence[bytes]) -> list[str]:
        """Where the bounces differ from exactly one for each number."""
        told = Counter(number_of(bounce) for bounce in bounces)
        faults = [f"{number} was refused, and nobody was told" for number in sorted(self.acknowledged - told.keys())]
        return faults + [f"{number} was told {count} times" for number, count in told.items() if count > 1]


def message_of(number: int) -> bytes:
    """What of a message follows from its number: its subject, and all behind."""
    seed = hashlib.sha256(b"%d" % number).hexdigest().encode()
    return b"Subject: number %d\r\n\r\n.\r\n" % number + (seed + b"\r\n") * (1 + number % 60)


def number_of(data: bytes) -> int:
    """Also of a bounce: it quotes the head."""
    found = re.search(rb"^Subject: number ([0-9]+)\r$", data, re.MULTILINE)
    assert found, data[:2000]
    return int(found[1])


def submit(relay: Relay, ledger: Ledger, sender: str, stop: threading.Event) -> None:
    """Submit numbered messages until the server goes away."""
    head = f"From: <{sender}>\r\nDate: Tue, 24 Nov 2026 12:00:00 +0000\r\n".encode()
    try:
        with relay.session(sender) as client:
            while not stop.is_set():
                number = ledger.next()
                mark = b"Message-ID: <%d@example.test>\r\n" % number
                # The greylister knows triples: so that it puts every message off, each has a recipient of its own.
                recipients = ["user@good.test", f"user{number}@grey.test", "user@refuses.test"]
                client.sendmail(sender, recipients, head + mark + message_of(number))
                ledger.acknowledge(number)
    except _ENDS:
        return


def one_life(relay: Relay, ledger: Ledger, senders: Sequence[str], seconds: float) -> None:
    """Start, load, kill: so many seconds after all began, or in three of four lives after the first acknowledgement."""
    relay.start()
    stop, before = threading.Event(), len(ledger.acknowledged)
    workers = [threading.Thread(target=submit, args=(relay, ledger, sender, stop)) for sender in senders]
    for worker in workers:
        worker.start()
    if len(ledger.kills) % 4:
        until(lambda: len(ledger.acknowledged) > before, lambda: f"nothing is acknowledged\n{relay.log[-3000:]}")
    time.sleep(seconds)
    began = time.monotonic()
    relay.kill()
    ledger.kills.append((began, time.monotonic()))
    stop.set()
    for worker in workers:
        worker.join()


def doubles(taken: Sequence[Accepted]) -> int:
    """How many copies too many."""
    return len(taken) - len({number_of(one.data) for one in taken})


@pytest.mark.timeout(7200 if LONG else 240)
def test_killed_again_and_again(tmp_path: Path) -> None:
    source, ledger = random.Random(1124), Ledger()
    with ExitStack() as stack:
        good = stack.enter_context(Remote())
        grey = stack.enter_context(Greylister())
        refuses = stack.enter_context(Refuser({"RCPT": "550 5.1.1 Nobody here"}))
        remotes = {"good": good, "grey": grey, "refuses": refuses}
        relay = Relay(tmp_path, [Way(f"{name}.test", remote.port) for name, remote in remotes.items()])
        stack.callback(relay.kill)
        senders = relay.add_accounts([f"s{n}" for n in range(SENDERS)])
        slowest = 0.0
        for _ in range(KILLS):
            one_life(relay, ledger, senders, source.uniform(0.05, 0.5))
            slowest = max(slowest, relay.start_seconds)
        relay.start()
        until(lambda: relay.queue() == [], lambda: f"the queue does not drain: {relay.queue()[:3]}", DRAIN_SECONDS)
        bounces = [bounce for sender in senders for bounce in relay.mailbox(sender)]
        relay.run("fsck")
        relay.stop()
    twice = {name: doubles(remotes[name].journal.accepted) for name in ("good", "grey")}
    print(
        f"{KILLS} kills, {len(ledger.acknowledged)} acknowledged, {len(bounces)} bounces, doubles {twice}, "
        f"back in {slowest:.2f} s"
    )
    faults = ledger.told_faults(bounces)
    for name in ("good", "grey"):
        faults += ledger.faults(name, remotes[name].journal.accepted)
    assert faults == []
    assert [fault for remote in remotes.values() for fault in remote.journal.faults] == []
    assert refuses.journal.accepted == []
    assert len(ledger.acknowledged) > 2 * KILLS, "too little happened to say anything"
    assert "Traceback" not in relay.log, relay.log


def test_the_judge_sees_what_is_wrong() -> None:
    """A message lost, cut, sent twice for no reason, not told of, told of twice."""
    ledger = Ledger(acknowledged={1, 2}, kills=[(10.0, 10.02), (20.0, 20.02)])

    def taken(number: int, at: float, cut: int = 0) -> Accepted:
        data = message_of(number)
        return Accepted(at, 1, False, "", (), data[: len(data) - cut], b"")

    assert ledger.faults("there", [taken(1, 5.0), taken(2, 5.0)]) == []
    assert ledger.faults("there", [taken(1, 9.9), taken(1, 11.0), taken(2, 5.0)]) == []  # the protocol's own window
    assert ledger.faults("there", [taken(1, 20.05), taken(1, 21.0), taken(2, 5.0), taken(3, 5.0)]) == []
    for wrong in (
        [taken(1, 5.0)],  # 2 is lost
        [taken(1, 5.0), taken(2, 5.0, cut=3)],
        [taken(1, 5.0), taken(1, 6.0), taken(2, 5.0)],  # no kill in between
        [taken(1, 5.0), taken(1, 11.0), taken(2, 5.0)],  # long recorded when the kill came
        [taken(1, 10.5), taken(1, 11.0), taken(2, 5.0)],  # both in the same life, after a kill
        [taken(1, 9.9), taken(1, 11.0), taken(1, 12.0), taken(2, 5.0)],  # one kill excuses one
    ):
        assert len(ledger.faults("there", wrong)) == 1
    assert ledger.told_faults([message_of(1), message_of(2)]) == []
    assert len(ledger.told_faults([message_of(1)])) == 1
    assert len(ledger.told_faults([message_of(1), message_of(2), message_of(2)])) == 1
