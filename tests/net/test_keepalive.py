"""Keepalive: on for what comes in and what goes out, as the limits say."""

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from posthouse.net.connection import Connection
from posthouse.net.dialer import Dialer
from posthouse.net.keepalive import keep_alive
from posthouse.net.listener import ListenerSettings
from tests.net.fixture import QUICK, Fixture, until


def probing(connection: Connection) -> tuple[bool, int]:
    """Whether the system probes the peer of this connection, and after how many seconds."""
    assert connection._transport is not None
    sock = connection._transport.get_extra_info("socket")
    return (
        bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)),
        sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
    )


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_what_comes_in(house: Fixture, address: str) -> None:
    limits = replace(QUICK, keepalive=77.0)
    await house.client(await house.open(limits=limits, listener=ListenerSettings("lines", address=address)))
    assert probing(house.sessions[0].connection) == (True, 77)


async def test_off(house: Fixture) -> None:
    await house.client(await house.open(limits=replace(QUICK, keepalive=0.0)))
    assert not probing(house.sessions[0].connection)[0]


async def test_a_unix_socket_needs_none(house: Fixture, tmp_path: Path) -> None:
    path = str(tmp_path / "lines")
    await house.open(limits=replace(QUICK, keepalive=77.0), listener=ListenerSettings("lines", path=path))
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        await until(lambda: len(house.sessions) == 1)


async def test_what_goes_out(house: Fixture) -> None:
    address = await house.open()
    dialer = Dialer(limits=replace(QUICK, keepalive=88.0))
    connection = await dialer.dial(*address)
    assert probing(connection) == (True, 88)
    dialer.close()


def test_a_socket_that_refuses_is_used_without() -> None:
    sock = socket.socket()
    sock.close()
    keep_alive(sock, 10.0)
