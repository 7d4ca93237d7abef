"""A house: servers of the line protocol, their sessions and their clients, for one test."""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import structlog
import trustme

from posthouse.net.connection import Connection
from posthouse.net.limits import Limits
from posthouse.net.listener import ListenerSettings, Server
from posthouse.net.tls import TlsKeeper
from tests.net.lines import Client, Handler, LineEngine, LineSession, echo

QUICK = Limits(sweep=0.02, linger=0.5)


@dataclass(frozen=True)
class Certificate:
    files: tuple[Path, Path]
    trusting: ssl.SSLContext  # a client's context

    def keeper(self) -> TlsKeeper:
        return TlsKeeper(*self.files)


def issue(folder: Path, kind: trustme.KeyType = trustme.KeyType.ECDSA) -> Certificate:
    """Make an authority, and a certificate of it for localhost."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", key_type=kind)
    folder.mkdir(exist_ok=True)
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
    files[1].write_bytes(issued.private_key_pem.bytes())
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return Certificate(files, context)


@dataclass
class Fixture:
    """Starts servers of the line protocol, and remembers sessions."""

    log: structlog.typing.FilteringBoundLogger
    servers: list[Server] = field(default_factory=list)
    sessions: list[LineSession] = field(default_factory=list)
    clients: list[Client] = field(default_factory=list)

    def server(self, limits: Limits = QUICK, keeper: TlsKeeper | None = None) -> Server:
        self.servers.append(Server(self.log, keeper=keeper, limits=limits))
        return self.servers[-1]

    def service(self, handler: Handler = echo, patience: float = 60.0) -> Callable[[Connection], LineSession]:
        def open_session(connection: Connection) -> LineSession:
            self.sessions.append(LineSession(connection, handler, LineEngine(patience)))
            return self.sessions[-1]

        return open_session

    async def open(
        self,
        handler: Handler = echo,
        *,
        limits: Limits = QUICK,
        keeper: TlsKeeper | None = None,
        listener: ListenerSettings | None = None,
        patience: float = 60.0,
    ) -> tuple[str, int]:
        server = self.server(limits, keeper)
        return await server.listen(listener or ListenerSettings("lines"), self.service(handler, patience))

    async def client(self, address: tuple[str, int], tls: ssl.SSLContext | None = None, first: bytes = b"") -> Client:
        """A client that has heard the greeting."""
        client = await Client.connect(address, tls, first=first)
        self.clients.append(client)
        assert await client.line() == b"hello"
        return client


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that will happen soon, if the machine is not too busy."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 -- what is waited for has no event
            await asyncio.sleep(0.005)


async def settled(value: Callable[[], object]) -> None:
    """Wait until a value has stopped changing for a while."""
    before, same = value(), 0
    while same < 20:
        await asyncio.sleep(0.005)
        now = value()
        before, same = now, same + 1 if now == before else 0
