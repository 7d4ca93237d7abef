"""What the pump costs: a line protocol over 20 loopback connections, beside a bare protocol of the same loop.

    python -m benchmarks.micro_net [--loop asyncio] [--tls]

Prints requests a second of wall time and server CPU a request. The client is a process of its own.
"""

import argparse
import asyncio
import datetime
import multiprocessing
import socket
import ssl
import tempfile
import time
from collections.abc import Awaitable, Callable
from multiprocessing.queues import Queue
from pathlib import Path

import structlog

from posthouse.app.process.certificate import self_signed
from posthouse.net.connection import Connection
from posthouse.net.listener import ListenerSettings, Server
from posthouse.net.loop import new_event_loop
from posthouse.net.tls import TlsKeeper

_CONNECTIONS = 20
_REQUEST = b"RCPT TO:<someone@example.test>\r\n"
_ANSWER = b"250 2.1.5 ok\r\n"


class LineEngine:
    """The least an engine can do: one event for each line."""

    def __init__(self) -> None:
        self.closing = self.has_more = False
        self.patience = 60.0
        self._buffer = bytearray()
        self._out = bytearray()
        self._asked = False

    def receive_data(self, data: bytes) -> None:
        self._buffer += data

    def receive_eof(self) -> None:
        self.closing = True

    def next_event(self) -> bytes | None:
        if self._asked:
            return None
        end = self._buffer.find(b"\r\n")
        if end < 0:
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        self._asked = True
        return line

    def answer(self, text: bytes) -> None:
        self._asked = False
        self._out += text

    def data_to_send(self) -> bytes:
        data = bytes(self._out)
        self._out.clear()
        return data

    def time_out(self) -> None:
        self.closing = True

    def shut_down(self) -> None:
        self.closing = True

    def fail(self) -> None:
        self.closing = True


class EchoSession:
    """Answers on the spot, or after an await."""

    def __init__(self, connection: Connection, wait: bool) -> None:
        self.engine = LineEngine()
        self._wait = wait

    def handle(self, event: object) -> Awaitable[None] | None:
        if self._wait:
            return self._later()
        self.engine.answer(_ANSWER)
        return None

    async def _later(self) -> None:
        self.engine.answer(_ANSWER)

    async def finish(self) -> None:
        return


class Bare(asyncio.Protocol):
    """The yardstick: answers each read."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if data.endswith(b"\r\n"):
            self._transport.write(_ANSWER)  # type: ignore[attr-defined]


def drive(port: int, seconds: float, tls: bool, count: "Queue[int]") -> None:
    """Be 20 clients in turn: write to all, read from all."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(_CONNECTIONS)]
    if tls:
        clients = [context.wrap_socket(client) for client in clients]
    done, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        for client in clients:
            client.sendall(_REQUEST)
        for client in clients:
            client.recv(4096)
        done += _CONNECTIONS
    count.put(done)


async def measure(name: str, port: int, seconds: float, tls: bool) -> None:
    spawn = multiprocessing.get_context("spawn")
    count: Queue[int] = spawn.Queue()
    client = spawn.Process(target=drive, args=(port, seconds, tls, count))
    before = time.process_time()  # a waiting server costs nothing, so the client's own start does not count
    client.start()
    done = await asyncio.to_thread(count.get)
    cpu = time.process_time() - before
    client.join()
    print(f"{name:24} {done / seconds:9,.0f} requests/s {cpu / done * 1e6:7.1f} us CPU each")


async def run(seconds: float, tls: bool) -> None:
    log = structlog.wrap_logger(None, wrapper_class=structlog.make_filtering_bound_logger(40))
    loop = asyncio.get_running_loop()
    with tempfile.TemporaryDirectory() as folder:
        files = self_signed(Path(folder), ["localhost"], datetime.datetime.now(datetime.UTC))
        keeper = TlsKeeper(files.certificate, files.key)
        bare = await loop.create_server(Bare, "127.0.0.1", 0, ssl=keeper.credentials.context if tls else None)
        await measure("bare protocol", bare.sockets[0].getsockname()[1], seconds, tls)
        bare.close()
        server = Server(log, keeper=keeper)
        make: Callable[[bool], Callable[[Connection], EchoSession]]
        make = lambda wait: lambda connection: EchoSession(connection, wait)  # noqa: E731
        for name, wait in (("answered on the spot", False), ("answered by a task", True)):
            _, port = await server.listen(ListenerSettings(name, implicit_tls=tls), make(wait))
            await measure(name, port, seconds, tls)
        await server.shut_down(1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--loop", choices=("uvloop", "asyncio"), default="uvloop")
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    factory = new_event_loop if options.loop == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(run(options.seconds, options.tls))


if __name__ == "__main__":
    main()
