"""The whole IMAP service over a real store, without sockets: clients speak to real connections and pumps."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from structlog.typing import FilteringBoundLogger

from posthouse.accounts.passwords import HashCost, PasswordHasher
from posthouse.accounts.sqlite import SqliteDirectory, SqliteThrottleRows
from posthouse.accounts.sqlite.registry import SqliteRegistry
from posthouse.accounts.throttle import Throttle
from posthouse.app.process.logs import open_log
from posthouse.database.connection import Durability, open_connection
from posthouse.database.sqlite_leases import SqliteLeases
from posthouse.delivery.content.spool import SpoolBudget
from posthouse.delivery.inbound.router import Router
from posthouse.delivery.inbound.wiring import build_incoming
from posthouse.mailstore.changes import LocalBus
from posthouse.mailstore.index import MessageIndex, open_index
from posthouse.mailstore.interface import Mailstore
from posthouse.mailstore.sqlite.store import SqliteMailstore
from posthouse.message.ids import id_factory
from posthouse.message.trace import Tracer
from posthouse.net.connection import Connection
from posthouse.net.limits import Limits
from posthouse.net.pump import Pump
from posthouse.net.tasks import Tasks
from posthouse.net.turns import Turns
from posthouse.protocol.imap.settings import ImapSettings
from posthouse.sessions.imap.context import ImapDependencies
from posthouse.sessions.imap.session import ImapService
from posthouse.sessions.services import Services
from tests.memory_store import MemoryMailstore
from tests.store_invariants import assert_sound
from tests.stores import NOW

PATIENCE = 10.0  # seconds that a line is waited for, before the dialogue has failed
QUOTAS = {"alice": None, "bob": 10 << 10}
_FAST = PasswordHasher(HashCost(memory=8, passes=1, iterations=4096))


class Wire(asyncio.Transport):
    """The client's end of a connection."""

    def __init__(self) -> None:
        super().__init__()
        self.connection: Connection | None = None
        self.ended = False  # the server has hung up
        self._heard = bytearray()
        self._news = asyncio.Event()

    async def line(self) -> bytes:
        """The next line of the server, with its CRLF."""
        while (end := self._heard.find(b"\n")) < 0:
            await self._more()
        return self._take(end + 1)

    async def octets(self, count: int) -> bytes:
        """So many octets of the server."""
        while len(self._heard) < count:
            await self._more()
        return self._take(count)

    async def end(self) -> None:
        """Wait until the server has hung up."""
        while not self.ended:
            await self._more()

    def left(self) -> bytes:
        """What was said and not listened to."""
        return bytes(self._heard)

    def say(self, data: bytes) -> None:
        """As the client."""
        assert self.connection is not None and not self.ended, "the server has hung up"
        self.connection.data_received(data)

    def leave(self) -> None:
        """The client is gone."""
        assert self.connection is not None
        if not self.connection.lost:
            self.ended = True
            self.connection.connection_lost(None)

    async def _more(self) -> None:
        assert not self.ended, f"the server has hung up, after {bytes(self._heard)!r}"
        self._news.clear()
        async with asyncio.timeout(PATIENCE):
            await self._news.wait()

    def _take(self, count: int) -> bytes:
        data = bytes(self._heard[:count])
        del self._heard[:count]
        return data

    # What the connection asks of a transport.

    def write(self, data: "bytes | bytearray | memoryview[Any]") -> None:
        """See Transport."""
        self._heard += data
        self._news.set()

    def write_eof(self) -> None:
        """See Transport."""
        self.ended = True
        self._news.set()

    close = abort = write_eof

    def pause_reading(self) -> None:
        """See Transport: what is said here is never much."""

    resume_reading = pause_reading


@dataclass
class Fixture:
    """Where clients come to."""

    mailstore: Mailstore
    directory: SqliteDirectory
    registry: SqliteRegistry
    now: float = float(NOW)
    wires: list[Wire] = field(default_factory=list)
    _done: asyncio.Event = field(default_factory=asyncio.Event)  # one of the tasks is
    _tasks: Tasks = field(init=False)
    _services: Services = field(init=False)
    _service: ImapService = field(init=False)

    def open(
        self,
        folder: Path,
        index: MessageIndex,
        bus: LocalBus,
        leases: SqliteLeases,
        log: FilteringBoundLogger,
        idle_notify: float,
    ) -> None:
        """Make the service."""
        incoming = build_incoming(
            Router(self.directory, self.mailstore, self.clock),
            self.mailstore,
            SpoolBudget(folder / "spool"),
            Tracer("mail.example.test", self.clock),
            log,
            hostname="mail.example.test",
        )
        self._services = Services(self.directory, self.mailstore, leases, incoming, id_factory(), lambda: "nonce", log)
        settings = ImapSettings("imap.test", starttls=False, plaintext_auth=True, append_limit=20_000)
        desk = ImapDependencies(index, bus, lambda _account: None, self.clock, idle_notify)
        self._service = ImapService(settings, self._services, desk)
        self._tasks = Tasks(log, self._done.set)

    def clock(self) -> float:
        """Seconds since 1970, as this house has them."""
        return self.now

    def account(self, name: str) -> int:
        """An account's id."""
        return self.registry.accounts.get(f"{name}@example.test").id

    def connect(self) -> Wire:
        """A new client, to whom the server has said nothing yet."""
        wire = Wire()
        connection = Connection(
            f"{len(self.wires)}",
            peer=("192.0.2.1", 1024),
            local=("192.0.2.2", 143),
            loop=asyncio.get_running_loop(),
            keeper=None,
            limits=Limits(),
            on_lost=lambda _connection: None,
        )
        wire.connection = connection
        connection.connection_made(wire)
        session = self._service(connection)
        log = self._services.log
        Pump(connection, session, tasks=self._tasks, limits=Limits(), turns=Turns(), log=log).wake()
        self.wires.append(wire)
        return wire

    async def close(self) -> None:
        """Every client leaves."""
        for wire in self.wires:
            wire.leave()
        async with asyncio.timeout(PATIENCE):
            while len(self._tasks):
                self._done.clear()
                await self._done.wait()


@asynccontextmanager
async def house(
    folder: Path, kind: str, *, log: FilteringBoundLogger | None = None, idle_notify: float = 0.0
) -> AsyncIterator[Fixture]:
    """A house over a store of that kind, "sqlite" or "memory"; what must hold of the store is seen to at the end."""
    registry = SqliteRegistry(folder / "directory.db", hasher=_FAST)
    registry.domains.add("example.test", default=True)
    for name, quota in QUOTAS.items():
        registry.accounts.add(f"{name}@example.test", "secret", quota=quota)
    rows = SqliteThrottleRows(open_connection(folder / "volatile.db", durability=Durability.OFF))
    throttle = Throttle(rows, lambda: float(NOW))
    directory = SqliteDirectory(folder / "directory.db", throttle, hasher=_FAST, failure_seconds=0)
    bus = LocalBus()
    mailstore: Mailstore
    if kind == "memory":
        mailstore = MemoryMailstore(bus, clock=lambda: found.now)
    else:
        mailstore = SqliteMailstore.open(folder, bus=bus, clock=lambda: found.now, reserve_octets=4096)
    found = Fixture(mailstore, directory, registry)
    index = open_index(folder / "index.db", mailstore)
    leases = SqliteLeases(folder / "leases.db", clock=found.clock)
    found.open(folder, index, bus, leases, log or open_log("warning"), idle_notify)
    try:
        yield found
    finally:
        await found.close()
        await index.close()
        await mailstore.close()
        leases.close()
        directory.close()
        registry.close()
    if kind == "sqlite":
        assert_sound(folder)
