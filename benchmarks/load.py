"""The work itself: mail brought in by SMTP, mail collected by POP3, and how long until a message is seen."""

import asyncio
import itertools
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from benchmarks.connection import BenchError, Connection, connect
from benchmarks.target import DOMAIN, NAMES, PASSWORD, Target

LIMIT = 600.0  # seconds after which a run is given up
LINE = b"It was the post that made the inn, and not the inn the post; so it was.\r\n"
SENDER = b"MAIL FROM:<load@client.test>\r\n"


@dataclass(frozen=True)
class Mail:
    """How mail is brought in."""

    octets: int
    connections: int
    messages: int
    one_each: bool = False  # a connection for each message
    domain: str = DOMAIN


@dataclass(frozen=True)
class Collection:
    """How mail is collected."""

    sessions: int
    at_once: int = 20
    retrieve: bool = True
    delete: bool = False


def compose(octets: int, name: str, ident: str) -> bytes:
    """A message of that many octets, ready for DATA: no line begins with a dot; the end is with it."""
    head = (
        f"From: Load <load@client.test>\r\nTo: <{name}@{DOMAIN}>\r\nSubject: {ident}\r\n"
        f"Date: Tue, 06 Jan 2026 09:00:00 +0000\r\nMessage-ID: <{ident}@client.test>\r\n"
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
    ).encode()
    body = LINE * (octets // len(LINE) + 1)
    return head + body[: octets - len(head) - 2] + b"\r\n.\r\n"


async def _together(count: int, work: Callable[[], Awaitable[None]]) -> float:
    """Run `count` of them; seconds it took. The first failure ends all."""
    began = time.perf_counter()
    async with asyncio.timeout(LIMIT), asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(_as_coroutine(work))
    return time.perf_counter() - began


async def _as_coroutine(work: Callable[[], Awaitable[None]]) -> None:
    await work()


async def smtp_open(port: int) -> Connection:
    """A session that has been greeted."""
    connection = await connect(port)
    await connection.smtp(b"", b"220")
    await connection.smtp(b"EHLO client.test\r\n", b"250")
    return connection


async def smtp_close(connection: Connection) -> None:
    """QUIT and hang up."""
    await connection.smtp(b"QUIT\r\n", b"221")
    connection.close()


async def smtp_send(connection: Connection, name: str, data: bytes, domain: str = DOMAIN) -> None:
    """One message, until it is accepted."""
    await connection.smtp(SENDER, b"250")
    await connection.smtp(f"RCPT TO:<{name}@{domain}>\r\n".encode(), b"250")
    await connection.smtp(b"DATA\r\n", b"354")
    await connection.smtp(data, b"250")


async def bring(target: Target, mail: Mail) -> float:
    """Send it all, spread evenly over the mailboxes; seconds until the last 250."""
    run = f"{os.getpid():x}.{time.time_ns():x}"
    numbers = iter(range(mail.messages))

    async def work() -> None:
        connection: Connection | None = None
        for number in numbers:
            name = NAMES[number % len(NAMES)]
            data = compose(mail.octets, name, f"{run}.{number}")
            if connection is None:
                connection = await smtp_open(target.smtp)
            await smtp_send(connection, name, data, mail.domain)
            if mail.one_each:
                await smtp_close(connection)
                connection = None
        if connection is not None:
            await smtp_close(connection)

    return await _together(mail.connections, work)


async def pop3_open(port: int, name: str) -> Connection:
    """A session that is logged in."""
    connection = await connect(port)
    await connection.pop3(b"")
    await connection.pop3(b"USER " + name.encode())
    await connection.pop3(b"PASS " + PASSWORD.encode())
    return connection


async def pop3_count(target: Target, name: str) -> int:
    """How many messages a login shows."""
    connection = await pop3_open(target.pop3, name)
    count = int((await connection.pop3(b"STAT")).split()[1])
    await connection.pop3(b"QUIT")
    connection.close()
    return count


async def counts(target: Target) -> dict[str, int]:
    """How many messages each mailbox holds."""
    found: dict[str, int] = {}
    names = iter(NAMES)

    async def work() -> None:
        for name in names:
            found[name] = await pop3_count(target, name)

    await _together(20, work)
    return found


async def _imap_watch(target: Target) -> dict[str, Connection]:
    """A session for each mailbox, logged in before the clock starts."""
    watch: dict[str, Connection] = {}
    names = iter(NAMES)

    async def work() -> None:
        for name in names:
            watch[name] = await connect(target.imap)
            await watch[name].take(b"\r\n")
            watch[name].send(f"a LOGIN {name} {PASSWORD}\r\n".encode())
            await watch[name].take(b"\r\n")

    await _together(20, work)
    return watch


async def _imap_count(connection: Connection) -> int:
    connection.send(b"b STATUS INBOX (MESSAGES)\r\n")
    line = await connection.take(b"\r\n")
    while b"MESSAGES " not in line:
        line = await connection.take(b"\r\n")
    while not (await connection.take(b"\r\n")).startswith(b"b OK"):
        pass
    return int(line.split(b"MESSAGES ")[1].split(b")")[0])


async def deliver(target: Target, mail: Mail) -> tuple[float, float]:
    """(seconds until all are accepted, seconds until every one shows in its mailbox).

    Seen by IMAP sessions that are open already where the target has IMAP, else by POP3 logins, which count
    against it.
    """
    wanted = await counts(target)
    for number in range(mail.messages):
        wanted[NAMES[number % len(NAMES)]] += 1
    watch = await _imap_watch(target) if target.imap else {}
    began = time.perf_counter()
    accepted = await bring(target, mail)
    names: Iterator[str] = iter(NAMES)

    async def work() -> None:
        for name in names:
            while True:
                seen = await (_imap_count(watch[name]) if watch else pop3_count(target, name))
                if seen >= wanted[name]:
                    break
                await asyncio.sleep(0.01)

    await _together(20, work)
    delivered = time.perf_counter() - began
    for connection in watch.values():
        connection.close()
    return accepted, delivered


async def collect(target: Target, collection: Collection) -> tuple[float, int, int]:
    """(seconds, messages, octets) of that many sessions, over the mailboxes in turn."""
    names = itertools.islice(itertools.cycle(NAMES), collection.sessions)
    total = [0, 0]

    async def work() -> None:
        for name in names:
            connection = await pop3_open(target.pop3, name)
            count = int((await connection.pop3(b"STAT")).split()[1])
            if collection.retrieve:
                await connection.pop3_body(b"UIDL")
                for number in range(1, count + 1):
                    octets = await connection.pop3_body(b"RETR %d" % number)
                    total[1] += octets  # not in one statement: others add while we wait
                    if collection.delete:
                        await connection.pop3(b"DELE %d" % number)
                total[0] += count
            await connection.pop3(b"QUIT")
            connection.close()

    took = await _together(collection.at_once, work)
    return took, total[0], total[1]


async def empty(target: Target) -> None:
    """Delete everything, so that each run begins alike."""
    names = iter(NAMES)

    async def work() -> None:
        for name in names:
            connection = await pop3_open(target.pop3, name)
            count = int((await connection.pop3(b"STAT")).split()[1])
            for number in range(1, count + 1):
                await connection.pop3(b"DELE %d" % number)
            await connection.pop3(b"QUIT")
            connection.close()

    await _together(20, work)


async def waits(target: Target, messages: int, octets: int) -> list[float]:
    """Milliseconds from the start of MAIL until a POP3 login shows the message; one after the other."""
    found = []
    connection = await smtp_open(target.smtp)
    for number in range(messages):
        name = NAMES[number % len(NAMES)]
        data = compose(octets, name, f"wait.{time.time_ns():x}")
        before = await pop3_count(target, name)
        began = time.perf_counter()
        await smtp_send(connection, name, data)
        while await pop3_count(target, name) <= before:
            if time.perf_counter() - began > 60:
                raise BenchError("a message was accepted and never shown")
            await asyncio.sleep(0.001)
        found.append((time.perf_counter() - began) * 1000)
    await smtp_close(connection)
    return found
