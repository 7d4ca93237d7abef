"""The server as a whole: caps, the PROXY protocol, TLS, stopping."""

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from pathlib import Path

import pytest
from structlog.testing import LogCapture

from posthouse.net.connection import Connection
from posthouse.net.limits import Limits
from posthouse.net.listener import ListenerSettings
from tests.net.fixture import Certificate, Fixture, issue, until
from tests.net.lines import Client, LineSession

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
REFUSAL = b"421 4.7.0 too many\r\n"
V1 = b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 25\r\n"
V2 = bytes.fromhex("0d0a0d0a000d0a515549540a21110010c0000207c6336401126700192000" + "00" + "00")


async def raw(house: Fixture, address: tuple[str, int]) -> Client:
    client = await Client.connect(address)
    house.clients.append(client)
    return client


def told_of(logged: LogCapture) -> list[tuple[object, ...]]:
    refused = [entry for entry in logged.entries if entry["event"] == "connections refused"]
    return [(entry["setting"], entry["bound"], entry["client"]) for entry in refused]


async def test_connections_in_all(house: Fixture, logged: LogCapture) -> None:
    listener = ListenerSettings("lines", refusal=REFUSAL)
    address = await house.open(limits=Limits(connections=2, sweep=0.02), listener=listener)
    first, _ = await house.client(address), await house.client(address)
    assert await (await raw(house, address)).rest() == REFUSAL
    numbers = house.servers[0].numbers
    assert (numbers.open, numbers.accepted, numbers.refused) == (2, 2, 1)
    assert told_of(logged) == [("limits.connections", 2, "127.0.0.1")]
    await first.close()
    await until(lambda: house.servers[0].numbers.open == 1)
    assert await (await house.client(address)).ask(b"in") == b"in"


async def test_connections_of_one_address(house: Fixture, logged: LogCapture) -> None:
    listener = ListenerSettings("lines", address="127.0.0.1", refusal=REFUSAL)
    address = await house.open(limits=Limits(per_address=1, sweep=0.02), listener=listener)
    await house.client(address)
    assert await (await raw(house, address)).rest() == REFUSAL
    assert told_of(logged) == [("limits.per_address", 1, "127.0.0.1")]
    sock = socket.socket()
    sock.bind(("127.0.0.2", 0))
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, address)
    other = Client(*await asyncio.open_connection(sock=sock))
    house.clients.append(other)
    assert await other.line() == b"hello"


async def test_no_plain_refusal_where_tls_comes_first(house: Fixture, certificate: Certificate) -> None:
    listener = ListenerSettings("lines", refusal=REFUSAL, implicit_tls=True)
    address = await house.open(limits=Limits(connections=1, sweep=0.02), listener=listener, keeper=certificate.keeper())
    await raw(house, address)  # counts from the start, before any handshake
    await until(lambda: house.servers[0].numbers.open == 1)
    assert await (await raw(house, address)).rest() == b""


async def test_unix_socket(house: Fixture, tmp_path: Path) -> None:
    path = tmp_path / "lmtp.sock"
    address = await house.open(
        listener=ListenerSettings("lines", path=str(path)), limits=Limits(per_address=1, sweep=0.02)
    )
    assert address == (str(path), 0)
    first, second = await house.client(address), await house.client(address)
    assert await first.ask(b"WHO") == b" 0  0"
    assert await second.ask(b"QUIT") == b"bye"
    await house.servers[0].shut_down(1.0)
    assert not path.exists()


async def test_ipv6(house: Fixture) -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    address = await house.open(listener=ListenerSettings("lines", address="::1"))
    client = await house.client(address)
    assert (await client.ask(b"WHO")).startswith(b"::1 ")


async def test_sockets_bound_by_someone_else(house: Fixture) -> None:
    both = socket.socket(socket.AF_INET6)
    both.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    both.bind(("::", 0))
    both.listen()
    server = house.server()
    _, port = await server.listen(ListenerSettings("lines"), house.service(), sock=both)
    client = await house.client(("127.0.0.1", port))
    assert (await client.ask(b"WHO")).startswith(b"127.0.0.1 ")


