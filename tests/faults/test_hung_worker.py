"""Workers that hang: stopped at any moment, they are replaced; nothing acknowledged is lost, nobody waits for long."""

import itertools
import os
import signal
import threading
import time
from pathlib import Path

from posthouse.app.process.heartbeat import state_of
from tests.app.commands.test_serve import Server, serving, until
from tests.outside.maildrop import collect
from tests.outside.wire import Wire

GENEROUS = 60.0  # seconds; the worker is replaced within some ten


def greeted(server: Server) -> bool:
    with Wire(server.port(25), timeout=GENEROUS) as wire:
        return wire.reply().startswith("220")


class Sender(threading.Thread):
    """Sends one mail after the other, and keeps the names of those that were acknowledged."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = server
        self._over = threading.Event()
        self.kept: list[bytes] = []

    def run(self) -> None:
        for number in itertools.count():
            if self._over.is_set():
                return
            name = b"number %d;" % number
            try:
                with Wire(self._server.port(25), timeout=GENEROUS) as wire:
                    wire.hello()
                    wire.mail("alice@example.test")
                    if wire.data(b"Subject: %s\r\n\r\nx\r\n" % name).startswith("250"):
                        self.kept.append(name)
            except (OSError, AssertionError):
                continue  # cut off with the worker: not acknowledged

    def stop(self) -> None:
        self._over.set()
        self.join()


def test_a_stopped_worker_is_replaced_and_nobody_waits_for_it(tmp_path: Path) -> None:
    with serving(tmp_path, workers=2) as server:
        until(lambda: len(server.workers()) == 2, server.log)
        sender = Sender(server)
        sender.start()
        try:
            for stopped in (1, 2):
                count = len(sender.kept)
                until(lambda count=count: len(sender.kept) > count + 20, server.log, GENEROUS)
                victim = server.workers()[0]
                stop_while_it_holds(tmp_path / "data" / "write.lock", victim, server)
                assert all(greeted(server) for _ in range(20))  # the kernel has given half of them to it
                until(lambda victim=victim: victim not in server.workers(), server.log, GENEROUS)
                until(lambda: len(server.workers()) == 2, server.log, GENEROUS)
                assert server.log.read_text().count("worker hangs") == stopped
        finally:
            sender.stop()
        assert server.send().startswith("250")
        found = collect(server.port(110), "alice@example.test").values()
        assert len(sender.kept) > 40
        assert [name for name in sender.kept if not any(name in message for message in found)] == []


def stop_while_it_holds(lock: Path, pid: int, server: Server) -> None:
    """Stop a process at a moment when it has a lock that others wait for."""
    inode = f":{lock.stat().st_ino} "

    def stopped() -> bool:
        os.kill(pid, signal.SIGSTOP)
        while state_of(pid, 0) != "T":
            time.sleep(0.0005)
        for line in Path("/proc/locks").read_text().splitlines():
            words = line.split()  # proc(5): "1: FLOCK ADVISORY WRITE 4711 00:2a:123 0 EOF"; a waiter has "->"
            if words[1] == "FLOCK" and words[4] == str(pid) and inode in line:
                return True
        os.kill(pid, signal.SIGCONT)
        return False

    until(stopped, server.log, GENEROUS)


def states(pid: int) -> set[str]:
    """What its event loop is found doing, again and again."""
    found = set()
    for _ in range(50):
        found.add(state_of(pid, pid))
        time.sleep(0.002)
    return found


def test_a_worker_without_a_parent_ends_and_does_not_spin(tmp_path: Path) -> None:
    with serving(tmp_path, workers=1, ends=-signal.SIGKILL) as server:
        [worker] = server.workers()
        with Wire(server.port(25)) as wire:  # it waits for this one, up to `drain`
            wire.hello()
            wire.mail()
            wire.expect(b"DATA", "354")
            os.kill(server.process.pid, signal.SIGKILL)
            server.process.wait()
            until(lambda: "R" not in states(worker), server.log)
            wire.send(b"Subject: late\r\n\r\nx\r\n.\r\n")
            assert wire.reply().startswith("250")
        until(lambda: not Path(f"/proc/{worker}").exists(), server.log, GENEROUS)
