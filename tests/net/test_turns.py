"""Fair shares of the loop: one piece of heavy work in each turn, and every heavy one has its share."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable

import pytest

from posthouse.net.listener import ListenerSettings
from posthouse.net.tunnel import Tunnel
from posthouse.net.turns import SHARE_SECONDS, Meter, Turns
from tests.net.fixture import Certificate, Fixture, until
from tests.net.lines import IN_A_ROW, Client, LineSession


class Clock:
    """Stands still until it is told to go."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def work(self, shares: float) -> None:
        self.now += shares * SHARE_SECONDS


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def in_turns(watch: Callable[[], None]) -> None:
    """Call this in each turn of the loop, until cancelled."""
    while True:
        watch()
        await asyncio.sleep(0)


async def test_one_in_each_turn_in_order() -> None:
    turns = Turns()
    done: list[str] = []
    most, before = 0, 0

    async def work(name: str) -> None:
        for _ in range(10):
            await turns.next()
            done.append(name)

    def watch() -> None:
        nonlocal most, before
        most, before = max(most, len(done) - before), len(done)

    watching = asyncio.create_task(in_turns(watch))
    await asyncio.gather(*(work(name) for name in "abc"))
    watching.cancel()
    assert done == list("abc") * 10
    assert most == 1


async def test_who_no_longer_waits_is_passed_over() -> None:
    turns = Turns()
    first, second = turns.next(), turns.next()
    first.cancel()
    await second
    await turns.next()  # and it goes on


async def test_steps_that_use_up_a_share_wait_for_their_turn(clock: Clock) -> None:
    turns = Turns()
    queue: list[Awaitable[None]] = []
    steps: list[str] = []

    async def work(shares: float) -> None:
        for _ in range(4):
            clock.work(shares)
            steps.append("step")
            future = asyncio.get_running_loop().create_future()
            future.set_result(None)
            await asyncio.wait([future])  # something that is not its turn

    class Counted(Turns):
        def next(self) -> "asyncio.Future[None]":
            steps.append("turn")
            return super().next()

    turns = Counted()
    await Meter(turns, clock).run(work(0.3))
    assert steps == ["step"] * 4 + ["turn"]  # 1.2 shares in all
    steps.clear()
    await Meter(turns, clock).run(work(1.1))
    assert steps == ["step", "turn"] * 4
    assert not queue


async def test_to_step_aside_is_to_wait_for_ones_turn(clock: Clock) -> None:
    turns = Turns()
    others = [turns.next() for _ in range(5)]

    async def work() -> None:
        await asyncio.sleep(0)

    await Meter(turns, clock).run(work())
    assert all(other.done() for other in others)


async def test_work_hears_of_its_cancellation_and_fails_as_it_would(clock: Clock) -> None:
    heard: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            heard.append("cancelled")
            raise

    async def carry_on() -> None:
        await Meter(Turns(), clock).run(work())

    task = asyncio.create_task(carry_on())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert heard == ["cancelled"]

    async def broken() -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Meter(Turns(), clock).run(broken())


async def test_a_pipeline_whose_answers_are_read_leaves_others_their_turn(house: Fixture) -> None:
    """What the engine answers by itself, and as many as it gets: a few in each turn of the loop."""
    address = await house.open()
    greedy = await house.client(address)
    said = most = 0
    say = house.sessions[0].engine.say

    def counted(text: bytes) -> None:
        nonlocal said
        said += 1
        say(text)

    def watch() -> None:
        nonlocal said, most
        most, said = max(most, said), 0

    house.sessions[0].engine.say = counted  # type: ignore[method-assign]
    watching = asyncio.create_task(in_turns(watch))
    greedy.send(b"NOOP\r\n" * 20_000)
    newcomers = 0
    for _ in range(20_000):
        assert await greedy.line() == b"ok"
        if not newcomers:
            await house.client(address)  # is greeted long before the end
            newcomers += 1
    watching.cancel()
    assert 0 < most <= 2 * IN_A_ROW  # a share on the spot, and one that was waited for


async def test_each_of_many_heavy_ones_gets_its_share(house: Fixture) -> None:
    """Twenty that send as much as they can, each command slow, and one that has just come."""
    order: list[int] = []

    def slow(session: LineSession, text: bytes) -> None:
        order.append(int(text))
        session.engine.answer(text)

    address = await house.open(slow)
    greedy = [await house.client(address) for _ in range(20)]
    for client in greedy:
        client.send(b"0\r\n" * 2000)
    await until(lambda: len(order) > 100)
    modest = await house.client(address)
    before = len(order)
    assert await modest.ask(b"1") == b"1"
    assert order.index(1) - before < 20 * 2000 / 2
    for client in greedy:
        assert [await client.line() for _ in range(2000)] == [b"0"] * 2000


async def test_a_flood_of_handshakes_does_one_step_in_each_turn(
    house: Fixture, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first word of a handshake costs its sender nothing; what it costs us is done in turns, and all are served."""
    steps = most = 0
    receive = Tunnel.receive

    def counted(tunnel: Tunnel, raw: bytes) -> bytes:
        nonlocal steps
        steps += not tunnel.established
        return receive(tunnel, raw)

    async def watch() -> None:
        nonlocal most
        before = steps
        while True:
            await asyncio.sleep(0)
            most, before = max(most, steps - before), steps

    hello = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        certificate.trusting.wrap_bio(ssl.MemoryBIO(), hello, server_hostname="localhost").do_handshake()
    word = hello.read()
    keeper = certificate.keeper()
    address = await house.open(keeper=keeper, listener=ListenerSettings("secure", implicit_tls=True))
    monkeypatch.setattr(Tunnel, "receive", counted)
    flood = [await Client.connect(address) for _ in range(20)]
    watching = asyncio.create_task(watch())
    for client in flood:
        client.send(word)
    for client in flood:
        assert await client.reader.readexactly(1) == b"\x16"  # RFC 8446 5.1: a handshake record
    honest = await house.client(address, certificate.trusting)
    assert await honest.ask(b"x") == b"x"
    watching.cancel()
    assert most == 1 and steps >= 21
    for client in flood:
        client.writer.close()
