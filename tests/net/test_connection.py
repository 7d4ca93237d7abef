"""Connections: TLS begun in the middle, back-pressure both ways, ends."""

import asyncio
import ssl
from collections.abc import Awaitable

import pytest

from posthouse.net.connection import ConnectionGoneError
from posthouse.net.limits import Limits
from posthouse.net.listener import ListenerSettings
from tests.net.fixture import Certificate, Fixture, settled, until
from tests.net.lines import Client, LineSession, echo


async def test_it_knows_both_ends(house: Fixture) -> None:
    address = await house.open()
    client = await house.client(address)
    ip, port = client.writer.get_extra_info("sockname")
    assert await client.ask(b"WHO") == f"{ip} {port} {address[0]} {address[1]}".encode()


async def test_start_tls(house: Fixture, certificate: Certificate) -> None:
    client = await house.client(await house.open(keeper=certificate.keeper()))
    assert await client.ask(b"plain") == b"plain"
    assert house.sessions[0].connection.can_start_tls
    assert await client.ask(b"STARTTLS") == b"go ahead"
    await client.start_tls(certificate.trusting)
    assert await client.ask(b"sealed") == b"sealed"
    connection = house.sessions[0].connection
    assert connection.tls is not None
    assert connection.tls.version == "TLSv1.3"
    assert "AES" in connection.tls.cipher or "CHACHA" in connection.tls.cipher
    assert connection.tls.bindings == {}  # RFC 9266: no other binding than tls-exporter
    assert not connection.can_start_tls
    with pytest.raises(RuntimeError):
        await connection.start_tls()


async def test_tls_1_2_offers_its_unique_binding(house: Fixture, certificate: Certificate) -> None:
    listener = ListenerSettings("lines", implicit_tls=True)
    address = await house.open(keeper=certificate.keeper(), listener=listener)
    context = ssl.create_default_context(cadata=None)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    client = await house.client(address, context)
    theirs = client.writer.get_extra_info("ssl_object")
    info = house.sessions[0].connection.tls
    assert info is not None
    assert info.version == "TLSv1.2"
    assert info.bindings["tls-unique"] == theirs.get_channel_binding("tls-unique")
    assert set(info.bindings) == {"tls-unique", "tls-server-end-point"}


@pytest.mark.parametrize("injected", [b"QUIT\r\n", b"one\r\ntwo\r\n", b"half a li"])
async def test_plain_text_does_not_survive_the_handshake(
    house: Fixture, certificate: Certificate, injected: bytes
) -> None:
    # CVE-2011-0411: a man in the middle puts commands behind STARTTLS.
    seen: list[bytes] = []

    def note(session: LineSession, text: bytes) -> None:
        seen.append(text)
        session.engine.answer(text)

    client = await house.client(await house.open(note, keeper=certificate.keeper()))
    client.send(b"STARTTLS\r\n" + injected)
    assert await client.line() == b"go ahead"
    await client.start_tls(certificate.trusting)
    assert await client.ask(b"mine") == b"mine"
    assert seen == [b"mine"]


async def test_plain_text_that_comes_late_ends_the_handshake(house: Fixture, certificate: Certificate) -> None:
    address = await house.open(keeper=certificate.keeper())
    client = await house.client(address)
    assert await client.ask(b"STARTTLS") == b"go ahead"
    received = house.sessions[0].engine.received
    client.send(b"QUIT\r\n")
    assert b"bye" not in await client.rest()
    assert house.sessions[0].engine.received == received
    # Others do not notice.
    other = await house.client(address)
    assert await other.ask(b"fine") == b"fine"


async def test_peer_that_leaves_in_the_handshake(house: Fixture, certificate: Certificate) -> None:
    client = await house.client(await house.open(keeper=certificate.keeper()))
    assert await client.ask(b"STARTTLS") == b"go ahead"
    client.send(b"\x16\x03\x01")
    await client.close()
    await until(lambda: house.sessions[0].finished == 1)


