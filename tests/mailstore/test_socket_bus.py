"""The bus between workers: in one process, between processes, with peers that are dead, busy or talk nonsense."""

import asyncio
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from posthouse.mailstore.socket_bus import SocketBus, clear_bus, decode, encode

PEER = """
import asyncio, sys, time
from pathlib import Path
from posthouse.mailstore.socket_bus import SocketBus
from posthouse.net.loop import new_event_loop

async def main() -> None:
    bus = SocketBus(Path(sys.argv[1]), 1, 2)
    bus.watch(7, lambda modseq: bus.publish(8, modseq))
    bus.start()
    print("ready", flush=True)
    await asyncio.sleep(60)

with asyncio.Runner(loop_factory=new_event_loop) as runner:
    runner.run(main())
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    clear_bus(tmp_path / "bus")
    return tmp_path / "bus"


@asynccontextmanager
async def buses(folder: Path, count: int) -> AsyncIterator[list[SocketBus]]:
    async with AsyncExitStack() as stack:
        opened = [SocketBus(folder, index, count) for index in range(count)]
        for bus in opened:
            bus.start()
            stack.callback(bus.close)
        yield opened
    assert names(folder) == []


@asynccontextmanager
async def process(folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Worker 1 of 2, that says what it hears of account 7 about account 8."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PEER, str(folder), stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    assert await child.stdout.readline() == b"ready\n"
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 -- what is waited for has no event
            await asyncio.sleep(0.001)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def own_socket(bus: SocketBus) -> socket.socket:
    assert bus._socket is not None
    return bus._socket


async def test_every_worker_hears_of_a_change_once(folder: Path) -> None:
    async with buses(folder, 3) as (one, two, three):
        told: list[list[int]] = [[], [], []]
        for bus, heard in zip((one, two, three), told, strict=True):
            bus.watch(7, heard.append)
        one.publish(7, 41)
        assert told == [[41], [], []]  # its own sessions at once
        await until(lambda: told == [[41], [41], [41]])
        three.publish(7, 42)
        await until(lambda: told == [[41, 42], [41, 42], [41, 42]])


async def test_who_watches_another_account_hears_nothing(folder: Path) -> None:
    async with buses(folder, 2) as (one, two):
        told: list[int] = []
        other: list[int] = []
        end = two.watch(7, told.append)
        two.watch(8, other.append)
        one.publish(7, 1)
        await until(lambda: told == [1])
        end()
        one.publish(7, 2)
        one.publish(8, 3)
        await until(lambda: other == [3])
        assert told == [1]


async def test_one_turn_is_one_datagram(folder: Path) -> None:
    ears = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    ears.bind(str(folder / "1"))
    bus = SocketBus(folder, 0, 2)
    bus.start()
    for modseq in range(1, 101):
        bus.publish(1, modseq)
        bus.publish(2, 1000 - modseq)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert list(decode(ears.recv(10_000))) == [(1, 100), (2, 999)]
    with pytest.raises(BlockingIOError):
        ears.recv(10_000)
    bus.close()
    ears.close()


async def test_more_accounts_than_one_datagram_takes(folder: Path) -> None:
    async with buses(folder, 2) as (one, two):
        told: dict[int, int] = {}
        for account in range(1000):
            two.watch(account, lambda modseq, account=account: told.update({account: modseq}))  # type: ignore[misc]
        for account in range(1000):
            one.publish(account, account + 1)
        await until(lambda: len(told) == 1000)
        assert told == {account: account + 1 for account in range(1000)}


async def test_a_busy_peer_is_told_the_latest_when_it_has_time(folder: Path) -> None:
    async with buses(folder, 2) as (one, two):
        loop = asyncio.get_running_loop()
        loop.remove_reader(own_socket(two).fileno())
        told: list[int] = []
        two.watch(7, told.append)
        for modseq in range(1, 2001):
            one.publish(7, modseq)  # does not wait for it
            await asyncio.sleep(0)
        assert one._peers[0].late == {7: 2000}
        loop.add_reader(own_socket(two).fileno(), two._hear, own_socket(two))
        await until(lambda: 2000 in told)
        assert len(told) < 1100  # what it had no time for was merged
        assert one._peers[0].late == {}


async def test_what_waits_for_a_stopped_peer_is_bounded(folder: Path) -> None:
    async with buses(folder, 2) as (one, two):
        asyncio.get_running_loop().remove_reader(own_socket(two).fileno())
        for account in range(100_000):
            one.publish(account, 1)
            if account % 100 == 0:
                await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert 0 < len(one._peers[0].late) <= 4096


async def test_a_stopped_peer_does_not_keep_the_others_waiting(folder: Path) -> None:
    async with buses(folder, 3) as (one, two, three):
        asyncio.get_running_loop().remove_reader(own_socket(two).fileno())
        told: list[int] = []
        three.watch(300, told.append)
        for modseq in range(1, 1001):
            for account in range(300):
                one.publish(account, modseq)
            await asyncio.sleep(0)
        one.publish(300, 1)
        await until(lambda: told == [1])


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"x",
        b"x" * 15,
        b"x" * 17,
        b"\0" * 16,
        struct.pack("<qq", -1, 5),
        struct.pack("<qq", 7, -5),
        struct.pack("<qqqq", 7, 5, 7, 0),
        struct.pack("<qq", 7, 5) * 257,
        b"\xff" * 65536,
    ],
)
async def test_nonsense_is_ignored(folder: Path, datagram: bytes) -> None:
    assert list(decode(datagram)) == []
    async with buses(folder, 2) as (one, two):
        told: list[int] = []
        two.watch(7, told.append)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(datagram, str(folder / "1"))
        one.publish(7, 9)
        await until(lambda: told == [9])


async def test_what_is_encoded_is_decoded() -> None:
    changes = {0: 1, 5: 2**63 - 1, 2**63 - 1: 3}
    assert [dict(decode(datagram)) for datagram in encode(changes)] == [changes]
    many = dict.fromkeys(range(600), 1)
    assert [len(list(decode(datagram))) for datagram in encode(many)] == [256, 256, 88]


async def test_the_socket_is_ours_alone(folder: Path) -> None:
    async with buses(folder, 2):
        assert names(folder) == ["0", "1"]
        assert [mode(path) for path in (folder, folder / "0", folder / "1")] == [0o700, 0o600, 0o600]


async def test_a_folder_with_a_long_path(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 100) / ("y" * 100)
    clear_bus(folder)
    before = len(names(Path("/proc/self/fd")))
    async with buses(folder, 2) as (one, two):
        told: list[int] = []
        two.watch(7, told.append)
        one.publish(7, 5)
        await until(lambda: told == [5])
    assert len(names(Path("/proc/self/fd"))) == before


async def test_one_worker_needs_no_socket(tmp_path: Path) -> None:
    bus = SocketBus(tmp_path / "nowhere", 0, 1)
    told: list[int] = []
    bus.watch(7, told.append)
    bus.start()
    bus.publish(7, 5)
    bus.close()
    assert told == [5]


async def test_a_folder_without_sockets(tmp_path: Path) -> None:
    bus = SocketBus(tmp_path / "missing", 0, 2)
    told: list[int] = []
    bus.watch(7, told.append)
    with pytest.raises(OSError):
        bus.start()
    bus.publish(7, 5)
    bus.close()
    assert told == [5]


async def test_closed_it_is_local(folder: Path) -> None:
    async with buses(folder, 2) as (one, two):
        told: list[int] = []
        here: list[int] = []
        two.watch(7, told.append)
        one.watch(7, here.append)
        one.publish(7, 5)
        one.close()  # the change still goes out
        one.publish(7, 6)
        await until(lambda: told == [5])
        await asyncio.sleep(0.02)
        assert (told, here) == ([5], [5, 6])
        two.publish(7, 7)  # to nobody
        await asyncio.sleep(0)
        assert told == [5, 7]


async def test_what_the_dead_left_is_cleared(folder: Path) -> None:
    for name in ("0", "17"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
            dead.bind(str(folder / name))
    clear_bus(folder)
    assert names(folder) == []


async def test_processes_hear_each_other_and_a_killed_one_is_replaced(folder: Path) -> None:
    bus = SocketBus(folder, 0, 2)
    bus.start()
    told: list[int] = []
    bus.watch(8, told.append)
    bus.publish(7, 1)  # nobody is there yet
    await asyncio.sleep(0)
    async with process(folder) as child:
        bus.publish(7, 2)
        await until(lambda: told == [2])
        os.kill(child.pid, signal.SIGKILL)
        await child.wait()
        assert (folder / "1").exists()
        for modseq in range(3, 100):
            bus.publish(7, modseq)
            await asyncio.sleep(0)
        assert bus._peers[0].late == {}
    async with process(folder):
        bus.publish(7, 100)
        await until(lambda: told == [2, 100])
        waits = []
        for modseq in range(101, 301):
            started = time.perf_counter()
            bus.publish(7, modseq)
            await until_told(bus, told, modseq)
            waits.append((time.perf_counter() - started) * 1e6)
    waits.sort()
    print(f"there and back: median {waits[100]:.0f} us, 99 % {waits[198]:.0f} us")
    bus.close()


async def until_told(bus: SocketBus, told: list[int], modseq: int) -> None:
    if modseq in told[-1:]:
        return
    done = asyncio.get_running_loop().create_future()
    end = bus.watch(8, lambda heard: done.set_result(None) if heard == modseq and not done.done() else None)
    await asyncio.wait_for(done, 60)
    end()


async def test_a_start_that_failed_is_tried_again(folder: Path) -> None:
    missing = folder / "missing"
    bus = SocketBus(missing, 0, 2)
    for _ in range(2):
        with pytest.raises(OSError, match="No such file"):
            bus.start()
        assert not bus.started
    clear_bus(missing)
    bus.start()
    assert bus.started
    bus.start()
    bus.close()
    assert not bus.started
    assert SocketBus(folder, 0, 1).started  # there is nobody to tell
