"""How the parent sees that a worker hangs: counters in memory that both share and a living worker keeps changing.

There are two: one that the event loop counts up twice a second, and one that its commit thread counts up when it takes
the write lock of the store and when it gives it back, for a holder that does not go on stops the writes of all workers.
The parent looks every second and counts for how many looks nothing has changed; it never compares clocks, so nothing
follows from the time of a machine that was asleep.

A worker that waits for the disk is left alone: the others wait for the same disk, and it could not be killed anyway.
One that is busy is given longer than one that is stopped or blocked: what it does may yet come to an end.
"""

import mmap
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

BEAT_SECONDS = 0.5  # between two beats of a worker's event loop
_BLOCKED_LOOKS = 5  # without a beat of a worker that does nothing
_BUSY_LOOKS = 30  # of one that computes, or that a debugger holds
_LOCKED_LOOKS = 60  # with the write lock held all the time, by a thread that does not wait for the disk
_DISK_LOOKS = 10  # after which the log says that a worker waits for the disk
_COUNTERS = struct.Struct("=QQQ")
_WORD = struct.Struct("=Q")


class Pulse(NamedTuple):
    """The counters of a worker. `hold` is odd while `thread` holds the write lock."""

    beats: int
    hold: int
    thread: int


class Heartbeat:
    """Memory that a parent shares with one child. Each counter is written by one thread of the child."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)  # of nobody's file, so it stays shared after fork()
        self.reset()

    def reset(self) -> None:
        """Begin anew, for a new child."""
        self._beats = self._hold = 0
        _COUNTERS.pack_into(self._memory, 0, 0, 0, 0)

    def beat(self) -> None:
        """The event loop turns."""
        self._beats += 1
        _WORD.pack_into(self._memory, 0, self._beats)

    def hold(self, holds: bool) -> None:
        """The calling thread has taken the write lock, or is about to give it back."""
        self._hold += 1 + (self._hold % 2 == holds)  # odd while held, and never the same twice
        _WORD.pack_into(self._memory, 16, threading.get_native_id())
        _WORD.pack_into(self._memory, 8, self._hold)

    def read(self) -> Pulse:
        """The counters as they are."""
        return Pulse(*_COUNTERS.unpack_from(self._memory, 0))

    def close(self) -> None:
        """Let go of the memory."""
        self._memory.close()


class Watch:
    """What the parent thinks of one worker. `state` tells how a process, or a thread of it, is: see state_of."""

    def __init__(self, pid: int, state: "Callable[[int, int], str] | None" = None) -> None:
        self._pid = pid
        self._state = state or state_of
        self._last = Pulse(0, 0, 0)
        self._silent = 0  # looks without a beat
        self._waiting = 0  # looks without a beat while it waited for the disk
        self._locked = 0  # looks at one and the same hold of the write lock

    def forgive(self) -> None:
        """The looks so far say nothing: the parent itself, or the whole machine, did not go on."""
        self._silent = self._waiting = self._locked = 0

    def look(self, pulse: Pulse, *, ready: bool) -> str:
        """Look once; why the worker must be replaced, "" for no reason.

        One that is not yet `ready` may take its time, to bring a store up to date, unless it is stopped.
        """
        last, self._last = self._last, pulse
        if pulse.hold % 2 and pulse.hold == last.hold:
            if self._state(self._pid, pulse.thread) != "D":
                self._locked += 1
        else:
            self._locked = 0
        if pulse.beats != last.beats:
            self._silent = self._waiting = 0
        else:
            self._miss(ready)
        if self._silent >= _BLOCKED_LOOKS and self._silent >= _patience(self._state(self._pid, 0)):
            return "its event loop stands still"
        return "it does not give the write lock back" if self._locked >= _LOCKED_LOOKS else ""

    @property
    def waits_for_disk(self) -> bool:
        """Whether now is the time to say so, once."""
        return self._waiting == _DISK_LOOKS

    def _miss(self, ready: bool) -> None:
        state = self._state(self._pid, 0)
        if state == "D":
            self._waiting += 1
        elif ready or state == "T":
            self._silent += 1


def _patience(state: str) -> int:
    return _BUSY_LOOKS if state in ("R", "t", "D") else _BLOCKED_LOOKS


def state_of(pid: int, thread: int) -> str:
    """A letter of proc(5) for a thread: R runs, S sleeps, D waits for the disk, T is stopped; "" if nobody knows.

    With thread 0, for the whole process: as its main thread, but R if any other of its threads runs.
    """
    threads = Path(f"/proc/{pid}/task")
    if thread:
        return _letter(threads / str(thread))
    main = _letter(threads / str(pid))
    if main == "S" and any(_letter(each) == "R" for each in _entries(threads)):
        return "R"  # it may hold what the main thread needs to go on
    return main


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _letter(thread: Path) -> str:
    try:
        text = (thread / "stat").read_text()
    except OSError:
        return ""  # it has ended, or this system has no /proc
    return text[text.rindex(")") + 2]  # the name before it may hold anything