async def test_a_handshake_has_its_time(house: Fixture, certificate: Certificate) -> None:
    listener = ListenerSettings("lines", implicit_tls=True)
    limits = Limits(sweep=0.02, handshake=0.1)
    client = await Client.connect(await house.open(keeper=certificate.keeper(), listener=listener, limits=limits))
    house.clients.append(client)
    client.send(b"\x16\x03\x01\x02\x00")
    assert await client.rest() == b""
    assert house.servers[0].numbers.open == 0


async def test_tls_in_single_octets(house: Fixture, certificate: Certificate) -> None:
    address = await house.open(keeper=certificate.keeper(), listener=ListenerSettings("lines", implicit_tls=True))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    theirs = certificate.trusting.wrap_bio(incoming, outgoing, server_hostname="localhost")
    reader, writer = await asyncio.open_connection(*address)
    said = b""
    writer.transport.set_write_buffer_limits(0)

    async def exchange() -> None:
        for octet in outgoing.read():
            writer.write(bytes([octet]))
            await writer.drain()
        incoming.write(await asyncio.wait_for(reader.read(65536), 10))

    while True:
        try:
            theirs.do_handshake()
            break
        except ssl.SSLWantReadError:
            await exchange()
    theirs.write(b"STAT\r\nQUIT\r\n")
    while not said.endswith(b"bye\r\n"):
        try:
            said += theirs.read()
        except ssl.SSLWantReadError:
            await exchange()
    assert said == b"hello\r\nSTAT\r\nbye\r\n"
    writer.close()
    await writer.wait_closed()


async def test_large_texts_through_tls(house: Fixture, certificate: Certificate) -> None:
    address = await house.open(keeper=certificate.keeper(), listener=ListenerSettings("lines", implicit_tls=True))
    client = await house.client(address, certificate.trusting)
    text = b"x" * 50_000
    for _ in range(10):
        client.send(text + b"\r\n")
    for _ in range(10):
        assert await client.line() == text


async def test_a_peer_that_never_reads_fills_no_memory(house: Fixture) -> None:
    # 10,000 octets of answer for 5 of command: 30 MB are asked for.
    address = await house.open()
    client = await house.client(address)
    client.reader._transport.pause_reading()  # type: ignore[attr-defined]
    client.send(b"BIG\r\n" * 3000 + b"QUIT\r\n")
    await until(lambda: house.sessions[0].connection.congested_since > 0)
    transport = house.sessions[0].connection._transport
    assert transport is not None
    await settled(transport.get_write_buffer_size)
    assert transport.get_write_buffer_size() < 1 << 18
    client.reader._transport.resume_reading()  # type: ignore[attr-defined]
    assert len(await client.rest()) == 3000 * 10_002 + 5


async def test_a_flood_while_we_are_busy_fills_no_memory(house: Fixture) -> None:
    go_on = asyncio.Event()

    async def wait(session: LineSession) -> None:
        await go_on.wait()
        session.engine.answer(b"done")

    def handler(session: LineSession, text: bytes) -> Awaitable[None] | None:
        return wait(session) if text == b"WAIT" else echo(session, b"")

    client = await house.client(await house.open(handler))
    client.send(b"WAIT\r\n")
    line = b"y" * 998 + b"\r\n"
    client.send(line * 20_000)
    connection = house.sessions[0].connection
    await until(lambda: connection._paused)
    await settled(lambda: connection._held_cost)
    # At most one read more than the bound.
    assert connection._held_cost < 1 << 20
    assert house.sessions[0].engine.received < 1 << 20
    go_on.set()
    assert await client.line() == b"done"
    for _ in range(20_000):
        assert await client.line() == b""
    assert await client.ask(b"NOOP") == b"ok"


