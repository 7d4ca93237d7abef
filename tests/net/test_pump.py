"""The pump: order, time that runs out, bugs that stay where they are, endings."""

import asyncio
import contextlib
from collections.abc import Awaitable

import pytest
from structlog.testing import LogCapture

from posthouse.net.connection import Connection
from posthouse.net.limits import Limits
from posthouse.net.listener import ListenerSettings
from tests.net.fixture import Fixture, until
from tests.net.lines import Client, Handler, LineSession, echo


def failing(session: LineSession, text: bytes) -> Awaitable[None] | None:
    if text == b"BUG":
        raise ZeroDivisionError("a bug in a session")
    return echo(session, text)


async def failing_later(session: LineSession, text: bytes) -> None:
    await asyncio.sleep(0)
    failing(session, text)


async def test_pipelined_commands_are_answered_in_order(house: Fixture) -> None:
    def sometimes_later(session: LineSession, text: bytes) -> Awaitable[None] | None:
        return failing_later(session, text) if int(text) % 3 == 0 else failing(session, text)

    client = await house.client(await house.open(sometimes_later))
    numbers = [str(number).encode() for number in range(2000)]
    client.send(b"".join(number + b"\r\n" for number in numbers))
    assert [await client.line() for _ in numbers] == numbers


async def test_commands_octet_by_octet(house: Fixture) -> None:
    client = await house.client(await house.open())
    for octet in b"hello world\r\n":
        client.send(bytes([octet]))
        await asyncio.sleep(0)
    assert await client.line() == b"hello world"


async def test_nothing_is_parsed_while_an_answer_is_awaited(house: Fixture) -> None:
    seen: list[bytes] = []
    go_on = asyncio.Event()

    async def note(session: LineSession, text: bytes) -> None:
        seen.append(text)
        await go_on.wait()
        session.engine.answer(text)

    client = await house.client(await house.open(note))
    client.send(b"one\r\ntwo\r\n")
    await until(lambda: seen == [b"one"])
    house.sessions[0].connection.wake()  # changes nothing
    client.send(b"three\r\n")
    await asyncio.sleep(0.02)
    assert seen == [b"one"]
    go_on.set()
    assert [await client.line() for _ in range(3)] == [b"one", b"two", b"three"]


async def test_one_long_pipeline_leaves_room_for_others(house: Fixture) -> None:
    address = await house.open()
    greedy = await house.client(address)
    modest = await house.client(address)
    order: list[str] = []

    async def ask(name: str) -> None:
        client = greedy if name == "greedy" else modest
        for _ in range(5000 if name == "greedy" else 1):
            await client.line()
        order.append(name)

    greedy.send(b"a\r\n" * 5000)
    modest.send(b"b\r\n")
    await asyncio.gather(ask("greedy"), ask("modest"))
    assert order == ["modest", "greedy"]


@pytest.mark.parametrize("handler", [failing, failing_later])
async def test_a_bug_ends_only_its_own_connection(house: Fixture, logged: LogCapture, handler: Handler) -> None:
    address = await house.open(handler)
    unlucky, other = await house.client(address), await house.client(address)
    unlucky.send(b"fine\r\nBUG\r\nmore\r\n")
    assert await unlucky.rest() == b"fine\r\nfailed\r\n"
    assert await other.ask(b"still here") == b"still here"
    await until(lambda: house.sessions[0].finished == 1)
    (entry,) = [entry for entry in logged.entries if entry["log_level"] == "error"]
    assert entry["event"] == "connection failed"
    assert entry["connection"] == house.sessions[0].connection.id
    assert entry["exc_info"]


async def test_a_bug_in_the_engine_too(house: Fixture, logged: LogCapture) -> None:
    client = await house.client(await house.open())

    def broken() -> None:
        raise ZeroDivisionError("a bug in an engine")

    house.sessions[0].engine.next_event = broken  # type: ignore[method-assign]
    house.sessions[0].engine.fail = broken  # type: ignore[method-assign]
    client.send(b"anything\r\n")
    assert await client.rest() == b""
    assert [entry["event"] for entry in logged.entries if entry["log_level"] == "error"] == [
        "connection failed",
        "engine failed to say so",
    ]


