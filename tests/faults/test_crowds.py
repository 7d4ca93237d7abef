"""Peers that ask for more than their share do not make others wait: many commands at once, long commands, large mail.

How long others wait depends on the machine and on what else it does, so the bound is a wide one beside what they wait
when nobody attacks. That work is done in shares is counted in tests/net/test_turns.py, tests/protocol/test_shares.py.
`make faults` prints the figures of all attacks.
"""

import time
from collections.abc import Iterator

import pytest

from tests.faults.scale import LONG
from tests.outside import crowd
from tests.outside.attacks import ATTACKER, ATTACKS
from tests.outside.imap_wire import ImapWire
from tests.outside.program import Program, running

SECONDS = 20.0 if LONG else 2.0
IN_SHORT = ("smtp-noop", "imap-noop", "pop3-capa", "thread", "store", "large")
WIDER = 10  # times what they wait at the most in peace
AT_LEAST = 0.1  # seconds, taken for the most that they wait in peace: a quiet machine takes some milliseconds


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with running(tmp_path_factory.mktemp("crowd") / "data") as program:
        program.add_accounts(["attacker", "heap"])
        crowd.fill(program.offset)
        with ImapWire.open(143 + program.offset, ATTACKER, "INBOX") as wire:  # indexed once, for all attacks
            wire.ok(b"SEARCH TEXT nowhere")
        yield program


@pytest.mark.parametrize("name", ATTACKS if LONG else IN_SHORT)
def test_others_are_served(crowded: Program, name: str) -> None:
    with crowd.others(crowded.offset) as waits:
        time.sleep(SECONDS / 2)
        peace = waits()
        with crowd.attacked(name, crowded.offset):
            time.sleep(SECONDS)
            attacked = waits()
    for kind, before in peace.items():
        print(f"{name:16} {kind:14} {_figures(before)} -> {_figures(attacked[kind]) if kind in attacked else 'none'}")
    for kind, before in peace.items():
        bound = WIDER * max(before.p99, AT_LEAST)
        assert kind in attacked, f"{kind} came to nothing in {SECONDS} s"
        assert attacked[kind].median < bound, f"{kind}: {attacked[kind]}, and {before} in peace"


def _figures(waits: crowd.Waits) -> str:
    return f"p50 {waits.median * 1e3:4.0f} ms, p99 {waits.p99 * 1e3:4.0f} ms of {waits.count:4}"
