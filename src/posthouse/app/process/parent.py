"""The parent of the workers: forks them, replaces those that die, passes signals on. It serves nothing itself.

It has no event loop and no threads, so that forking is safe at any time. It sleeps in poll() on two kinds of things:
the wake-up pipe that signals write to, and one pipe per worker by which the worker says that it is ready.
A worker learns that the parent is gone when its end of the life line closes. The parent learns that a worker hangs when
the counters that they share stand still (heartbeat.py): it is killed, which gives its locks back, and replaced. What
connects meanwhile to its sockets waits there for the successor.
"""

import math
import os
import select
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from structlog.typing import FilteringBoundLogger

from posthouse.app.errors import Exit
from posthouse.app.process.heartbeat import Heartbeat, Watch
from posthouse.app.process.notify import Notifier

PASSED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
_FIRST_DELAY = 0.1  # seconds before a worker that died is replaced; doubled each time it dies young
_LAST_DELAY = 30.0
_GROWN_UP = 60.0  # seconds after which a worker's death says nothing about its successor
_TICK = 1.0  # seconds between two looks at the workers' heartbeats
_LATE = 2.0  # seconds; a look that comes this late says nothing: we did not get to run ourselves
_ONE_ASKING = 1.0  # seconds; two requests to stop that come closer together are one, sent by two senders
_GRACE = 5.0  # seconds beyond the drain time before a worker is killed


class RunWorker(Protocol):
    """A worker's whole life, in the child. Returns its exit code."""

    def __call__(self, index: int, ready: Callable[[], None], life_line: int, heartbeat: Heartbeat) -> int:
        """Serve until SIGTERM; call `ready` once all ports answer; stop as well when `life_line` reads end of file.

        `heartbeat` must beat every BEAT_SECONDS from then on.
        """


@dataclass(slots=True)
class _Worker:
    pid: int
    started: float
    ready_pipe: int  # -1 once it has said so
    delay: float  # before its successor starts
    watch: Watch