async def test_a_port_that_is_taken(house: Fixture) -> None:
    _, port = await house.open()
    with pytest.raises(OSError):
        await house.open(listener=ListenerSettings("lines", port=port))


async def test_sharing_a_port(house: Fixture) -> None:
    address = await house.open(listener=ListenerSettings("lines", reuse_port=True))
    assert await house.open(listener=ListenerSettings("lines", port=address[1], reuse_port=True)) == address
    for _ in range(20):
        await house.client(address)
    assert sum(server.numbers.open for server in house.servers) == 20


async def test_tls_needs_a_certificate(house: Fixture) -> None:
    with pytest.raises(ValueError, match="no certificate"):
        await house.open(listener=ListenerSettings("pop3s", implicit_tls=True))


async def test_a_new_certificate_is_for_new_connections(
    house: Fixture, certificate: Certificate, tmp_path: Path
) -> None:
    current = issue(tmp_path / "current")
    keeper = current.keeper()
    address = await house.open(keeper=keeper, listener=ListenerSettings("lines", implicit_tls=True))
    old = await house.client(address, current.trusting)
    for path, fresh in zip(current.files, certificate.files, strict=True):
        path.write_bytes(fresh.read_bytes())
    keeper.reload()
    new = await house.client(address, certificate.trusting)
    assert await old.ask(b"old") == b"old"
    assert await new.ask(b"new") == b"new"
    with pytest.raises(ssl.SSLCertVerificationError):
        await Client.connect(address, current.trusting)


# The PROXY protocol.


@pytest.mark.parametrize("header", [V1, V2[:32]])
@pytest.mark.parametrize("tls", [False, True])
async def test_proxied(house: Fixture, certificate: Certificate, header: bytes, tls: bool) -> None:
    listener = ListenerSettings("lines", proxy_from=LOOPBACK, implicit_tls=tls)
    address = await house.open(listener=listener, keeper=certificate.keeper())
    client = await house.client(address, certificate.trusting if tls else None, first=header)
    assert await client.ask(b"WHO") == b"192.0.2.7 4711 198.51.100.1 25"


async def test_proxied_all_at_once(house: Fixture) -> None:
    client = await raw(house, await house.open(listener=ListenerSettings("lines", proxy_from=LOOPBACK)))
    client.send(V1 + b"one\r\nQUIT\r\n")
    assert await client.rest() == b"hello\r\none\r\nbye\r\n"


async def test_proxied_tls_all_at_once(house: Fixture, certificate: Certificate) -> None:
    # The client's first TLS record arrives in one piece with the header, as it does behind a fast balancer.
    address = await house.open(
        listener=ListenerSettings("lines", proxy_from=LOOPBACK, implicit_tls=True), keeper=certificate.keeper()
    )
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    theirs = certificate.trusting.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        theirs.do_handshake()
    client = await raw(house, address)
    client.send(V1 + outgoing.read())
    while True:
        incoming.write(await asyncio.wait_for(client.reader.read(65536), 10))
        try:
            theirs.do_handshake()
            break
        except ssl.SSLWantReadError:
            continue
    client.send(outgoing.read())
    await until(lambda: len(house.sessions) == 1)
    assert house.sessions[0].connection.peer_ip == "192.0.2.7"


async def test_health_check_of_the_proxy(house: Fixture) -> None:
    local = bytes.fromhex("0d0a0d0a000d0a515549540a20000000")
    client = await house.client(await house.open(listener=ListenerSettings("lines", proxy_from=LOOPBACK)), first=local)
    assert (await client.ask(b"WHO")).startswith(b"127.0.0.1 ")