async def test_single_octets_count_for_more_than_they_are(house: Fixture) -> None:
    def wait(session: LineSession, text: bytes) -> Awaitable[None]:
        return asyncio.get_running_loop().create_future()

    client = await house.client(await house.open(wait))
    client.send(b"WAIT\r\n")
    connection = house.sessions[0].connection
    await until(lambda: connection._held == [] and house.sessions[0].engine.received == 6)
    for _ in range(10_000):
        connection.data_received(b"z")
    assert connection._paused
    assert sum(map(len, connection._held)) < 10_001
    connection.abort()
    await until(lambda: connection.lost)
    await house.servers[0].shut_down(0.01)


async def test_streaming_waits_for_the_peer(house: Fixture) -> None:
    octets = 8_000_000

    async def stream(session: LineSession) -> None:
        for _ in range(octets // 10_000):
            session.engine.say(b"s" * 9_998)
            await session.connection.flush(session.engine)
        session.engine.answer(b"end")

    address = await house.open(lambda session, _: stream(session))
    client = await house.client(address)
    client.reader._transport.pause_reading()  # type: ignore[attr-defined]
    client.send(b"go\r\n")
    await until(lambda: house.sessions[0].connection.congested_since > 0)
    transport = house.sessions[0].connection._transport
    assert transport is not None
    assert transport.get_write_buffer_size() < 1 << 18
    client.reader._transport.resume_reading()  # type: ignore[attr-defined]
    client.send(b"QUIT\r\n")
    assert len(await client.rest()) == octets + 5 + 5


async def test_streaming_to_a_peer_that_leaves(house: Fixture) -> None:
    failures: list[BaseException] = []

    async def stream(session: LineSession) -> None:
        try:
            while True:
                session.engine.say(b"s" * 9_998)
                await session.connection.flush(session.engine)
        except ConnectionGoneError as error:
            failures.append(error)
            raise

    client = await house.client(await house.open(lambda session, _: stream(session)))
    client.reader._transport.pause_reading()  # type: ignore[attr-defined]
    client.send(b"go\r\n")
    await until(lambda: house.sessions[0].connection.congested_since > 0)
    client.vanish()
    await until(lambda: house.sessions[0].finished == 1)
    assert len(failures) == 1


async def test_half_closed_peer_gets_its_answers(house: Fixture) -> None:
    client = await house.client(await house.open())
    client.send(b"one\r\ntwo\r\n")
    client.writer.write_eof()
    assert await client.rest() == b"one\r\ntwo\r\n"


async def test_the_last_reply_arrives_although_more_was_sent(house: Fixture) -> None:
    # Closing with unread bytes would reset the connection and take the farewell with it.
    client = await house.client(await house.open())
    client.send(b"QUIT\r\n")
    for _ in range(50):
        client.send(b"z" * 5000)
        await asyncio.sleep(0)
    assert await client.rest() == b"bye\r\n"


async def test_a_peer_that_sends_on_after_the_end_is_cut_off(house: Fixture) -> None:
    client = await house.client(await house.open(limits=Limits(sweep=0.02, linger=30.0)))
    assert await client.ask(b"QUIT") == b"bye"
    client.send(b"z" * 8_000_000)
    await until(lambda: house.servers[0].numbers.open == 0)


async def test_a_peer_that_does_not_hang_up_is_hung_up_on(house: Fixture) -> None:
    client = await house.client(await house.open(limits=Limits(sweep=0.02, linger=0.1)))
    assert await client.ask(b"QUIT") == b"bye"
    await until(lambda: house.servers[0].numbers.open == 0)


async def test_a_session_may_speak_unasked(house: Fixture) -> None:
    client = await house.client(await house.open())
    house.sessions[0].engine.say(b"news")
    house.sessions[0].connection.wake()
    assert await client.line() == b"news"


async def test_close_notify_ends_the_session(house: Fixture, certificate: Certificate) -> None:
    address = await house.open(keeper=certificate.keeper(), listener=ListenerSettings("lines", implicit_tls=True))
    client = await house.client(address, certificate.trusting)
    await client.close()
    await until(lambda: house.sessions[0].finished == 1)
    await until(lambda: house.servers[0].numbers.open == 0)
