"""Connections to other servers: none is left open."""

import asyncio
import socket
from types import SimpleNamespace

import pytest

from posthouse.net.connection import Connection
from posthouse.net.dialer import Dialer
from posthouse.net.limits import Limits
from tests.net.fixture import until


@pytest.fixture
def listening() -> socket.socket:
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    return sock


async def hung_up(sock: socket.socket) -> bool:
    """Whether the other end of the connection that waits there is closed."""
    loop = asyncio.get_running_loop()
    peer, _ = await loop.sock_accept(sock)
    with peer:
        try:
            async with asyncio.timeout(60):
                return await loop.sock_recv(peer, 1) == b""
        except ConnectionResetError:
            return True


async def test_an_option_that_cannot_be_set_is_no_reason_to_give_up(
    listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialer = Dialer()
    options = SimpleNamespace(IPPROTO_TCP=socket.IPPROTO_TCP, TCP_NODELAY=-1)  # an option that there is not
    monkeypatch.setattr("posthouse.net.dialer.socket", options)
    with listening:
        connection = await dialer.dial(*listening.getsockname())
        assert not connection.lost
        dialer.close()
        assert await hung_up(listening)


async def test_what_was_under_way_is_not_left_open_after_the_end(listening: socket.socket) -> None:
    dialer = Dialer()
    with listening:
        dialing = asyncio.ensure_future(dialer.dial(*listening.getsockname()))
        await asyncio.sleep(0)
        dialer.close()
        with pytest.raises(OSError, match="no more connections"):
            await dialing
        assert await hung_up(listening)


async def test_one_that_cannot_be_looked_at_does_not_end_the_watch(
    listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    def fail(self: Connection, now: float) -> None:
        nonlocal looks
        looks += 1
        raise ZeroDivisionError

    monkeypatch.setattr(Connection, "check", fail)
    told: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context))
    dialer = Dialer(limits=Limits(sweep=0.005))
    with listening:
        connection = await dialer.dial(*listening.getsockname())
        await until(lambda: looks >= 3)
        assert told
        dialer.close()
        await until(lambda: connection.lost)