async def test_a_trusted_peer_must_introduce(house: Fixture, logged: LogCapture) -> None:
    client = await raw(house, await house.open(listener=ListenerSettings("lines", proxy_from=LOOPBACK)))
    client.send(b"EHLO me\r\n")
    with contextlib.suppress(ConnectionError):
        assert await client.rest() == b""
    assert "bad PROXY header" in [entry["event"] for entry in logged.entries]


async def test_an_introduction_has_its_time(house: Fixture) -> None:
    limits = Limits(sweep=0.02, proxy_header=0.1)
    client = await raw(house, await house.open(listener=ListenerSettings("lines", proxy_from=LOOPBACK), limits=limits))
    client.send(b"PROXY TCP4 ")
    with contextlib.suppress(ConnectionError):
        assert await client.rest() == b""
    await until(lambda: house.servers[0].numbers.open == 0)


async def test_strangers_cannot_lie_about_their_address(house: Fixture) -> None:
    listener = ListenerSettings("lines", proxy_from=(ipaddress.ip_network("192.0.2.0/24"),))
    client = await house.client(await house.open(listener=listener), first=V1)
    assert await client.line() == V1.strip()  # a command like any other
    assert (await client.ask(b"WHO")).startswith(b"127.0.0.1 ")


async def test_caps_count_who_is_behind_the_proxy(house: Fixture, logged: LogCapture) -> None:
    listener = ListenerSettings("lines", proxy_from=LOOPBACK, refusal=REFUSAL)
    address = await house.open(listener=listener, limits=Limits(per_address=1, sweep=0.02, linger=0.5))
    first = await house.client(address, first=V1)
    second = await raw(house, address)
    second.send(V1)
    assert await second.rest() == REFUSAL
    assert told_of(logged) == [("limits.per_address", 1, "192.0.2.7")]
    await house.client(address, first=V1.replace(b"192.0.2.7", b"192.0.2.8"))
    await second.close()
    await first.close()
    await until(lambda: house.servers[0].numbers.open == 1)
    await house.client(address, first=V1)


async def test_mapped_addresses_behind_the_proxy_are_ipv4(house: Fixture) -> None:
    """A proxy that listens for both families says ::ffff:192.0.2.7: not one network with all other IPv4 clients."""
    listener = ListenerSettings("lines", proxy_from=LOOPBACK, refusal=REFUSAL)
    address = await house.open(listener=listener, limits=Limits(per_address=1, sweep=0.02, linger=0.5))
    mapped = V1.replace(b"TCP4 192.0.2.7 ", b"TCP6 ::ffff:192.0.2.7 ").replace(b" 198.", b" ::ffff:198.")
    assert mapped.startswith(b"PROXY TCP6 ")
    first = await house.client(address, first=mapped)
    assert await first.ask(b"WHO") == b"192.0.2.7 4711 198.51.100.1 25"
    await house.client(address, first=mapped.replace(b"192.0.2.7", b"192.0.2.8"))  # a neighbour has its own place
    second = await raw(house, address)
    second.send(V1)  # the same client, as another proxy names it
    assert await second.rest() == REFUSAL
    await second.close()


# Stopping.


async def test_idle_connections_are_told(house: Fixture) -> None:
    address = await house.open()
    clients = [await house.client(address) for _ in range(3)]
    stopping = asyncio.create_task(house.servers[0].shut_down(5.0))
    for client in clients:
        assert await client.rest() == b"stopping\r\n"
        await client.close()
    assert await stopping == 0
    with pytest.raises(ConnectionRefusedError):
        await Client.connect(address)


async def test_work_at_hand_is_finished(house: Fixture) -> None:
    go_on = asyncio.Event()

    async def work(session: LineSession, text: bytes) -> None:
        await go_on.wait()
        session.engine.answer(text)

    client = await house.client(await house.open(work))
    client.send(b"keep this\r\n")
    await until(lambda: house.sessions[0].engine.received == 11)
    stopping = asyncio.create_task(house.servers[0].shut_down(5.0))
    await asyncio.sleep(0.02)
    go_on.set()
    assert await client.rest() == b"keep this\r\nstopping\r\n"
    await client.close()
    assert await stopping == 0


