"""kill -9 of the running server, workers and all, while IMAP clients change mailboxes; judged by a ledger outside it.

Eight clients on two accounts APPEND, COPY, MOVE, STORE, EXPUNGE, and CREATE, RENAME and DELETE mailboxes; after 50 to
500 ms the whole process group is killed and started again on the same data. A client takes a command as done only once
it has read the tagged OK. After each start everything is read afresh and compared (imap_ledger.py says how).

POSTHOUSE_LONG=1 kills 200 times, the short form 4 times. The judge is tried too: on a store put back to before, and on
a message that was copied behind its back.
"""

import random
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.fsck_says import complaints
from tests.faults.imap_hands import SHARED, Hand, read_all
from tests.faults.imap_ledger import OWNERS, Change, Held, Ledger, Owner, Seen, State
from tests.faults.scale import times
from tests.outside.imap_wire import ImapWire, quoted
from tests.outside.served import Served, served

KILLS = times(4, 200)
ACCOUNTS = ("alice@example.test", "bob@example.test")
ACTS = ("append", "copy", "move", "store", "expunge", "rename", "create", "delete")


@contextmanager
def started(folder: Path) -> Iterator[tuple[Served, Ledger, list[Hand]]]:
    """A server with two workers, and clients that have nothing yet."""
    ledger, shared = Ledger(), {}
    with served(folder, ["alice", "bob"]) as server:
        for account in ACCOUNTS:
            with ImapWire.open(server.imap, account) as wire:
                answer = wire.ok(b"CREATE " + quoted(SHARED))
                shared[account] = f"{account}/{answer.argument('MAILBOXID').strip('()')}"
        accounts = [ACCOUNTS[place % len(ACCOUNTS)] for place in range(OWNERS)]
        yield (
            server,
            ledger,
            [Hand(place, account, shared[account], ledger, 4711) for place, account in enumerate(accounts)],
        )


def one_life(server: Served, hands: list[Hand], seconds: float) -> None:
    """Load, and kill."""
    for hand in hands:
        hand.connect(server.imap)
    stop = threading.Event()
    threads = [threading.Thread(target=hand.work, args=(stop,)) for hand in hands]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    server.kill()
    stop.set()
    for thread in threads:
        thread.join()


def look(server: Served) -> dict[str, Seen]:
    """Everything of everybody."""
    return {box: what for account in ACCOUNTS for box, what in read_all(server.imap, account).items()}


