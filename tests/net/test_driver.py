"""A driver instead of a session: its own protocol, over the same acceptance, TLS, PROXY header, caps and end."""

import asyncio
import ipaddress

import pytest
from structlog.testing import LogCapture

from posthouse.net.connection import Connection
from posthouse.net.interface import Driver
from posthouse.net.limits import Limits
from posthouse.net.listener import ListenerSettings
from tests.net.fixture import QUICK, Certificate, Fixture, until
from tests.net.lines import Client

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


class UpperCase(Driver):
    """Sends back what it reads in capitals; "!" is a bug of it. No engine, no session, no greeting."""

    def __init__(self, connection: Connection, patience: float = 60.0, stubborn: bool = False) -> None:
        self.connection = connection
        self.calls: list[str] = []
        self._since = connection.now()
        self._patience = patience
        self._stubborn = stubborn

    def wake(self) -> None:
        self.calls.append("wake")
        while data := self.connection.take():
            if b"!" in data:
                raise ZeroDivisionError
            self._since = self.connection.now()
            self.connection.write(data.upper())
        if self.connection.eof:
            self.connection.close()

    def flush(self) -> int:
        return 0

    def lost(self) -> None:
        self.calls.append("lost")

    def shut_down(self) -> None:
        if self._stubborn:
            raise ZeroDivisionError
        self.connection.write(b"bye\n")
        self.connection.close()

    def check(self, now: float) -> None:
        if now - self._since > self._patience:
            self.connection.write(b"too slow\n")
            self.connection.close()


class Drivers:
    """Servers whose service makes drivers, which are remembered."""

    def __init__(self, fixture: Fixture) -> None:
        self._fixture = fixture
        self.made: list[UpperCase] = []

    async def open(
        self,
        *,
        certificate: Certificate | None = None,
        limits: Limits = QUICK,
        listener: ListenerSettings | None = None,
        patience: float = 60.0,
        stubborn: bool = False,
    ) -> tuple[str, int]:
        def drive(connection: Connection) -> UpperCase:
            self.made.append(UpperCase(connection, patience, stubborn))
            return self.made[-1]

        server = self._fixture.server(limits, certificate.keeper() if certificate is not None else None)
        return await server.listen(listener or ListenerSettings("capitals"), drive)

    async def client(self, address: tuple[str, int], certificate: Certificate | None = None) -> Client:
        client = await Client.connect(address, certificate.trusting if certificate is not None else None)
        self._fixture.clients.append(client)
        return client


@pytest.fixture
def drivers(house: Fixture) -> Drivers:
    return Drivers(house)


async def test_a_driver_has_the_connection_from_the_first_octet_to_the_last(drivers: Drivers) -> None:
    client = await drivers.client(await drivers.open())
    assert await client.ask(b"one") == b"ONE"
    assert await client.ask(b"two") == b"TWO"
    await client.close()
    await until(lambda: drivers.made[0].calls[-1:] == ["lost"])
    assert drivers.made[0].calls.count("lost") == 1
    assert drivers.made[0].calls[0] == "wake"


async def test_tls_comes_before_it(drivers: Drivers, certificate: Certificate) -> None:
    listener = ListenerSettings("capitals", implicit_tls=True)
    client = await drivers.client(await drivers.open(certificate=certificate, listener=listener), certificate)
    assert await client.ask(b"over tls") == b"OVER TLS"
    assert drivers.made[0].connection.tls is not None


async def test_who_is_behind_a_load_balancer_is_known(drivers: Drivers) -> None:
    address = await drivers.open(listener=ListenerSettings("capitals", proxy_from=LOOPBACK))
    client = await drivers.client(address)
    assert await client.ask(b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 25\r\nbehind") == b"BEHIND"
    assert drivers.made[0].connection.peer_ip == "192.0.2.7"


async def test_there_is_room_for_so_many(drivers: Drivers) -> None:
    listener = ListenerSettings("capitals", refusal=b"full\n")
    address = await drivers.open(listener=listener, limits=Limits(connections=1, sweep=0.02))
    assert await (await drivers.client(address)).ask(b"in") == b"IN"
    assert await (await drivers.client(address)).rest() == b"full\n"


async def test_it_watches_the_time_of_its_peer(drivers: Drivers) -> None:
    client = await drivers.client(await drivers.open(patience=0.05))
    assert await client.rest() == b"too slow\n"


async def test_a_stop_is_told_to_it(house: Fixture, drivers: Drivers) -> None:
    client = await drivers.client(await drivers.open())
    assert await client.ask(b"one") == b"ONE"
    stopped = asyncio.ensure_future(house.servers[0].shut_down(5))
    assert await client.rest() == b"bye\n"
    await client.close()
    assert await stopped == 0


async def test_a_bug_in_a_driver_ends_its_connection_alone(
    house: Fixture, drivers: Drivers, logged: LogCapture
) -> None:
    address = await drivers.open(stubborn=True)
    other = await drivers.client(address)
    assert await other.ask(b"one") == b"ONE"
    assert await house.servers[0].shut_down(5) == 0
    assert [entry["event"] for entry in logged.entries if entry["log_level"] == "error"] == ["connection failed"]
    assert await other.rest() == b""


async def test_a_driver_that_cannot_begin_is_cut_off(drivers: Drivers, logged: LogCapture, house: Fixture) -> None:
    address = await drivers.open(listener=ListenerSettings("capitals", proxy_from=LOOPBACK))
    client = await drivers.client(address)
    client.send(b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 25\r\n!")
    assert await client.rest() == b""
    await until(lambda: house.servers[0].numbers.open == 0)
    assert [entry["event"] for entry in logged.entries if entry["log_level"] == "error"] == ["connection failed"]