async def test_a_bug_in_the_factory_of_sessions(house: Fixture, logged: LogCapture) -> None:
    def service(connection: Connection) -> LineSession:
        raise ZeroDivisionError("a bug")

    address = await house.server().listen(ListenerSettings("lines"), service)
    client = await Client.connect(address)
    with contextlib.suppress(ConnectionError):
        assert await client.rest() == b""
    await client.close()
    assert [entry["event"] for entry in logged.entries if entry["log_level"] == "error"] == ["connection failed"]


async def test_a_bug_in_finish_is_told(house: Fixture, logged: LogCapture) -> None:
    client = await house.client(await house.open())

    async def broken() -> None:
        house.sessions[0].finished += 1
        raise ZeroDivisionError("a bug at the end")

    house.sessions[0].finish = broken  # type: ignore[method-assign]
    assert await client.ask(b"QUIT") == b"bye"
    await until(lambda: "session failed to finish" in [entry["event"] for entry in logged.entries])


async def test_silence_runs_out(house: Fixture) -> None:
    client = await house.client(await house.open(patience=0.1))
    assert await client.rest() == b"too slow\r\n"


async def test_talking_keeps_alive(house: Fixture) -> None:
    client = await house.client(await house.open(patience=2.0))
    for _ in range(6):
        await asyncio.sleep(0.4)
        assert await client.ask(b"NOOP") == b"ok"


async def test_our_own_slowness_is_not_the_peers(house: Fixture) -> None:
    async def slow(session: LineSession, text: bytes) -> None:
        await asyncio.sleep(2.5)
        session.engine.answer(text)

    client = await house.client(await house.open(slow, patience=2.0))
    assert await client.ask(b"slow") == b"slow"
    # The time runs anew from our answer.
    await asyncio.sleep(0.1)
    assert await client.ask(b"NOOP") == b"ok"


async def test_a_drip_does_not_hold_for_ever(house: Fixture) -> None:
    limits = Limits(sweep=0.02, linger=0.5, drip_grace=0.2, drip_rate=1e9)
    client = await house.client(await house.open(limits=limits, patience=0.1))
    reading = asyncio.create_task(client.rest())
    while not reading.done():
        client.send(b"z")
        await asyncio.sleep(0.01)
    assert reading.result() == b"too slow\r\n"


async def test_a_slow_but_honest_sender_is_borne(house: Fixture) -> None:
    limits = Limits(sweep=0.02, drip_grace=0.1, drip_rate=10.0)
    client = await house.client(await house.open(limits=limits))
    for _ in range(10):
        client.send(b"z" * 10)
        await asyncio.sleep(0.04)
    assert await client.ask(b"") == b"z" * 100


async def test_a_peer_that_stops_reading_is_cut_off(house: Fixture, logged: LogCapture) -> None:
    client = await house.client(await house.open(patience=0.2))
    client.reader._transport.pause_reading()  # type: ignore[attr-defined]
    client.send(b"BIG\r\n" * 3000)
    await until(lambda: house.servers[0].numbers.open == 0)
    assert "peer does not read" in [entry["event"] for entry in logged.entries]


async def test_a_peer_that_vanishes_while_we_work(house: Fixture) -> None:
    go_on = asyncio.Event()
    done: list[bytes] = []

    async def work(session: LineSession, text: bytes) -> None:
        await go_on.wait()
        done.append(text)
        session.engine.answer(text)

    client = await house.client(await house.open(work))
    client.send(b"one\r\ntwo\r\n")
    await until(lambda: house.sessions[0].engine.received == 10)
    client.vanish()
    await until(lambda: house.sessions[0].connection.lost)
    assert house.sessions[0].finished == 0
    go_on.set()
    await until(lambda: house.sessions[0].finished == 1)
    assert done == [b"one"]  # what was under way is done, nothing new is begun


async def test_a_peer_that_comes_and_goes(house: Fixture) -> None:
    address = await house.open()
    for _ in range(50):
        _, writer = await asyncio.open_connection(*address)
        writer.transport.abort()
    await until(lambda: house.servers[0].numbers.open == 0)
    assert house.servers[0].numbers.accepted == 50


async def test_quit_behind_everything(house: Fixture) -> None:
    client = await house.client(await house.open())
    client.send(b"a\r\nNOOP\r\nQUIT\r\nignored\r\n")
    assert await client.rest() == b"a\r\nok\r\nbye\r\n"
