"""A whole server in this process, built from the real parts, with plain clients to drive it."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from posthouse.accounts.passwords import HashCost, PasswordHasher
from posthouse.accounts.sqlite import SqliteDirectory, SqliteThrottleRows
from posthouse.accounts.sqlite.registry import SqliteRegistry
from posthouse.accounts.throttle import Throttle
from posthouse.app.process.logs import open_log
from posthouse.database.connection import Durability, open_connection
from posthouse.database.sqlite_leases import SqliteLeases
from posthouse.delivery.content.spool import SpoolBudget
from posthouse.delivery.inbound.router import Router
from posthouse.delivery.inbound.stages import ContentCheck
from posthouse.delivery.inbound.wiring import build_incoming
from posthouse.mailstore.changes import LocalBus
from posthouse.mailstore.index import open_index
from posthouse.mailstore.interface import Mailstore
from posthouse.mailstore.sqlite.store import SqliteMailstore
from posthouse.message.ids import id_factory
from posthouse.message.trace import Tracer
from posthouse.net.limits import Limits
from posthouse.net.listener import ListenerSettings, Server
from posthouse.protocol.imap.settings import ImapSettings
from posthouse.protocol.pop3.server import Pop3Settings
from posthouse.protocol.smtp.server import SmtpSettings, Variant
from posthouse.sessions.imap.context import ImapDependencies
from posthouse.sessions.imap.session import ImapService
from posthouse.sessions.pop3 import Pop3Service
from posthouse.sessions.services import Services
from posthouse.sessions.smtp import SmtpService

FAST = PasswordHasher(HashCost(memory=8, passes=1, iterations=4096))


@dataclass
class World:
    """Where to connect, and the parts to look into."""

    folder: Path
    registry: SqliteRegistry
    directory: SqliteDirectory
    mailstore: Mailstore
    leases: SqliteLeases
    server: Server
    services: Services
    now: float = 1000.0  # the leases' clock
    pop3: Pop3Service = field(init=False)
    ports: dict[str, int] = field(default_factory=dict)
    talks: list["Talk"] = field(default_factory=list)

    async def talk(self, name: str) -> "Talk":
        """A connection to one of the services, its greeting read."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.ports[name], limit=1 << 23)
        talk = Talk(reader, writer)
        self.talks.append(talk)
        await talk.line()
        return talk

    async def check_sessions(self) -> None:
        """Look once, as the worker does every second, whose logins no longer hold."""
        await self.services.open_sessions.check(self.directory)

    async def deliver(self, recipients: list[str], message: bytes, *, name: str = "smtp") -> list[str]:
        """One transaction; the replies from RCPT on."""
        talk = await self.talk(name)
        await talk.ask("LHLO client.test" if name == "lmtp" else "EHLO client.test")
        await talk.ask("MAIL FROM:<sender@client.test>")
        replies = [await talk.ask(f"RCPT TO:<{recipient}>") for recipient in recipients]
        accepted = sum(reply.startswith("250") for reply in replies)
        if accepted:
            await talk.ask("DATA")
            replies.append(await talk.ask(message.decode("latin-1") + "."))
            replies += [await talk.line() for _ in range(accepted - 1 if name == "lmtp" else 0)]
        await talk.ask("QUIT")
        talk.close()
        return replies

    async def login(self, user: str, password: str = "secret") -> tuple["Talk", str]:
        """A POP3 session and the answer to PASS."""
        talk = await self.talk("pop3")
        await talk.ask(f"USER {user}")
        return talk, await talk.ask(f"PASS {password}")


@dataclass
class Talk:
    """One connection, spoken line by line."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def line(self) -> str:
        """The next line, the last of a multi-line SMTP reply."""
        while True:
            line = (await self.reader.readline()).decode("latin-1").rstrip("\r\n")
            if line[3:4] != "-" or not line[:3].isdigit():
                return line

    async def ask(self, command: str) -> str:
        """Say a line, hear one."""
        self.writer.write(command.encode("latin-1") + b"\r\n")
        return await self.line()

    async def body(self) -> bytes:
        """A POP3 multi-line answer behind its first line, as it is on the wire."""
        return (await self.reader.readuntil(b"\r\n.\r\n"))[:-3]

    def close(self) -> None:
        """Hang up."""
        self.writer.close()


@asynccontextmanager
async def world(
    folder: Path,
    *,
    checks: tuple[ContentCheck, ...] = (),
    wrap: Callable[[Mailstore], Mailstore] = lambda store: store,
    max_size: int = 1 << 20,
    in_memory: int = 4096,
    guess_delay: float = 0.0,
    bare_lf: bool = False,
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[World]:
    """Serve SMTP, submission, LMTP, POP3 and IMAP on free ports; `wrap` may put a fault in front of the store.

    `clock` is the throttle's.
    """
    log = open_log("warning")
    registry = SqliteRegistry(folder / "directory.db", hasher=FAST)
    registry.domains.add("example.test", default=True)
    for name in ("alice", "bob"):
        registry.accounts.add(f"{name}@example.test", "secret")
    throttle = Throttle(SqliteThrottleRows(open_connection(folder / "volatile.db", durability=Durability.OFF)), clock)
    directory = SqliteDirectory(folder / "directory.db", throttle, hasher=FAST, failure_seconds=0)
    bus = LocalBus()
    mailstore = wrap(SqliteMailstore.open(folder, bus=bus, clock=time.time))
    leases = SqliteLeases(folder / "leases.db", clock=lambda: found.now)
    incoming = build_incoming(
        Router(directory, mailstore, time.time),
        mailstore,
        SpoolBudget(folder / "spool", in_memory=in_memory),
        Tracer("mail.example.test", time.time),
        log,
        hostname="mail.example.test",
        checks=checks,
    )
    services = Services(
        directory,
        mailstore,
        leases,
        incoming,
        id_factory(),
        lambda: "nonce",
        log,
        guess_delay,
        allows_bare_lf=lambda ip: bare_lf and ip == "127.0.0.1",
    )
    server = Server(log, limits=Limits(per_address=1000))
    found = World(folder, registry, directory, mailstore, leases, server, services)
    smtp = {"smtp": Variant.RELAY, "submission": Variant.SUBMISSION, "lmtp": Variant.LMTP}
    for name, variant in smtp.items():
        settings = SmtpSettings(
            "mail.example.test",
            variant,
            max_size=max_size,
            auth=name == "submission",
            plaintext_auth=True,
            starttls=False,
        )
        found.ports[name] = (await server.listen(ListenerSettings(name), SmtpService(settings, services)))[1]
    pop3 = Pop3Settings("mail.example.test", plaintext_auth=True, stls=False)
    found.pop3 = Pop3Service(pop3, services)
    found.ports["pop3"] = (await server.listen(ListenerSettings("pop3"), found.pop3))[1]
    index = open_index(folder / "index.db", mailstore)
    imap = ImapSettings("mail.example.test", plaintext_auth=True, starttls=False)
    made = ImapService(imap, services, ImapDependencies(index, bus, lambda _account: None))
    found.ports["imap"] = (await server.listen(ListenerSettings("imap"), made))[1]
    try:
        yield found
    finally:
        for talk in found.talks:
            talk.close()
            with contextlib.suppress(OSError):
                await talk.writer.wait_closed()
        await server.shut_down(1.0)
        await index.close()
        await mailstore.close()
        leases.close()
        directory.close()
        registry.close()