NEVER = 3600.0  # seconds: what waits for this does not end within the test


@pytest.mark.parametrize("tls", [False, True])
async def test_without_lingering_nobody_waits_for_peers(house: Fixture, certificate: Certificate, tls: bool) -> None:
    """Those at rest are gone although they hold on to their end; what is at hand is finished first."""
    go_on = asyncio.Event()

    async def work(session: LineSession, text: bytes) -> None:
        await go_on.wait()
        session.engine.answer(text)

    listener = ListenerSettings("lines", implicit_tls=tls)
    limits = Limits(sweep=0.02, linger=NEVER)
    address = await house.open(work, limits=limits, keeper=certificate.keeper(), listener=listener)
    trusting = certificate.trusting if tls else None
    idle, busy = [await house.client(address, trusting) for _ in range(2)]
    busy.send(b"keep this\r\n")
    await until(lambda: house.sessions[1].engine.received == 11)
    stopping = asyncio.create_task(house.servers[0].shut_down(NEVER, linger=False))
    await until(lambda: house.servers[0].numbers.open == 1)
    assert not stopping.done()
    go_on.set()
    assert await stopping == 0  # with both clients connected still
    assert await idle.rest() == b"stopping\r\n"
    assert await busy.rest() == b"keep this\r\nstopping\r\n"


async def test_what_takes_too_long_is_cut_off(house: Fixture) -> None:
    cut: list[bytes] = []

    async def work(session: LineSession, text: bytes) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cut.append(text)
            raise

    client = await house.client(await house.open(work))
    client.send(b"for ever\r\n")
    await until(lambda: house.sessions[0].engine.received == 10)
    assert await house.servers[0].shut_down(0.05) == 1
    assert cut == [b"for ever"]
    assert house.sessions[0].finished == 1


async def test_those_not_yet_in_are_sent_away(house: Fixture, certificate: Certificate) -> None:
    listener = ListenerSettings("lines", implicit_tls=True)
    client = await raw(house, await house.open(listener=listener, keeper=certificate.keeper()))
    await until(lambda: house.servers[0].numbers.open == 1)
    assert await house.servers[0].shut_down(5.0) == 0
    with contextlib.suppress(ConnectionError):
        assert await client.rest() == b""


async def test_a_failure_at_the_very_beginning_takes_no_place_for_ever(
    house: Fixture, logged: LogCapture, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = await house.open(limits=Limits(connections=1, sweep=0.02))
    loop = asyncio.get_running_loop()

    class Loop:
        """The server's loop, which cannot make a transport this once."""

        def __getattr__(self, name: str) -> object:
            return getattr(loop, name)

        async def connect_accepted_socket(self, *_: object) -> None:
            raise MemoryError

    monkeypatch.setattr(house.servers[0], "_loop", Loop())
    assert await (await raw(house, address)).rest() == b""
    await until(lambda: house.servers[0].numbers.open == 0)
    monkeypatch.setattr(house.servers[0], "_loop", loop)
    assert await (await house.client(address)).ask(b"in") == b"in"
    assert [entry["event"] for entry in logged.entries if entry["log_level"] == "error"] == ["task failed"]


async def test_a_connection_that_cannot_be_looked_at_is_cut_off_and_the_others_are_watched_on(
    house: Fixture, logged: LogCapture, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = await house.open(patience=0.3)
    first = await house.client(address)
    watched = next(iter(house.servers[0]._connections))

    def fail(self: Connection, now: float) -> None:
        if self is watched:
            raise ZeroDivisionError

    monkeypatch.setattr(Connection, "check", fail)
    assert await first.rest() == b""
    second = await house.client(address)
    assert await second.rest() != b""  # it was silent for too long, and that was noticed
    assert "connection failed" in [entry["event"] for entry in logged.entries]
