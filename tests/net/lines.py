"""A small line protocol, to try the pump with: an engine, a session that answers it, and a client's end."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from posthouse.net.connection import Connection

IN_A_ROW = 10  # commands that the engine answers by itself in one call

Handler = Callable[["LineSession", bytes], Awaitable[None] | None]


@dataclass(frozen=True)
class Line:
    """Offer: one line, without its CRLF. Answer: engine.answer(text)."""

    text: bytes


class LineEngine:
    """Says hello; makes an event of each line; answers NOOP by itself, and QUIT with a farewell."""

    def __init__(self, patience: float = 60.0) -> None:
        self.patience = patience
        self.closing = False
        self.has_more = False
        self.received = 0
        self._buffer = b""
        self._out = [b"hello\r\n"]
        self._out_octets = 7
        self._asked = False
        self._stopping = False
        self._eof = False

    def receive_data(self, data: bytes) -> None:
        self.received += len(data)
        self._buffer += data

    def receive_eof(self) -> None:
        self._eof = True

    def next_event(self) -> Line | None:
        self.has_more = False
        answered = 0
        while not self._asked and not self.closing and self._out_octets < 1 << 16:
            line, found, rest = self._buffer.partition(b"\r\n")
            if not found:
                self.closing = self._eof
                return None
            self._buffer = rest
            if line == b"NOOP":
                self.say(b"ok")
                answered += 1
                if answered == IN_A_ROW:
                    self.has_more = True
                    return None
            elif line == b"BIG":
                self.say(b"x" * 10_000)
            elif line == b"QUIT":
                self.end(b"bye")
            else:
                self._asked = True
                return Line(line)
        return None

    def answer(self, text: bytes) -> None:
        self._asked = False
        self.say(text)
        if self._stopping:
            self.end(b"stopping")

    def say(self, text: bytes) -> None:
        self._out.append(text + b"\r\n")
        self._out_octets += len(text) + 2

    def end(self, text: bytes) -> None:
        self.say(text)
        self.closing = True

    def data_to_send(self) -> bytes:
        data = b"".join(self._out)
        self._out.clear()
        self._out_octets = 0
        return data

    def time_out(self) -> None:
        self.end(b"too slow")

    def shut_down(self) -> None:
        if not self._asked or self._stopping:
            self.end(b"stopping")
        self._stopping = True

    def fail(self) -> None:
        self.end(b"failed")

    def leftover(self) -> bytes:
        """What it was fed too much: the rest is none of its business."""
        buffer, self._buffer = self._buffer, b""
        return buffer

    def secured(self) -> None:
        """TLS has begun: start anew."""
        self._asked = False
        self._buffer = b""


def echo(session: "LineSession", text: bytes) -> Awaitable[None] | None:
    """Answer each line with itself."""
    session.engine.answer(text)
    return None


@dataclass
class LineSession:
    """Answers lines by `handler`; STARTTLS and WHO as one would expect."""

    connection: Connection
    handler: Handler = echo
    engine: LineEngine = field(default_factory=LineEngine)
    finished: int = 0

    def handle(self, event: object) -> Awaitable[None] | None:
        assert isinstance(event, Line)
        if event.text == b"STARTTLS":
            return self._start_tls()
        if event.text == b"WHO":
            who = self.connection
            self.engine.answer(f"{who.peer_ip} {who.peer_port} {who.local_ip} {who.local_port}".encode())
            return None
        return self.handler(self, event.text)

    async def _start_tls(self) -> None:
        self.engine.say(b"go ahead")
        await self.connection.start_tls()
        self.engine.secured()

    async def finish(self) -> None:
        self.finished += 1


@dataclass
class Client:
    """The other end."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def connect(
        cls, address: tuple[str, int], tls: ssl.SSLContext | None = None, *, first: bytes = b""
    ) -> "Client":
        """Connect; `first` goes before any TLS."""
        host, port = address
        if port == 0:
            return cls(*await asyncio.open_unix_connection(host))
        if first and tls:
            client = await cls.connect(address, first=first)
            await client.start_tls(tls)
            return client
        name = "localhost" if tls else None
        client = cls(*await asyncio.open_connection(host, port, ssl=tls, server_hostname=name))
        client.send(first)
        return client

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def line(self) -> bytes:
        """The next line; b"" at the end."""
        return (await asyncio.wait_for(self.reader.readline(), 10)).removesuffix(b"\r\n")

    async def ask(self, text: bytes) -> bytes:
        self.send(text + b"\r\n")
        return await self.line()

    async def rest(self) -> bytes:
        """All that still comes, until the server hangs up."""
        return await asyncio.wait_for(self.reader.read(), 10)

    async def start_tls(self, context: ssl.SSLContext) -> None:
        await asyncio.wait_for(self.writer.start_tls(context, server_hostname="localhost"), 10)

    def vanish(self) -> None:
        """Reset the connection."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await self.writer.wait_closed()
