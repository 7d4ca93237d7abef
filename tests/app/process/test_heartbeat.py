"""When a worker hangs, and when it only waits. No process, no clock: looks and states are given."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from posthouse.app.process.heartbeat import Heartbeat, Pulse, Watch, state_of

STILL = "its event loop stands still"
LOCKED = "it does not give the write lock back"


def looks(watch: Watch, count: int, *, ready: bool = True, hold: int = 0, beating: bool = False) -> list[int]:
    """Look so often; at which looks the worker was to be replaced."""
    pulses = [Pulse(1 + number * beating, hold, 7) for number in range(count)]
    return [number for number, pulse in enumerate(pulses, 1) if watch.look(pulse, ready=ready)]


def watch(state: str, thread: str = "S") -> Watch:
    return Watch(1, lambda _pid, number: thread if number else state)


@pytest.mark.parametrize(("state", "found_at"), [("T", 6), ("S", 6), ("", 6), ("R", 31), ("t", 31)])
def test_a_loop_that_does_not_turn(state: str, found_at: int) -> None:
    seen = watch(state)
    assert looks(seen, found_at - 1) == []
    assert seen.look(Pulse(1, 0, 0), ready=True) == STILL


def test_a_loop_that_turns_is_left_alone() -> None:
    assert looks(watch("R"), 1000, beating=True) == []


def test_one_that_waits_for_the_disk_is_left_alone_and_named_once() -> None:
    seen = watch("D")
    named = 0
    for _ in range(1000):
        assert seen.look(Pulse(1, 0, 0), ready=True) == ""
        named += seen.waits_for_disk
    assert named == 1


def test_one_that_starts_may_take_its_time_unless_it_is_stopped() -> None:
    assert looks(watch("S"), 1000, ready=False) == []
    assert looks(watch("R"), 1000, ready=False) == []
    assert looks(watch("T"), 6, ready=False) == [6]


def test_looks_that_say_nothing_are_forgiven() -> None:
    seen = watch("S")
    assert looks(seen, 5) == []
    seen.forgive()
    assert looks(seen, 4) == []


def test_the_write_lock_is_not_held_for_ever() -> None:
    assert looks(watch("S"), 61, hold=5, beating=True) == [61]
    assert looks(watch("S", thread="D"), 1000, hold=5, beating=True) == []  # the disk is slow for all
    assert looks(watch("S"), 1000, hold=6, beating=True) == []  # it was given back


def test_a_hold_after_another_is_no_long_hold() -> None:
    seen = watch("S")
    for number in range(1000):
        assert seen.look(Pulse(number, 2 * number + 1, 7), ready=True) == ""


def test_counters_are_shared_with_a_child() -> None:
    heartbeat = Heartbeat()
    child = os.fork()
    if child == 0:
        heartbeat.beat()
        heartbeat.beat()
        heartbeat.hold(True)
        os._exit(0)
    os.waitpid(child, 0)
    pulse = heartbeat.read()
    assert (pulse.beats, pulse.hold % 2, pulse.thread) == (2, 1, child)
    heartbeat.reset()
    assert heartbeat.read() == Pulse(0, 0, 0)
    heartbeat.close()


def test_each_hold_has_a_number_of_its_own() -> None:
    heartbeat = Heartbeat()
    seen = []
    for holds in (True, False, True, True, False, False, True):
        heartbeat.hold(holds)
        seen.append(heartbeat.read().hold)
        assert seen[-1] % 2 == holds
    assert len(set(seen)) == len(seen)
    heartbeat.close()


def test_the_state_of_a_process() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert state_of(process.pid, process.pid) in {"R", "S", "D"}
        os.kill(process.pid, 19)  # SIGSTOP
        os.waitpid(process.pid, os.WUNTRACED)
        assert state_of(process.pid, 0) == "T"
        process.kill()
    assert state_of(process.pid, 0) == ""
    assert not Path(f"/proc/{process.pid}").exists()


def test_a_process_runs_if_any_of_its_threads_does() -> None:
    program = (
        "import threading\nthreading.Thread(target=lambda: [0 for _ in iter(int, 1)], daemon=True).start()\ninput()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE) as process:
        while len(list(Path(f"/proc/{process.pid}/task").iterdir())) < 2:
            pass
        assert "R" in {state_of(process.pid, 0) for _ in range(1000)}
        process.kill()
