"""The load client's connection: little Python per reply, so that the server is what is measured."""

import asyncio
import ssl
import time
from typing import cast

HOST = "127.0.0.1"


class BenchError(Exception):
    """The server answered other than the work needs; the run is worthless."""


class Connection(asyncio.Protocol):
    """Sends bytes, waits for an end mark. One waiter at a time."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._end = b""
        self._from = 0
        self._waiting: asyncio.Future[int] | None = None
        self._transport: asyncio.Transport | None = None
        self._lost: Exception | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by type

    def data_received(self, data: bytes) -> None:
        self._held += data
        if self._waiting is not None:
            at = self._held.find(self._end, self._from)
            if at < 0:
                self._from = max(0, len(self._held) - len(self._end) + 1)
                return
            waiting, self._waiting = self._waiting, None
            if not waiting.done():
                waiting.set_result(at + len(self._end))

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = exc or BenchError("the server closed the connection")
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(self._lost)

    async def take(self, end: bytes) -> bytes:
        """What came, up to and with `end`."""
        at = self._held.find(end)
        if at >= 0:
            at += len(end)
        else:
            if self._lost is not None:
                raise self._lost
            self._end, self._from = end, max(0, len(self._held) - len(end) + 1)
            self._waiting = asyncio.get_running_loop().create_future()
            at = await self._waiting
        taken = bytes(self._held[:at])
        del self._held[:at]
        return taken

    def send(self, data: bytes) -> None:
        """Write."""
        assert self._transport is not None
        self._transport.write(data)

    def close(self) -> None:
        """Hang up."""
        assert self._transport is not None
        self._transport.close()

    async def smtp(self, command: bytes, wanted: bytes) -> None:
        """Send, read one reply (of one or more lines), which must begin with `wanted`."""
        if command:
            self.send(command)
        line = await self.take(b"\r\n")
        while line[3:4] == b"-":
            line = await self.take(b"\r\n")
        if not line.startswith(wanted):
            raise BenchError(f"{command[:60]!r} -> {line!r}")

    async def pop3(self, command: bytes) -> bytes:
        """Send, read one line, which must be +OK."""
        if command:
            self.send(command + b"\r\n")
        line = await self.take(b"\r\n")
        if not line.startswith(b"+OK"):
            raise BenchError(f"{command!r} -> {line!r}")
        return line

    async def pop3_body(self, command: bytes) -> int:
        """Send, read a multi-line answer; octets of it, dots still stuffed."""
        await self.pop3(command)
        if self._held.startswith(b".\r\n") or (not self._held and (await self._peek()) == b".\r\n"):
            await self.take(b".\r\n")
            return 0
        return len(await self.take(b"\r\n.\r\n")) - 3

    async def imap(self, command: bytes) -> bytes:
        """Send, read up to the tagged line, which must be OK. For answers without literals."""
        self.send(b"zq %b\r\n" % command)
        answer = line = await self.take(b"\r\n")
        while not line.startswith(b"zq "):
            line = await self.take(b"\r\n")
            answer += line
        if not line.startswith(b"zq OK"):
            raise BenchError(f"{command[:60]!r} -> {line!r}")
        return answer

    async def imap_append(self, mailbox: bytes, message: bytes) -> None:
        """APPEND with a literal that is announced and waited for."""
        self.send(b"zq APPEND %b {%d}\r\n" % (mailbox, len(message)))
        line = await self.take(b"\r\n")
        if not line.startswith(b"+"):
            raise BenchError(f"APPEND -> {line!r}")
        self.send(message + b"\r\n")
        while not line.startswith(b"zq "):
            line = await self.take(b"\r\n")
        if not line.startswith(b"zq OK"):
            raise BenchError(f"APPEND -> {line!r}")

    async def _peek(self) -> bytes:
        """The first three octets to come."""
        while len(self._held) < 3:
            if self._lost is not None:
                raise self._lost
            self._end, self._from = b"\n", 0
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        return bytes(self._held[:3])


def _any_certificate() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


ANY_CERTIFICATE = _any_certificate()


async def connect(port: int, tls: bool = False) -> Connection:
    """A connection to this machine; one that is refused for a full backlog is tried again."""
    context = ANY_CERTIFICATE if tls else None
    for attempt in range(6):
        try:
            _, connection = await asyncio.get_running_loop().create_connection(Connection, HOST, port, ssl=context)
        except (ConnectionResetError, TimeoutError):
            await asyncio.sleep(0.05 * (attempt + 1))
        else:
            return connection
    raise BenchError(f"cannot connect to port {port}")


async def first_line(port: int, until: float) -> None:
    """Wait until the port greets; `until` is a time of the monotonic clock."""
    while time.monotonic() < until:
        try:
            _, connection = await asyncio.get_running_loop().create_connection(Connection, HOST, port)
            await connection.take(b"\r\n")
        except (OSError, BenchError):
            await asyncio.sleep(0.002)
        else:
            connection.close()
            return
    raise BenchError(f"no greeting on port {port}")
