"""kill -9 while a store delivers and expunges: what was acknowledged is true, and nothing is half there."""

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from posthouse.mailstore.changes import LocalBus
from posthouse.mailstore.sqlite.store import SqliteMailstore
from tests.faults.ledger import Ledger, body_of
from tests.faults.scale import times
from tests.faults.store_worker import ACCOUNTS
from tests.store_invariants import assert_sound
from tests.stores import PREFIX, deliver, fetch

KILLS = times(10, 500)
LIVES = 100  # of one store: after each life all that it ever kept is read
ROOT = Path(__file__).parents[2]


def live_and_die(folder: Path, ledger: Ledger, life: int, *, workers: int = 1, early: bool = False) -> None:
    """Run workers on the folder for a moment, kill them all, and put what they said into the ledger."""
    with tempfile.TemporaryFile() as lines:
        running = []
        for worker in range(workers):
            numbers = [str(life * 1_000_000 + worker), str(workers)]
            command = [sys.executable, "-m", "tests.faults.store_worker", str(folder), *numbers]
            command += ["early"] * early
            running.append(subprocess.Popen(command, stdout=lines, stderr=subprocess.PIPE, cwd=ROOT))
        for process in running:
            assert process.stderr is not None
            assert process.stderr.readline() == b"ready\n"
        time.sleep(random.uniform(0.05, 0.5))
        for process in running:
            process.kill()
        for process in running:
            assert process.stderr is not None
            complaint = process.stderr.read()
            process.stderr.close()
            assert process.wait() == -9, complaint.decode()
        lines.seek(0)
        ledger.read(lines.read())


async def held(folder: Path) -> dict[int, list[bytes]]:
    """What the store has now, after it was opened and written to again."""
    store = SqliteMailstore.open(folder, bus=LocalBus())
    await deliver(store, ACCOUNTS + 1)
    found: dict[int, list[bytes]] = {}
    for account in range(1, ACCOUNTS + 1):
        for entry in await store.entries(account):
            body = (await fetch(store, entry))[len(PREFIX) :]
            found.setdefault(int(body.split(b"\r\n")[0]), []).append(body)
    await store.close()
    return found


async def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    delivered = expunged = 0
    for first in range(1, KILLS + 1, LIVES):
        ledger, folder = Ledger(), tmp_path / str(first)
        folder.mkdir()
        for life in range(first, min(first + LIVES, KILLS + 1)):
            live_and_die(folder, ledger, life, workers=1 + life % 2)
            assert ledger.faults(await held(folder)) == []
            if life % 10 == 0:
                assert_sound(folder)
        delivered += len(ledger.delivered)
        expunged += len(ledger.expunged)
    assert delivered > 10 * KILLS
    assert expunged > KILLS
    print(f"{KILLS} kills, {delivered} deliveries, {expunged} expunges, nothing lost")


async def test_the_ledger_catches_a_store_that_acknowledges_too_early(tmp_path: Path) -> None:
    ledger = Ledger()
    for life in range(1, 21):
        live_and_die(tmp_path, ledger, life, early=True)
        faults = ledger.faults(await held(tmp_path))
        if faults:
            assert all(fault.endswith("lost") for fault in faults)
            return
    raise AssertionError("20 kills, and no loss was seen")


def test_the_ledger_sees_every_kind_of_fault() -> None:
    ledger = Ledger()
    ledger.read(b"D 1\nD 2\nD 3\n? 2\nX 2\nD 4\n? 4\nD 5\nD 6\nD 77")
    assert ledger.faults({number: [body_of(number)] for number in (1, 3, 5, 6)}) == []
    found = {2: [body_of(2)], 3: [body_of(3)[:-1]], 5: [body_of(5)] * 2, 6: [body_of(6)], 9: [body_of(9)]}
    assert ledger.faults(found) == ["1 lost", "2 came back", "3 is half a message", "5 is there 2 times"]
