"""Other people's mail servers, the good ones: real SMTP on loopback, each in a thread of its own, with a journal.

    with Remote(without={"CHUNKING"}) as remote:
        ...                                 # let mail go to 127.0.0.1, port remote.port
    remote.journal.accepted                 # every message it took, octet for octet

A remote judges whom it talks to: what no client may do (a bare CR or LF, a dot not doubled, a command out of turn) is
written down in journal.faults. Those that misbehave stand in misbehaving.py; they override one step each.
"""

import asyncio
import re
import socket
import ssl
import threading
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tests.outside.link import GoneError, Link

FEATURES = ("PIPELINING", "8BITMIME", "SIZE", "DSN", "SMTPUTF8", "CHUNKING", "ENHANCEDSTATUSCODES")
_ROOM = 64 << 20  # octets a connection may have unread
_BARE = re.compile(rb"(?<!\r)\n|\r(?!\n)|\0")
_LONGEST = 1000  # octets of a line with CRLF, RFC 5321 4.5.3.1.6


@dataclass(frozen=True)
class Accepted:
    """One message for whose acceptance a 250 was sent, or was about to be."""

    at: float  # time.monotonic() just before the 250
    connection: int
    tls: bool
    sender: str  # all behind MAIL FROM:
    recipients: tuple[str, ...]  # all behind RCPT TO:, of those that were taken
    data: bytes
    wire: bytes  # as it came: with its dots doubled, or out of its chunks


@dataclass
class Journal:
    """What a remote has seen. Written by its thread, read by any."""

    accepted: list[Accepted] = field(default_factory=list)
    commands: list[tuple[int, bytes]] = field(default_factory=list)  # with the number of the connection
    faults: list[str] = field(default_factory=list)
    connections: int = 0

    def holding(self, text: bytes) -> list[Accepted]:
        """The messages with `text` somewhere in them."""
        return [one for one in list(self.accepted) if text in one.data]

    def verbs(self) -> list[str]:
        """The commands' first words, in order."""
        return [line.split(b" ")[0].strip().decode("ascii", "replace").upper() for _, line in list(self.commands)]