@dataclass(slots=True)
class Parent:
    """Keeps `count` workers running. All times are in seconds."""

    count: int
    run_worker: RunWorker
    drain: float
    log: FilteringBoundLogger
    notifier: Notifier = field(default_factory=Notifier)
    on_ready: Callable[[], None] = lambda: None  # the first time that all workers are ready
    on_reload: Callable[[], None] | None = None  # before the workers are told to reload
    is_abandoned: Callable[[], bool] = lambda: False  # whether a SIGHUP is the end of our terminal
    clock: Callable[[], float] = time.monotonic

    _workers: dict[int, _Worker] = field(default_factory=dict)  # by index
    _due: dict[int, tuple[float, float]] = field(default_factory=dict)  # index -> when to start, next delay
    _heartbeats: list[Heartbeat] = field(default_factory=list)
    _next_look: float = 0.0
    _parent_pipe: tuple[int, int] = (-1, -1)
    _wakeup: tuple[int, int] = (-1, -1)
    _was_ready: bool = False
    _stopping: bool = False
    _failed: bool = False
    _asked: float = 0.0  # when to stop was asked for
    _kill_at: float = float("inf")

    def run(self) -> int:
        """Serve until told to stop. Returns the exit code."""
        self._parent_pipe = os.pipe()
        self._wakeup = os.pipe()
        os.set_blocking(self._wakeup[0], False)
        os.set_blocking(self._wakeup[1], False)
        before = {number: signal.signal(number, _noted) for number in PASSED}
        signal.set_wakeup_fd(self._wakeup[1], warn_on_full_buffer=False)
        self._heartbeats = [Heartbeat() for _ in range(self.count)]
        self._next_look = self.clock() + _TICK
        try:
            for index in range(self.count):
                self._start(index, _FIRST_DELAY)
            while self._workers or (self._due and not self._stopping):
                self._turn()
        finally:
            signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                signal.signal(number, handler)
            for descriptor in (*self._parent_pipe, *self._wakeup):
                os.close(descriptor)
            for heartbeat in self._heartbeats:
                heartbeat.close()
        return Exit.FAILED if self._failed else Exit.OK

    def _turn(self) -> None:
        """Sleep until something happens, then act on it."""
        now = self.clock()
        nearest = min([when for when, _ in self._due.values()] + [self._kill_at, self._next_look])
        readable = self._sleep(max(0.0, nearest - now))
        if self._wakeup[0] in readable:
            for number in os.read(self._wakeup[0], 4096):
                self._act(signal.Signals(number))
        self._hear(readable)
        self._reap()
        now = self.clock()
        if now >= self._next_look:
            self._look(late=now - self._next_look > _LATE)
            self._next_look = now + _TICK
        for index in [index for index, (when, _) in self._due.items() if when <= now]:
            self._start(index, self._due.pop(index)[1])
        if now >= self._kill_at:
            self._kill_at = float("inf")
            self.log.warning("workers did not stop in time", workers=len(self._workers))
            self._pass_on(signal.SIGKILL)

    def _sleep(self, seconds: float) -> set[int]:
        """Which pipes have something to read. Not by select(): descriptors may be past 1023 where ports are many."""
        poll = select.poll()
        poll.register(self._wakeup[0], select.POLLIN)
        for worker in self._workers.values():
            if worker.ready_pipe >= 0:
                poll.register(worker.ready_pipe, select.POLLIN)
        return {descriptor for descriptor, _ in poll.poll(math.ceil(seconds * 1000))}

    def _look(self, *, late: bool) -> None:
        """Replace the workers that hang. While all are stopping there is another bound, see _kill_at."""
        if self._stopping:
            return
        for index, worker in self._workers.items():
            if late:
                worker.watch.forgive()
            reason = worker.watch.look(self._heartbeats[index].read(), ready=worker.ready_pipe == -1)
            if worker.watch.waits_for_disk:
                self.log.warning("worker waits for the disk", worker=index, pid=worker.pid)
            if reason:
                self.log.error("worker hangs, it is killed", worker=index, pid=worker.pid, reason=reason)
                worker.watch.forgive()
                os.kill(worker.pid, signal.SIGKILL)

    def _act(self, number: signal.Signals) -> None:
        if number == signal.SIGHUP and self.is_abandoned():
            self._stop()
        elif number == signal.SIGHUP:
            if self.on_reload is not None:
                self.on_reload()
            self._pass_on(signal.SIGHUP)
        elif number in (signal.SIGTERM, signal.SIGINT):
            if not self._stopping:
                self._stop()
            elif self.clock() - self._asked >= _ONE_ASKING:  # asked twice: someone is in a hurry
                self._kill_at = self.clock()

    def _stop(self) -> None:
        """Also when asked again, by the end of the terminal."""
        if self._stopping:
            return
        self._stopping = True
        self._asked = self.clock()
        self._due.clear()
        self._kill_at = self.clock() + self.drain + _GRACE
        self.notifier.stopping()
        self.log.info("stopping", workers=len(self._workers))
        self._pass_on(signal.SIGTERM)

    def _pass_on(self, number: signal.Signals) -> None:
        for worker in self._workers.values():
            os.kill(worker.pid, number)  # not reaped yet, so the number is still this worker's

    def _start(self, index: int, delay: float) -> None:
        ready_pipe, ready_writer = os.pipe()
        self._heartbeats[index].reset()
        # A signal that comes between fork and the child's own handlers must wait, not be lost.
        signal.pthread_sigmask(signal.SIG_BLOCK, PASSED)
        pid = os.fork()
        if pid == 0:
            self._be_worker(index, ready_pipe, ready_writer)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED)
        os.close(ready_writer)
        self._workers[index] = _Worker(pid, self.clock(), ready_pipe, delay, Watch(pid))

    def _be_worker(self, index: int, ready_pipe: int, ready_writer: int) -> None:
        """In the child: never returns, whatever happens."""
        code = int(Exit.FAILED)
        try:
            signal.set_wakeup_fd(-1)
            for number in PASSED:
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent passes it on
            for worker in self._workers.values():
                if worker.ready_pipe >= 0:
                    os.close(worker.ready_pipe)
            for descriptor in (ready_pipe, self._parent_pipe[1], *self._wakeup):
                os.close(descriptor)

            def ready() -> None:
                os.write(ready_writer, b"r")
                os.close(ready_writer)

            code = self.run_worker(index, ready, self._parent_pipe[0], self._heartbeats[index])
        except BaseException:
            self.log.exception("worker failed", worker=index)
        finally:
            os._exit(code)

    def _hear(self, readable: set[int]) -> None:
        for worker in self._workers.values():
            if worker.ready_pipe in readable:
                octet = os.read(worker.ready_pipe, 1)
                os.close(worker.ready_pipe)
                worker.ready_pipe = -1 if octet else -2  # -2: closed without a word, it is dying
        ready = len(self._workers) == self.count and all(w.ready_pipe == -1 for w in self._workers.values())
        if ready and not self._was_ready and not self._stopping:
            self._was_ready = True
            self.on_ready()
            self.notifier.ready()

    def _reap(self) -> None:
        by_pid = {worker.pid: index for index, worker in self._workers.items()}
        while by_pid:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in by_pid:
                self._on_worker_exit(by_pid.pop(pid), os.waitstatus_to_exitcode(status))

    def _on_worker_exit(self, index: int, code: int) -> None:
        worker = self._workers.pop(index)
        if worker.ready_pipe >= 0:
            os.close(worker.ready_pipe)
        if self._stopping:
            self._failed = self._failed or code not in (0, -signal.SIGKILL, -signal.SIGTERM)
            return
        if not self._was_ready:
            # The very first start failed: that will not get better by itself. The worker has said why.
            self._failed = True
            self._stop()
            return
        now = self.clock()
        delay = _FIRST_DELAY if now - worker.started >= _GROWN_UP else worker.delay
        self.log.error("worker died", worker=index, pid=worker.pid, code=code, restart_in=delay)
        self._due[index] = (now + delay, min(delay * 2, _LAST_DELAY))


def _noted(_number: int, _frame: object) -> None:
    """Do nothing: the wake-up pipe has the number, and the loop acts on it."""
