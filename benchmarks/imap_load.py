"""IMAP from many sides: mail appended, sessions opened, mail shown to who waits for it, and what waiting costs."""

import asyncio
import itertools
import resource
import time
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager

from benchmarks import load, memory
from benchmarks.connection import BenchError, Connection, connect
from benchmarks.corpus import Corpus
from benchmarks.imap_client import ImapClient
from benchmarks.target import NAMES, PASSWORD, Target

READERS = NAMES[:20]  # each with a mailbox to log in to
READ = b"Reading"
READ_MESSAGES = 1000
IDLERS = NAMES[:20]


async def _open(port: int, name: str, tls: bool = False) -> Connection:
    """A session that is logged in."""
    connection = await connect(port, tls)
    await connection.take(b"\r\n")
    await connection.imap(f"LOGIN {name} {PASSWORD}".encode())
    return connection


def append(target: Target, octets: int, messages: int) -> float:
    """Messages a second on one connection, each after the OK of the one before."""
    samples = [sample.octets for sample in Corpus().samples(messages, octets)]
    mailbox = f"Append{time.time_ns()}".encode()
    with ImapClient(target.imap, NAMES[0]) as client:
        client.run(b"CREATE " + mailbox)
        began = time.perf_counter()
        for sample in samples:
            client.append(mailbox, sample)
        took = time.perf_counter() - began
        if client.status(mailbox) != messages:
            raise BenchError("a message that was appended is not there")
        client.run(b"DELETE " + mailbox)
    return messages / took


async def append_wide(target: Target, octets: int, messages: int, connections: int) -> float:
    """Messages a second on many connections, each into a mailbox of its own."""
    samples = [sample.octets for sample in Corpus().samples(messages, octets)]
    mailbox = f"Append{time.time_ns()}".encode()
    sessions = [await _open(target.imap, name) for name in NAMES[:connections]]
    for session in sessions:
        await session.imap(b"CREATE " + mailbox)
    left = iter(samples)

    async def work(session: Connection) -> None:
        for sample in left:
            await session.imap_append(mailbox, sample)

    began = time.perf_counter()
    await _all(work(session) for session in sessions)
    took = time.perf_counter() - began
    found = 0
    for session in sessions:
        answer = await session.imap(b"STATUS " + mailbox + b" (MESSAGES)")
        found += int(answer.split(b"MESSAGES ")[1].split(b")")[0])
        await session.imap(b"DELETE " + mailbox)
        session.close()
    if found != messages:
        raise BenchError(f"of {messages} messages appended {found} are there")
    return messages / took


def fill_readers(target: Target) -> None:
    """A mailbox of a thousand for each who logs in, unless it is there already."""
    small: list[bytes] = []
    for name in READERS:
        with ImapClient(target.imap, name) as client:
            client.run(b'LIST "" ' + READ)
            if READ in client.answer().split(b"zq")[0]:
                if client.status(READ) == READ_MESSAGES:
                    continue
                client.run(b"DELETE " + READ)
            client.run(b"CREATE " + READ)
            small = small or [sample.octets for sample in Corpus().samples(READ_MESSAGES, 700)]
            client.append_all(READ, small)


async def logins(target: Target, sessions: int, at_once: int) -> float:
    """Sessions a second: connect, LOGIN, SELECT, LOGOUT."""
    names = itertools.islice(itertools.cycle(READERS), sessions)
    wanted = b"* %d EXISTS" % READ_MESSAGES

    async def work() -> None:
        for name in names:
            session = await _open(target.imap, name)
            if wanted not in await session.imap(b"SELECT " + READ):
                raise BenchError("SELECT told of another number of messages")
            await session.imap(b"LOGOUT")
            session.close()

    began = time.perf_counter()
    await _all(work() for _ in range(at_once))
    return sessions / (time.perf_counter() - began)


@asynccontextmanager
async def _idling(port: int, names: list[str], tls: bool = False) -> AsyncIterator[list[tuple[str, Connection]]]:
    """Sessions that wait with IDLE, opened twenty at a time."""
    sessions: list[tuple[str, Connection]] = []
    left = iter(names)

    async def work() -> None:
        for name in left:
            session = await _open(port, name, tls)
            sessions.append((name, session))
            await session.imap(b"SELECT INBOX")
            session.send(b"zq IDLE\r\n")
            if not (await session.take(b"\r\n")).startswith(b"+"):
                raise BenchError("IDLE was refused")

    try:
        await _all(work() for _ in range(20))
        yield sessions
    finally:
        for _, session in sessions:
            session.close()


async def pushes(target: Target, messages: int, octets: int) -> list[float]:
    """Milliseconds from the start of MAIL until a session that idles is told; one after the other."""
    found = []
    async with _idling(target.imap, list(IDLERS)) as sessions:
        smtp = await load.smtp_open(target.smtp)
        for number in range(messages):
            name, session = sessions[number % len(sessions)]
            data = load.compose(octets, name, f"idle.{time.time_ns():x}")
            began = time.perf_counter()
            shown = asyncio.create_task(_exists(session))
            await load.smtp_send(smtp, name, data)
            async with asyncio.timeout(60):
                found.append((await shown - began) * 1000)
            await asyncio.sleep(0.005)
        await load.smtp_close(smtp)
    return found


async def _exists(session: Connection) -> float:
    """When the session is told of a message."""
    while not (await session.take(b"\r\n")).endswith(b" EXISTS\r\n"):
        pass
    return time.perf_counter()


def idle_memory(target: Target, connections: int, settle: float, tls: bool = False) -> float | None:
    """KiB for each of many sessions that idle; None where the server's processes are not known.

    The server begins anew, for what it had once taken from the system would hide the growth.
    """
    target.restart()
    if not (roots := target.roots()):
        return None
    asyncio.run(load.counts(target))  # what the first login of a user costs is no matter here
    return asyncio.run(_idle_growth(target, roots, connections, settle, tls))


async def _idle_growth(target: Target, roots: list[int], connections: int, settle: float, tls: bool) -> float:
    raise_open_files()
    await asyncio.sleep(settle)
    before = memory.held(roots)
    names = list(itertools.islice(itertools.cycle(NAMES), connections))
    async with _idling(target.imaps if tls else target.imap, names, tls):
        await asyncio.sleep(settle)
        after = memory.held(roots)
    return (after - before) * 1024 / connections


async def _all(works: Iterable[Coroutine[None, None, None]]) -> None:
    """Together; the first failure ends all."""
    async with asyncio.timeout(load.LIMIT), asyncio.TaskGroup() as group:
        for work in works:
            group.create_task(work)


def raise_open_files() -> None:
    """Many connections need many of them."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
