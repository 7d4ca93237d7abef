"""All attacks of tests/outside/attacks.py at once against `posthouse serve`, and others beside them.

In the short form: others are answered, each kind of them; nothing fails; memory is bounded. The long form
(`make faults`) goes on for ten minutes, prints how long others waited and what memory was held, and compares both with
the promise of docs/reliability.md.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.faults.scale import LONG, times
from tests.outside import crowd
from tests.outside.attacks import ATTACKER, ATTACKS
from tests.outside.holds import at_this_speed
from tests.outside.imap_wire import ImapWire
from tests.outside.program import memory_of
from tests.outside.served import Served, served

SECONDS = times(6, 600)
PEACE = times(1, 20)  # seconds, before and after
LOOKS = 20  # at the memory, while it lasts
GROWTH = 448 << 20  # octets of all workers, from peace to attack: sessions, spools in memory, answers that nobody reads
PROMISED = 0.25  # seconds, for 99 of 100
KINDS = {"come_by_smtp", "come_by_imap", "come_by_pop3", "noop", "mail", "collect"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("attack"), ["alice", "bob", "attacker", "heap"]) as server:
        crowd.fill(server.offset)
        with ImapWire.open(server.imap, ATTACKER, "INBOX") as wire:  # indexed once, for all attacks
            wire.ok(b"SEARCH TEXT nowhere")
        yield server


def test_all_attacks_at_once(server: Served) -> None:
    with crowd.others(server.offset) as waits, ExitStack() as attacks:
        time.sleep(PEACE)
        peace, before = waits(), held(server)
        for name in ATTACKS:
            attacks.enter_context(crowd.attacked(name, server.offset))
        waits()  # what began in peace
        memory = []
        for _ in range(LOOKS):
            time.sleep(SECONDS / LOOKS)
            memory.append(held(server))
        attacked = waits()
        while set(attacked) != KINDS:  # a slow machine: everybody is answered in the end
            time.sleep(1)
            attacked = waits() | attacked
        attacks.close()
        waits()
        time.sleep(PEACE)
        after = waits()
    for kind in sorted(KINDS):
        print(f"{kind:14} peace {_told(peace, kind)} | attacked {_told(attacked, kind)} | after {_told(after, kind)}")
    print(f"memory {before >> 20} MiB in peace; attacked {[octets >> 20 for octets in memory]}; {held(server) >> 20}")
    assert max(memory) - before < GROWTH
    if LONG:
        half = memory[LOOKS // 2 :]
        assert max(half) < max(memory[: LOOKS // 2]) * 1.1, "memory is not flat"
        assert {kind: waits for kind, waits in attacked.items() if waits.p99 > at_this_speed(PROMISED)} == {}


def held(server: Served) -> int:
    """Octets of memory of all workers."""
    return sum(map(memory_of, server.workers()))


def _told(waits: dict[str, crowd.Waits], kind: str) -> str:
    if kind not in waits:
        return "none"
    found = waits[kind]
    return (
        f"p50 {found.median * 1e3:4.0f} p99 {found.p99 * 1e3:5.0f} max {found.longest * 1e3:5.0f} ms of {found.count:6}"
    )