class Remote:
    """A server that does everything right. `without` names extensions it does not have, STARTTLS among them.

    A step a subclass wants to go wrong is one method: greet(), do_<verb>(), shake_hands(), keep(), say(); one that it
    only refuses is answered by refusal().
    """

    def __init__(
        self, *, without: Collection[str] = (), size: int = 50 << 20, tls: ssl.SSLContext | None = None, port: int = 0
    ) -> None:
        self.journal = Journal()
        self.port = port
        self._features = [word for word in FEATURES if word not in without]
        self._size = size
        self._tls = tls if "STARTTLS" not in without else None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()
        self._links: set[asyncio.Task[None]] = set()
        self._thread: threading.Thread | None = None

    # Its life.

    def start(self) -> Self:
        """Serve; it listens when this returns."""
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)), daemon=True)
        self._thread.start()
        assert ready.wait(10), "the remote does not listen"
        return self

    def stop(self) -> None:
        """End all conversations and the thread."""
        if self._thread is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(10)
            assert not self._thread.is_alive(), "the remote does not end"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def _serve(self, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", self.port), backlog=1000) as listener:
            listener.setblocking(False)
            self.port = listener.getsockname()[1]
            self._loop.add_reader(listener, self._accept, listener)
            ready.set()
            await self._stopping.wait()
            self._loop.remove_reader(listener)
        await asyncio.sleep(0.01)  # what was accepted a moment ago becomes a conversation now
        links = list(self._links)
        for task in links:
            task.cancel()
        await asyncio.gather(*links, return_exceptions=True)
        await asyncio.sleep(0.01)  # the transports that were aborted are closed in the next turns of the loop

    def _accept(self, listener: socket.socket) -> None:
        """By hand: asyncio's own server loses a connection that comes at the moment it is closed."""
        with suppress(BlockingIOError):
            sock, _ = listener.accept()
            sock.setblocking(False)
            task = asyncio.get_running_loop().create_task(self._connected(sock))
            self._links.add(task)
            task.add_done_callback(self._links.discard)

    async def _connected(self, sock: socket.socket) -> None:
        link = await self._link(sock)
        try:
            await self.converse(link)
        except (GoneError, OSError):
            pass  # either side hung up
        except Exception as error:
            self.journal.faults.append(f"the remote itself failed: {error!r}")
        finally:
            link.abort()

    async def _link(self, sock: socket.socket) -> Link:
        loop = asyncio.get_running_loop()
        number = self.journal.connections = self.journal.connections + 1
        link: asyncio.Future[Link] = loop.create_future()

        def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            link.set_result(Link(number, reader, writer))

        reader = asyncio.StreamReader(_ROOM)
        await loop.connect_accepted_socket(lambda: asyncio.StreamReaderProtocol(reader, begin), sock)
        return await link

    # The conversation.

    async def converse(self, link: Link) -> None:
        """Greet, then answer commands until somebody hangs up."""
        await self.greet(link)
        while True:
            line = await link.line()
            self.journal.commands.append((link.number, line))
            if _BARE.search(line):
                self.journal.faults.append(f"a command with a bare CR, LF or NUL: {line!r}")
            verb, _, argument = line.strip().decode("utf-8", "replace").partition(" ")
            handle = getattr(self, f"do_{verb.lower()}", None)
            if handle is None:
                self.journal.faults.append(f"no such command: {line!r}")
                await self.say(link, "500 5.5.1 Unknown command")
            else:
                await handle(link, argument)

    async def say(self, link: Link, text: str | bytes) -> None:
        """Every reply goes through here; its lines are separated by LF."""
        data = text if isinstance(text, bytes) else text.encode()
        await link.send(data.replace(b"\n", b"\r\n") + b"\r\n")

    def refusal(self, step: str, argument: str, link: Link) -> str | bytes | None:
        """What to answer instead of yes; None: yes. Steps: GREETING, EHLO, MAIL, RCPT, DATA, END."""
        return None

    async def answer(self, link: Link, step: str, argument: str, yes: str) -> bool:
        """Say yes, or what refusal() says; whether it was yes. After 421 the connection ends (RFC 5321 3.8)."""
        no = self.refusal(step, argument, link)
        await self.say(link, yes if no is None else no)
        if no is not None and no[:3] in ("421", b"421"):
            await link.let_go()
        return no is None

    async def greet(self, link: Link) -> None:
        await self.answer(link, "GREETING", "", "220 remote.test ESMTP at your service")

    def features(self, link: Link) -> Iterable[str]:
        """The lines of the EHLO reply."""
        for word in self._features:
            yield f"SIZE {self._size}" if word == "SIZE" else word
        if self._tls is not None and not link.tls:
            yield "STARTTLS"

    async def do_ehlo(self, link: Link, argument: str) -> None:
        link.start_over()
        words = ["remote.test greets you", *self.features(link)]
        lines = [f"250{'-' if n < len(words) else ' '}{word}" for n, word in enumerate(words, 1)]
        await self.answer(link, "EHLO", argument, "\n".join(lines))

    async def do_helo(self, link: Link, argument: str) -> None:
        link.start_over()
        await self.say(link, "250 remote.test")

    async def do_starttls(self, link: Link, argument: str) -> None:
        if self._tls is None or link.tls:
            self.journal.faults.append("STARTTLS, which was not offered")
        await self.say(link, "220 2.0.0 Ready to start TLS")
        await self.shake_hands(link)

    async def shake_hands(self, link: Link) -> None:
        assert self._tls is not None
        await link.start_tls(self._tls)

    async def do_mail(self, link: Link, argument: str) -> None:
        if link.sender is not None:
            self.journal.faults.append("MAIL within a transaction")
        if await self.answer(link, "MAIL", argument, "250 2.1.0 Ok"):
            link.sender = argument.removeprefix("FROM:")

    async def do_rcpt(self, link: Link, argument: str) -> None:
        if link.sender is None:  # right where it was pipelined behind a MAIL that was refused
            await self.say(link, "503 5.5.1 MAIL first")
        elif await self.answer(link, "RCPT", argument, "250 2.1.5 Ok"):
            link.recipients.append(argument.removeprefix("TO:"))

    async def do_data(self, link: Link, argument: str) -> None:
        if not link.recipients:
            await self.say(link, "554 5.5.1 No valid recipients")
        elif await self.answer(link, "DATA", argument, "354 Go ahead"):
            await self.keep(link, await self.read_data(link))

    async def read_data(self, link: Link) -> bytes:
        """Up to the line with the dot alone, which only CRLF.CRLF is; the octets before it."""
        lines: list[bytes] = []
        while (line := await link.line()) != b".\r\n" or (lines and not lines[-1].endswith(b"\r\n")):
            lines.append(line)
        return b"".join(lines)

    async def do_bdat(self, link: Link, argument: str) -> None:
        octets, _, last = argument.partition(" ")
        link.chunks.append(await link.exactly(int(octets)))
        if not link.recipients:
            await self.say(link, "503 5.5.1 No valid recipients")
        elif not last:
            await self.say(link, f"250 2.0.0 {octets} octets")
        else:
            await self.keep(link, b"".join(link.chunks), chunked=True)

    async def keep(self, link: Link, wire: bytes, *, chunked: bool = False) -> None:
        """The end of the content: take the message, or not, and say so."""
        if self.refusal("END", "", link) is None:
            self.note(link, wire, chunked=chunked)
        link.start_over()
        await self.answer(link, "END", "", "250 2.0.0 Ok: taken")

    def note(self, link: Link, wire: bytes, *, chunked: bool) -> None:
        """Write the message down, and what is wrong with its octets."""
        self._judge(wire, chunked=chunked)
        data = wire if chunked else re.sub(rb"(?m)^\.", b"", wire)
        assert link.sender is not None
        self.journal.accepted.append(
            Accepted(time.monotonic(), link.number, link.tls, link.sender, tuple(link.recipients), data, wire)
        )

    def _judge(self, wire: bytes, *, chunked: bool) -> None:
        faults = self.journal.faults
        if found := _BARE.search(wire):
            faults.append(f"a bare CR, LF or NUL: {wire[max(0, found.start() - 20) : found.end() + 20]!r}")
        if not chunked and (lone := re.search(rb"(?m)^\.[^.]", wire)):
            faults.append(f"a dot that was not doubled: {wire[lone.start() : lone.end() + 20]!r}")
        if any(len(line) >= _LONGEST for line in wire.split(b"\n")):
            faults.append("a line of more than 998 octets")
        if "8BITMIME" not in self._features and not wire.isascii():
            faults.append("eight bits, which were not offered")

    async def do_rset(self, link: Link, argument: str) -> None:
        link.start_over()
        await self.say(link, "250 2.0.0 Ok")

    async def do_noop(self, link: Link, argument: str) -> None:
        await self.say(link, "250 2.0.0 Ok")

    async def do_quit(self, link: Link, argument: str) -> None:
        with suppress(OSError):  # few clients wait for it
            await self.say(link, "221 2.0.0 Bye")
        raise GoneError
