"""What it costs a delivery to tell the other workers: publish, and how soon they hear of it.

    python -m benchmarks.micro_bus [--peers 1] [--per-turn 8]

Prints us of CPU a publish, with the sending at the end of each turn of the loop, and us there and back between two
processes. The peers of the first figure are processes that receive.
"""

import argparse
import asyncio
import multiprocessing
import tempfile
import time
from pathlib import Path

from posthouse.mailstore.changes import LocalBus
from posthouse.mailstore.socket_bus import SocketBus, clear_bus
from posthouse.net.loop import new_event_loop

_PUBLISHES = 200_000
_ROUND_TRIPS = 2_000
_ASKED, _ANSWERED = 7, 8  # accounts


def peer(folder: Path, index: int, count: int) -> None:
    """A worker that answers changes of one account with changes of another."""

    async def answer() -> None:
        bus = SocketBus(folder, index, count)
        bus.watch(_ASKED, lambda modseq: bus.publish(_ANSWERED, modseq))
        bus.start()
        await asyncio.sleep(600)

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(answer())


async def publishing(bus: SocketBus | LocalBus, per_turn: int) -> float:
    """CPU seconds a publish."""
    before = time.process_time()
    for modseq in range(1, _PUBLISHES // per_turn):
        for account in range(100, 100 + per_turn):
            bus.publish(account, modseq)
        await asyncio.sleep(0)
    return (time.process_time() - before) / _PUBLISHES


async def round_trips(bus: SocketBus) -> list[float]:
    """Wall seconds each, sorted."""
    heard = asyncio.Event()
    bus.watch(_ANSWERED, lambda modseq: heard.set())
    took = []
    for modseq in range(1, _ROUND_TRIPS):
        heard.clear()
        began = time.perf_counter()
        bus.publish(_ASKED, modseq)
        await heard.wait()
        took.append(time.perf_counter() - began)
    return sorted(took)


async def measure(folder: Path, peers: int, per_turn: int) -> None:
    bus = SocketBus(folder, 0, peers + 1)
    bus.start()
    while len(list(folder.iterdir())) <= peers:  # noqa: ASYNC110, ASYNC240 -- until all are there
        await asyncio.sleep(0.01)
    local = await publishing(LocalBus(), per_turn)
    told = await publishing(bus, per_turn)
    print(f"publish: {local * 1e6:.2f} us within one worker, {told * 1e6:.2f} us with {peers} peers, {per_turn} a turn")
    await asyncio.sleep(0.5)
    took = await round_trips(bus)
    median, slow = took[len(took) // 2] * 1e6, took[len(took) * 99 // 100] * 1e6
    print(f"there and back: median {median:.0f} us, 99 % {slow:.0f} us")
    bus.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=int, default=1)
    parser.add_argument("--per-turn", type=int, default=8)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clear_bus(folder)
        workers = [
            multiprocessing.Process(target=peer, args=(folder, index, args.peers + 1), daemon=True)
            for index in range(1, args.peers + 1)
        ]
        for worker in workers:
            worker.start()
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(measure(folder, args.peers, args.per_turn))
        for worker in workers:
            worker.terminate()


if __name__ == "__main__":
    main()
