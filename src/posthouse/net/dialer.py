"""Connections to other servers: made within their time, and cut off when the other end lets its time run out."""

import asyncio
import contextlib
import errno
import itertools
import socket
import ssl

from posthouse.net.connection import Connection
from posthouse.net.keepalive import keep_alive
from posthouse.net.limits import Limits

CONNECT_SECONDS = 30.0  # for each address; RFC 5321 leaves it open, and a host that is up answers in less


class Dialer:
    """Owns the outgoing connections of one event loop. A connection's `due` is kept by it."""

    def __init__(self, *, label: str = "", limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._loop = asyncio.get_running_loop()
        self._open: set[Connection] = set()
        self._closed = False
        self._ids = (f"{label}out-{number:x}" for number in itertools.count(1))
        self._sweeping = self._loop.call_later(self._limits.sweep, self._sweep)

    async def dial(self, ip: str, port: int, *, source: str = "", seconds: float = CONNECT_SECONDS) -> Connection:
        """A connection to `ip`, from the address `source` if one is given. Raises OSError, TimeoutError among them."""
        name = next(self._ids)

        def make() -> Connection:
            return Connection(
                name,
                peer=(ip, port),
                local=(source, 0),
                loop=self._loop,
                keeper=None,
                limits=self._limits,
                on_lost=self._open.discard,
            )

        async with asyncio.timeout(seconds):
            transport, connection = await self._loop.create_connection(
                make, ip, port, local_addr=(source, 0) if source else None
            )
        if self._closed:
            transport.abort()
            raise OSError(errno.ECANCELED, "no more connections are made")
        if not connection.lost:  # it may have been, before this coroutine had its turn
            self._open.add(connection)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            keep_alive(sock, self._limits.keepalive)
            with contextlib.suppress(OSError):  # it only makes things faster; a dead connection shows soon enough
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def close(self) -> None:
        """Cut all connections off; those under way, too, as soon as they are there."""
        self._closed = True
        self._sweeping.cancel()
        for connection in list(self._open):
            connection.abort()

    def _sweep(self) -> None:
        self._sweeping = self._loop.call_later(self._limits.sweep, self._sweep)  # first: whatever happens below
        now = self._loop.time()
        for connection in list(self._open):
            connection.check(now)


def client_context() -> ssl.SSLContext:
    """TLS towards mail servers. Certificates are looked at after the handshake, by the caller, who knows the policy."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    # RFC 8996; a peer that knows nothing newer gets plain text, if that may be, as RFC 7435 would have it.
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION
    return context
