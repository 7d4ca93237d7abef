"""Compressed connections: the streams alone, and over real sockets, with and without TLS."""

import asyncio
import contextlib
import os
import tracemalloc
import zlib
from collections.abc import Awaitable

import pytest

from posthouse.net.deflate import BrokenStreamError, Deflate
from posthouse.net.listener import ListenerSettings
from tests.net.fixture import Certificate, Fixture, settled, until
from tests.net.lines import Client, LineEngine, LineSession, echo


class Packing:
    """A client that compresses."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        self.unpacker = zlib.decompressobj(-15)
        self.plain = b""

    def pack(self, data: bytes, flush: int = zlib.Z_SYNC_FLUSH) -> bytes:
        return self.packer.compress(data) + self.packer.flush(flush)

    async def line(self) -> bytes:
        while b"\r\n" not in self.plain:
            packed = await asyncio.wait_for(self.client.reader.read(65536), 10)
            if not packed:
                return b""
            self.plain += self.unpacker.decompress(packed)
        line, _, self.plain = self.plain.partition(b"\r\n")
        return line

    async def ask(self, text: bytes) -> bytes:
        self.client.send(self.pack(text + b"\r\n"))
        return await self.line()

    async def rest(self) -> bytes:
        return self.plain + self.unpacker.decompress(await self.client.rest())


def compress(session: LineSession, text: bytes) -> Awaitable[None] | None:
    """Answer COMPRESS as IMAP does, any other line with itself."""
    if text != b"COMPRESS":
        return echo(session, text)
    engine, connection = session.engine, session.connection
    engine.answer(b"go ahead")
    connection.give_back(engine.leftover())
    connection.start_deflate()
    return None


async def packing(house: Fixture, certificate: Certificate | None = None) -> Packing:
    """A client that has just begun to compress; inside TLS, if there is a certificate."""
    if certificate is None:
        client = await house.client(await house.open(compress))
    else:
        listener = ListenerSettings("lines", implicit_tls=True)
        address = await house.open(compress, keeper=certificate.keeper(), listener=listener)
        client = await house.client(address, certificate.trusting)
    assert await client.ask(b"COMPRESS") == b"go ahead"
    return Packing(client)


# The streams.


def packed(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH)


def unpack_all(deflate: Deflate, data: bytes) -> tuple[bytes, list[int]]:
    """All that is in `data`, and the sizes of the pieces."""
    pieces = []
    while data or deflate.has_more:
        plain, data = deflate.unpack(data)
        pieces.append(plain)
    return b"".join(pieces), [len(piece) for piece in pieces]


def test_each_write_can_be_read_at_once() -> None:
    deflate, theirs = Deflate(), zlib.decompressobj(-15)
    for text in (b"* OK hello\r\n", b"x", os.urandom(100_000), b"", b"* 1 EXISTS\r\n" * 10_000):
        assert theirs.decompress(deflate.pack(text)) == text


def test_a_rested_packer_goes_on_in_the_same_stream() -> None:
    deflate, theirs = Deflate(), zlib.decompressobj(-15)
    for number in range(10):
        text = b"* %d EXISTS\r\n" % number * 1000
        assert theirs.decompress(deflate.pack(text)) == text
        deflate.rest()
        deflate.rest()


@pytest.mark.parametrize("octets", [0, 1, 16383, 16384, 16385, 32768, 1_000_000])
@pytest.mark.parametrize("noise", [False, True])
def test_pieces_are_small(octets: int, noise: bool) -> None:
    text = os.urandom(octets) if noise else bytes(octets)
    plain, sizes = unpack_all(Deflate(), packed(text))
    assert plain == text
    assert all(size <= 1 << 14 for size in sizes)


def test_what_zlib_keeps_back_is_not_forgotten() -> None:
    # The last octet that arrives may stand for more than a piece: the input is used up before the output is.
    data = packed(bytes(1 << 20))
    for cut in range(1, 60):
        deflate = Deflate()
        first, _ = unpack_all(deflate, data[:-cut])
        assert not deflate.has_more
        rest, _ = unpack_all(deflate, data[-cut:])
        assert len(first) + len(rest) == 1 << 20


@pytest.mark.parametrize("data", [b"\xff", b"a NOOP\r\n", b"\x16\x03\x01\x02\x00\x01", packed(b"x" * 100)[2:]])
def test_what_is_no_stream(data: bytes) -> None:
    with pytest.raises(BrokenStreamError):
        unpack_all(Deflate(), data)


def test_the_end_of_a_stream() -> None:
    deflate = Deflate()
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = packer.compress(b"last words") + packer.flush(zlib.Z_FINISH)
    assert deflate.unpack(data + b"and more") == (b"last words", b"")
    assert deflate.ended
    assert deflate.unpack(b"and more") == (b"", b"")


def test_a_connection_costs_little() -> None:
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        deflate = Deflate()
        deflate.unpack(packed(os.urandom(10_000)))
        deflate.unpack(b"")
        deflate.pack(os.urandom(10_000))
        busy = tracemalloc.get_traced_memory()[0] - before
        deflate.rest()
        idle = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert busy < 110_000
    assert idle < 50_000


# The connection.


@pytest.mark.parametrize("tls", [False, True])
async def test_both_ways(house: Fixture, certificate: Certificate, tls: bool) -> None:
    client = await packing(house, certificate if tls else None)
    connection = house.sessions[0].connection
    assert connection.deflates
    assert not connection.can_start_tls
    for text in (b"one", b"two" * 1000, os.urandom(20_000).replace(b"\r", b"").replace(b"\n", b""), b"x" * 200_000):
        assert await client.ask(text) == text
    assert await client.ask(b"QUIT") == b"bye"


@pytest.mark.parametrize("tls", [False, True])
async def test_octet_by_octet(house: Fixture, certificate: Certificate, tls: bool) -> None:
    client = await packing(house, certificate if tls else None)
    for octet in client.pack(b"one\r\ntwo\r\nthree\r\n"):
        client.client.send(bytes([octet]))
        await asyncio.sleep(0)
    assert [await client.line() for _ in range(3)] == [b"one", b"two", b"three"]


async def test_what_was_pipelined_is_compressed_already(house: Fixture) -> None:
    client = Packing(await house.client(await house.open(compress)))
    client.client.send(b"COMPRESS\r\n" + client.pack(b"one\r\n") + client.pack(b"two\r\n"))
    assert await client.client.line() == b"go ahead"
    assert [await client.line() for _ in range(2)] == [b"one", b"two"]


async def test_one_write_is_one_flush(house: Fixture) -> None:
    client = await packing(house)
    client.client.send(client.pack(b"a\r\nb\r\nc\r\nd\r\n"))
    assert await client.line() == b"a"
    assert client.plain == b"b\r\nc\r\nd\r\n"


@pytest.mark.parametrize("tls", [False, True])
async def test_a_bomb_is_unpacked_as_slowly_as_it_is_taken(house: Fixture, certificate: Certificate, tls: bool) -> None:
    # 40 MB in 50 KB; as long as the session is busy, next to nothing of them is unpacked.
    go_on = asyncio.Event()
    counted = 0

    async def wait(session: LineSession) -> None:
        await go_on.wait()
        session.engine.answer(b"done")

    def handler(session: LineSession, text: bytes) -> Awaitable[None] | None:
        nonlocal counted
        counted += len(text)
        return wait(session) if text == b"WAIT" else compress(session, text[:8])

    listener = ListenerSettings("lines", implicit_tls=tls)
    address = await house.open(handler, keeper=certificate.keeper(), listener=listener)
    plain = await house.client(address, certificate.trusting if tls else None)
    assert await plain.ask(b"COMPRESS") == b"go ahead"
    client = Packing(plain)
    connection, engine = house.sessions[0].connection, house.sessions[0].engine
    client.client.send(client.pack(b"WAIT\r\n"))
    await until(lambda: engine.received > 10)
    before = engine.received
    line = b"x" * 99_998 + b"\r\n"
    bomb = b"".join(client.pack(line) for _ in range(400))
    assert len(bomb) < 60_000
    tracemalloc.start()
    client.client.send(bomb)
    await settled(lambda: connection._held_cost)
    assert engine.received - before < 1 << 18
    assert connection._held_cost < 1 << 18
    go_on.set()
    assert await client.line() == b"done"
    for _ in range(400):
        assert await client.line() == b"x" * 8
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert counted >= 400 * 99_998
    assert peak < 4_000_000  # the client's part is in it


async def test_reading_pauses_while_a_bomb_waits(house: Fixture) -> None:
    # 10 GB in 10 MB, to a session that is busy for ever.
    def wait(session: LineSession, text: bytes) -> Awaitable[None] | None:
        return compress(session, text) if text == b"COMPRESS" else asyncio.get_running_loop().create_future()

    plain = await house.client(await house.open(wait))
    assert await plain.ask(b"COMPRESS") == b"go ahead"
    client = Packing(plain)
    client.client.send(client.pack(b"WAIT\r\n"))
    connection, engine = house.sessions[0].connection, house.sessions[0].engine
    await until(lambda: engine.received > 10)
    before = engine.received
    megabyte = client.packer.compress(bytes(1 << 20)) + client.packer.flush(zlib.Z_FULL_FLUSH)
    client.client.send(megabyte * (10_000_000 // len(megabyte)))
    await until(lambda: connection._paused)
    await settled(lambda: connection._held_cost)
    assert connection._held_cost < 1 << 20
    assert engine.received == before
    connection.abort()
    await until(lambda: connection.lost)
    await house.servers[0].shut_down(0.01)


async def test_an_engine_that_has_enough_ends_the_bomb(house: Fixture) -> None:
    # 10 GB in 10 MB, all of it one line: the engine says no as soon as the line is too long for it.
    client = await packing(house)
    engine = house.sessions[0].engine
    refusing = RefusingEngine(engine)
    engine.receive_data = refusing.receive_data  # type: ignore[method-assign]
    megabyte = client.packer.compress(bytes(1 << 20)) + client.packer.flush(zlib.Z_FULL_FLUSH)
    client.client.send(megabyte * (10_000_000 // len(megabyte)))
    await until(lambda: house.servers[0].numbers.open == 0)
    assert refusing.received < 100_000


class RefusingEngine:
    """Bears lines of 64 KB."""

    def __init__(self, engine: LineEngine) -> None:
        self.engine = engine
        self.received = 0

    def receive_data(self, data: bytes) -> None:
        self.received += len(data)
        if self.received > 65536 and not self.engine.closing:
            self.engine.end(b"too long")


@pytest.mark.parametrize("tls", [False, True])
async def test_garbage_ends_the_connection(house: Fixture, certificate: Certificate, tls: bool) -> None:
    client = await packing(house, certificate if tls else None)
    assert await client.ask(b"fine") == b"fine"
    client.client.send(b"\xff" * 100)
    assert await client.rest() == b""
    await until(lambda: house.sessions[0].finished == 1)
    await until(lambda: house.servers[0].numbers.open == 0)


async def test_garbage_behind_commands(house: Fixture) -> None:
    client = await packing(house)
    client.client.send(client.pack(b"one\r\n") + b"\xff" * 400_000)
    with contextlib.suppress(ConnectionResetError):  # what it sent was not all read
        assert await client.rest() in (b"", b"one\r\n")  # both may have come together
    await until(lambda: house.servers[0].numbers.open == 0)


async def test_garbage_while_reading_pauses(house: Fixture) -> None:
    go_on = asyncio.Event()

    async def wait(session: LineSession) -> None:
        await go_on.wait()
        session.engine.answer(b"done")

    def handler(session: LineSession, text: bytes) -> Awaitable[None] | None:
        return wait(session) if text == b"WAIT" else compress(session, text)

    plain = await house.client(await house.open(handler))
    assert await plain.ask(b"COMPRESS") == b"go ahead"
    client = Packing(plain)
    client.client.send(client.pack(b"WAIT\r\n") + b"\xff" * 1_000_000)
    connection = house.sessions[0].connection
    await until(lambda: connection._paused or connection.lost)
    go_on.set()
    await until(lambda: house.servers[0].numbers.open == 0)


@pytest.mark.parametrize("tls", [False, True])
async def test_a_stream_cut_in_the_middle(house: Fixture, certificate: Certificate, tls: bool) -> None:
    client = await packing(house, certificate if tls else None)
    client.client.send(client.pack(b"one\r\ntwo\r\n"))
    assert [await client.line() for _ in range(2)] == [b"one", b"two"]
    client.client.send(client.pack(os.urandom(1000) + b"\r\n")[:500])
    await client.client.close()
    await until(lambda: house.sessions[0].finished == 1)
    await until(lambda: house.servers[0].numbers.open == 0)


async def test_half_closed_peer_gets_its_answers(house: Fixture) -> None:
    client = await packing(house)
    text = b"x" * 100_000
    client.client.send(client.pack(b"one\r\n" + text + b"\r\ntwo\r\n"))
    client.client.writer.write_eof()
    assert await client.rest() == b"one\r\n" + text + b"\r\ntwo\r\n"


async def test_a_peer_that_ends_its_stream_gets_its_answers(house: Fixture) -> None:
    client = await packing(house)
    client.client.send(client.pack(b"one\r\ntwo\r\n", zlib.Z_FINISH) + b"three\r\n")
    assert await client.rest() == b"one\r\ntwo\r\n"
    await until(lambda: house.servers[0].numbers.open == 0)


async def test_a_quiet_connection_gives_memory_back(house: Fixture) -> None:
    client = await packing(house)
    assert await client.ask(b"one") == b"one"
    connection = house.sessions[0].connection
    deflate = connection._deflate
    assert deflate is not None
    connection.check(connection.now() + 29)
    assert deflate._packer is not None
    connection.check(connection.now() + 31)
    assert deflate._packer is None
    assert await client.ask(b"two") == b"two"


async def test_twice_is_once_too_often(house: Fixture, certificate: Certificate) -> None:
    await packing(house, certificate)
    with pytest.raises(RuntimeError):
        house.sessions[0].connection.start_deflate()


async def test_no_tls_inside_compression(house: Fixture, certificate: Certificate) -> None:
    client = await house.client(await house.open(compress, keeper=certificate.keeper()))
    assert await client.ask(b"COMPRESS") == b"go ahead"
    with pytest.raises(RuntimeError):
        await house.sessions[0].connection.start_tls()


async def test_streaming_compressed(house: Fixture) -> None:
    octets = 8_000_000

    async def stream(session: LineSession) -> None:
        for _ in range(octets // 10_000):
            session.engine.say(os.urandom(4_999).hex().encode())
            await session.connection.flush(session.engine)
        session.engine.answer(b"end")

    def handler(session: LineSession, text: bytes) -> Awaitable[None] | None:
        return stream(session) if text == b"go" else compress(session, text)

    plain = await house.client(await house.open(handler))
    assert await plain.ask(b"COMPRESS") == b"go ahead"
    client = Packing(plain)
    plain.reader._transport.pause_reading()  # type: ignore[attr-defined]
    plain.send(client.pack(b"go\r\n"))
    await until(lambda: house.sessions[0].connection.congested_since > 0)
    plain.reader._transport.resume_reading()  # type: ignore[attr-defined]
    plain.send(client.pack(b"QUIT\r\n"))
    assert len(await client.rest()) == octets + 5 + 5
