"""kill -9 and SIGSTOP under SMTP, submission, relay, POP3 and IMAP at once, judged by ledgers outside the server.

At a random moment, 50 to 500 ms after all clients are at work, the whole process group is killed, or one of two
workers, or one worker is stopped and goes on after 50 to 500 ms. After each, the mailboxes that IMAP clients change
are compared with what they were told; at the end the queue drains and everything is (mixed_ledger.py says how).

POSTHOUSE_LONG=1 has 120 faults, and the queue drains without a restart. The short form has 3, one of each kind. The
judge is tried too.
"""

import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.faults.fsck_says import complaints
from tests.faults.mixed_ledger import Letter, MailLedger, doubles
from tests.faults.mixed_load import GOOD, GREY, Mixed, mixed
from tests.faults.scale import LONG, times
from tests.outside.program import process_tree
from tests.outside.relay import until
from tests.outside.remotes import Accepted

FAULTS = times(3, 120)
KINDS = ("kill all", "kill one", "stop one")
AT_WORK = 20  # letters acknowledged since the clients began


def at_work(load: Mixed, before: int) -> None:
    """Wait until the clients are logged in and busy."""
    until(lambda: len(load.mail.acknowledged) >= before + AT_WORK, lambda: f"no load\n{load.relay.log[-3000:]}", 60)


def strike(load: Mixed, kind: str, source: random.Random) -> None:
    """Do it, with the clients at work before and after."""
    load.begin()
    at_work(load, len(load.mail.acknowledged))
    time.sleep(source.uniform(0.05, 0.5))
    worker = source.choice([pid for pid in process_tree(load.relay.pid) if pid != load.relay.pid])
    if kind == "stop one":
        os.kill(worker, signal.SIGSTOP)
        time.sleep(source.uniform(0.05, 0.5))
        with suppress(ProcessLookupError):
            os.kill(worker, signal.SIGCONT)
    elif kind == "kill all":
        load.cut(load.relay.kill)
    else:
        load.cut(lambda: os.kill(worker, signal.SIGKILL))
    if kind != "kill all":
        at_work(load, len(load.mail.acknowledged))
    load.end()
    if kind == "kill all":
        load.relay.start()


@pytest.mark.timeout(3600 if LONG else 240)
def test_faults_at_random_moments(tmp_path: Path) -> None:
    source, faults, in_flight, slowest = random.Random(1128), list[str](), 0, 0.0
    with mixed(tmp_path) as load:
        load.relay.start()
        load.prepare()
        owners = [hand.owner for hand in load.hands]
        for n in range(FAULTS):
            strike(load, KINDS[n % len(KINDS)], source)
            slowest = max(slowest, load.relay.start_seconds)
            in_flight += sum(owner.under_way is not None for owner in owners)
            faults += [f"fault {n}: {fault}" for fault in load.imap_faults(load.imap, owners)]
            if n % 10 == 9:
                faults += [f"fault {n}: {fault}" for fault in load.mail_faults(load.mail)]
        if not LONG:  # else what a killed worker had claimed comes back by itself, once its lease has lapsed
            load.cut(load.relay.kill)
            load.relay.start()
        load.drain(600 if LONG else 60)
        taken = load.taken()
        faults += load.mail_faults(load.mail) + load.sent_faults(load.mail, taken)
        checked = load.relay.run("fsck", "--json")
        load.relay.stop()
    lost = sum("is lost" in fault or "never came" in fault for fault in faults)
    twice = {domain: doubles(taken[domain]) for domain in (GOOD, GREY)}
    print(
        f"{FAULTS} kills and stops; {len(load.mail.acknowledged)} letters acknowledged, "
        f"{len(load.mail.removed)} removals, {dict(load.imap.done)} by IMAP, {in_flight} in flight; "
        f"sent twice {twice}; back in {slowest:.2f} s; {lost} lost, {len(faults)} faults"
    )
    assert faults == []
    assert complaints(checked) == []
    assert load.mail.removed, "too little happened to say anything"
    assert all(load.imap.done[act] for act in ("append", "copy", "move", "store")), load.imap.done


LETTERS = {
    1: Letter(1, "s@x", ("a", "b"), ("u@good.test", "u@refuses.test")),
    2: Letter(2, "s@x", ("a",), ("u@good.test", "u@refuses.test")),
}


def text(number: int, cut: int = 0) -> bytes:
    whole = b"Received: here\r\n" + LETTERS[number].text()
    return whole[: len(whole) - cut]


@pytest.mark.parametrize(
    ("a", "b", "fault"),
    [
        ([1, 2], [1], ""),
        ([1], [1], "letter 2 for a was acknowledged and is lost"),
        ([1, 2, 2], [1], "letter 2 is with a 2 times"),
        ([1, 2], [1, 2], "b has what belongs to others"),
        ([2], [1], "letter 1 was delivered to some and not to a"),
        ([2], [], ""),
    ],
)
def test_the_judge_of_mailboxes(a: list[int], b: list[int], fault: str) -> None:
    ledger = MailLedger(dict(LETTERS), acknowledged={2})
    faults = ledger.faults_at_home({"a": [text(n) for n in a], "b": [text(n) for n in b]})
    assert [found[: len(fault)] for found in faults] == ([fault] if fault else [])


def test_the_judge_of_removals_and_wholeness() -> None:
    ledger = MailLedger(dict(LETTERS), {1, 2}, asked={(1, "a"), (2, "a")}, removed={(1, "a")})
    assert ledger.faults_at_home({"a": [], "b": [text(1)]}) == []
    assert ledger.faults_at_home({"a": [text(2)], "b": [text(1)]}) == []
    assert ledger.faults_at_home({"a": [text(1)], "b": [text(1)]}) == ["letter 1 was removed by a and is back"]
    assert "not whole" in ledger.faults_at_home({"a": [], "b": [text(1, 3)]})[0]


def test_the_judge_of_what_was_sent() -> None:
    ledger = MailLedger(dict(LETTERS), {1, 2}, cuts=[(10.0, 10.02)])

    def taken(number: int, at: float, to: str = "u@good.test") -> Accepted:
        return Accepted(at, 1, False, "", (f"<{to}>",), text(number), b"")

    assert ledger.faults_away("good.test", [taken(1, 9.9), taken(1, 11.0), taken(2, 5.0)]) == []
    for wrong in (
        [taken(1, 5.0)],
        [taken(1, 5.0), taken(2, 5.0), taken(2, 6.0)],
        [taken(1, 5.0), taken(2, 5.0), taken(2, 6.0, to="x@good.test")],
    ):
        assert len(ledger.faults_away("good.test", wrong)) == 1
    assert ledger.faults_of_bounces("refuses.test", {"s@x": [text(1), text(2)]}) == []
    assert len(ledger.faults_of_bounces("refuses.test", {"s@x": [text(1)]})) == 1
    assert len(ledger.faults_of_bounces("refuses.test", {"s@x": [text(1), text(2), text(2)]})) == 1
    assert len(ledger.faults_of_bounces("refuses.test", {"s@x": [text(1), text(2)], "t@x": [text(1)]})) == 1