@pytest.mark.timeout(60 + 5 * KILLS)
def test_killed_again_and_again(tmp_path: Path) -> None:
    source = random.Random(914)
    slowest, in_flight, faults = 0.0, 0, list[str]()
    with started(tmp_path) as (server, ledger, hands):
        for life in range(KILLS):
            one_life(server, hands, source.uniform(0.05, 0.5))
            in_flight += sum(hand.owner.under_way is not None for hand in hands)
            began = time.monotonic()
            server.start()
            slowest = max(slowest, time.monotonic() - began)
            faults += [f"life {life}: {fault}" for fault in ledger.judge(look(server), [hand.owner for hand in hands])]
        checked = server.run("fsck", "--json")
    lost, doubles = (sum(word in fault for fault in faults) for word in ("is lost", "is also at"))
    counts = ", ".join(f"{ledger.done[act]} {act}" for act in ACTS)
    print(f"{KILLS} kills, acknowledged: {counts}; {in_flight} in flight, back in {slowest:.2f} s")
    print(f"{lost} lost, {doubles} doubles, {len(faults)} faults")
    assert faults == []
    assert complaints(checked) == []
    assert all(ledger.done[act] >= KILLS // 2 for act in ACTS), f"too little happened to say anything: {counts}"


def test_the_ledger_catches_loss_and_uids_that_come_back(tmp_path: Path) -> None:
    """A store put back to what it was before has lost what it acknowledged since, and gives its uids again."""
    with started(tmp_path) as (server, ledger, hands):
        hand, owners = hands[0], [hand.owner for hand in hands]
        hand.connect(server.imap)
        hand.append()
        server.kill()
        shutil.copytree(tmp_path / "data", tmp_path / "before", ignore=shutil.ignore_patterns("bus"))
        give_up(hand)
        server.start()
        assert ledger.judge(look(server), owners) == []
        hand.connect(server.imap)
        hand.append()
        hand.look()  # which tells HIGHESTMODSEQ
        server.kill()
        give_up(hand)
        shutil.rmtree(tmp_path / "data")
        shutil.copytree(tmp_path / "before", tmp_path / "data")
        server.start()
        faults = ledger.judge(look(server), owners)
        hand.connect(server.imap)
        hand.append()
        give_up(hand)
        again = ledger.judge(look(server), owners)
    for word in ("is lost", "UIDNEXT of Shared went back", "HIGHESTMODSEQ of Shared went back"):
        assert any(word in fault for fault in faults), (word, faults)
    assert any("is used again" in fault for fault in again), again


def test_the_ledger_catches_a_message_in_two_places(tmp_path: Path) -> None:
    """After a MOVE the message is copied to where it was, without the ledger."""
    with started(tmp_path) as (server, ledger, hands):
        hand, owners = hands[0], [hand.owner for hand in hands]
        hand.connect(server.imap)
        hand.append()
        hand.create()
        before = hand.owner.state
        hand.any_box = lambda: next(iter(before.boxes))  # type: ignore[method-assign]
        hand.move()
        moved = hand.owner.state
        assert moved != before
        name = next(iter(moved.boxes.values()))
        with ImapWire.open(server.imap, hand.account, name) as wire:
            wire.ok(b"COPY 1 " + quoted(SHARED))
        give_up(hand)
        faults = ledger.judge(look(server), owners)
    assert any("is also at" in fault for fault in faults), faults


BEFORE = State({"a/F1": "c0-a"}, {("a/F1", 1): Held(8, frozenset({"\\Seen"})), ("a/F1", 2): Held(16)})
FIRST = BEFORE.held["a/F1", 1]
MOVE = Change("move", frozenset({("a/F1", 1)}), (("a/F2", FIRST),))
BOTH = Change("expunge", frozenset(BEFORE.held))


def changed(*gone: int, **new: int) -> State:
    """BEFORE without those uids of its mailbox, and with the first message in others."""
    kept = {place: what for place, what in BEFORE.held.items() if place[1] not in gone}
    return replace(BEFORE, held=kept | {(f"a/{box}", uid): FIRST for box, uid in new.items()})


@pytest.mark.parametrize(
    ("under_way", "now"),
    [
        (None, BEFORE),
        (MOVE, BEFORE),
        (MOVE, changed(1, F2=7)),
        (BOTH, changed(1, 2)),
        (Change("rename", renames={"a/F1": "c0-b"}), replace(BEFORE, boxes={"a/F1": "c0-b"})),
        (Change("delete", deletes="a/F1"), State()),
        (Change("create", creates="c0-b"), replace(BEFORE, boxes=BEFORE.boxes | {"a/F9": "c0-b"})),
    ],
)
def test_whole_or_not_at_all_is_no_fault(under_way: Change | None, now: State) -> None:
    assert Owner("c0", BEFORE, under_way).faults(now) == []


@pytest.mark.parametrize(
    ("under_way", "now", "fault"),
    [
        (MOVE, changed(F2=7), "by half"),  # in both
        (MOVE, changed(1), "by half"),  # in none
        (MOVE, changed(1, F2=7, F3=7), "is also at"),
        (MOVE, changed(1, 2, F2=7), "is lost"),
        (BOTH, changed(1), "by half"),
        (None, changed(2), "is lost"),
        (None, changed(F1=3), "is also at"),  # such as one that was expunged and is back
        (None, replace(BEFORE, held=BEFORE.held | {("a/F1", 1): Held(8)}), "flags of 8"),
        (None, replace(BEFORE, held=BEFORE.held | {("a/F1", 1): Held(24)}), "is 24 and was 8"),
        (None, replace(BEFORE, boxes={"a/F1": "c0-b"}), "is c0-b"),
        (None, replace(BEFORE, boxes=BEFORE.boxes | {"a/F9": "c0-b"}), "was not made"),
        (Change("delete", deletes="a/F1"), replace(BEFORE, boxes={}), "by half"),
    ],
)
def test_half_and_wrong_is_a_fault(under_way: Change | None, now: State, fault: str) -> None:
    faults = Owner("c0", BEFORE, under_way).faults(now)
    assert any(fault in text for text in faults), faults


def give_up(hand: Hand) -> None:
    """Close the connection of a client that is not at work."""
    assert hand.wire is not None
    hand.wire.close()
