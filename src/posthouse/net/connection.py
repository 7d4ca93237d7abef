"""A connection: a transport with a memory of what arrived, back-pressure both ways; TLS and compression when asked for.

What arrives is held until someone takes it; when more is held than is good, nothing more is read from the network.
So bytes that came in plain text before a TLS handshake are still here when it starts, and can be thrown away.
Compressed octets are held as they came, and unpacked piece by piece as they are taken, so the bound holds for them too.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from typing import cast

from posthouse.net.deflate import BrokenStreamError, Deflate
from posthouse.net.interface import Driver, Engine
from posthouse.net.limits import Limits
from posthouse.net.tls import TlsInfo, TlsKeeper
from posthouse.net.tunnel import Tunnel
from posthouse.net.turns import SHARE_OCTETS, Turns

_HELD_AT_MOST = 1 << 18  # octets that arrived and were not taken, before reading pauses
_RESUMED_BELOW = 1 << 16
_PART_COST = 64  # what a part of the above costs beyond its octets: a flood of single octets is bounded too
_SLICE = 1 << 16  # octets handed over at once, so that one connection does not keep the loop for long
_DISCARDED_AT_MOST = 1 << 20  # octets thrown away after our last word
_RESTS_AFTER = 30.0  # seconds without a word from us, until the memory for compressing is given back


class ConnectionGoneError(Exception):
    """The peer is gone, or we have cut it off."""


class Connection(asyncio.Protocol):
    """One peer. Addresses are text as in "192.0.2.1" and "2001:db8::1"; "" and port 0 for a Unix socket."""

    __slots__ = (
        "_arrival",
        "_closing",
        "_deflate",
        "_discarded",
        "_drained",
        "_held",
        "_held_cost",
        "_keeper",
        "_limits",
        "_loop",
        "_on_lost",
        "_paused",
        "_spoke",
        "_streamed",
        "_transport",
        "_tunnel",
        "_turns",
        "congested_since",
        "due",
        "eof",
        "id",
        "lingers",
        "local_ip",
        "local_port",
        "lost",
        "peer_ip",
        "peer_port",
        "reader",
        "tls",
    )

    def __init__(
        self,
        id: str,  # noqa: A002 -- what it is
        *,
        peer: tuple[str, int],
        local: tuple[str, int],
        loop: asyncio.AbstractEventLoop,
        keeper: TlsKeeper | None,
        limits: Limits,
        on_lost: Callable[["Connection"], None],
        turns: Turns | None = None,
    ) -> None:
        """With `turns` each step of a handshake waits for its own."""
        self.id = id  # for logs
        self.peer_ip, self.peer_port = peer
        self.local_ip, self.local_port = local
        self.tls: TlsInfo | None = None
        self.eof = False  # the peer will send no more; what is held may still be taken
        self.lost = False
        self.congested_since = 0.0  # when the peer stopped reading what we write; 0: it reads
        self.due = 0.0  # when this connection must have got past its present stage; 0: no matter
        self.lingers = True  # whether close() waits for the peer to hang up
        self.reader: Driver | None = None
        self._loop = loop
        self._keeper = keeper
        self._limits = limits
        self._on_lost = on_lost
        self._turns = turns
        self._transport: asyncio.Transport | None = None
        self._tunnel: Tunnel | None = None
        self._deflate: Deflate | None = None
        self._spoke = 0.0  # when something was last compressed
        self._streamed = 0  # octets that flush() has written since it last waited
        self._held: list[bytes] = []
        self._held_cost = 0
        self._paused = False
        self._closing = False
        self._discarded = 0
        self._arrival: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None

    # For sessions and the pump.

    @property
    def can_start_tls(self) -> bool:
        """Whether there is a certificate, and no TLS and no compression yet."""
        return self._keeper is not None and self._tunnel is None and self._deflate is None

    @property
    def deflates(self) -> bool:
        """Whether what is sent and received is compressed."""
        return self._deflate is not None

    def now(self) -> float:
        """The loop's time in seconds."""
        return self._loop.time()

    def take(self) -> bytes:
        """Some or all of what has arrived; empty if nothing has."""
        held = self._held
        if not held and (self._deflate is None or not self._deflate.has_more):
            return b""
        data = held[0] if len(held) == 1 else b"".join(held)
        held.clear()
        self._held_cost = 0
        rest = b""
        if self._deflate is not None:
            data, rest = self._unpack(self._deflate, data)
        elif len(data) > _SLICE:
            data, rest = data[:_SLICE], data[_SLICE:]
        if rest:
            held.append(rest)
            self._held_cost = len(rest) + _PART_COST
        if self._paused and self._held_cost < _RESUMED_BELOW:
            self._resume()
        return data

    async def more(self) -> bytes:
        """Wait until something has arrived, and take it. Raises ConnectionGoneError if nothing will."""
        while not (data := self.take()):
            await self._something()
        return data

    async def _something(self) -> None:
        """Wait until something arrives. Raises ConnectionGoneError if nothing will."""
        if self.lost or self.eof:
            raise ConnectionGoneError
        self._arrival = self._loop.create_future()
        try:
            await self._arrival
        finally:
            self._arrival = None

    def give_back(self, data: bytes) -> None:
        """Have the next one take `data` first."""
        if data:
            self._held.insert(0, data)
            self._held_cost += len(data) + _PART_COST

    def write(self, data: bytes) -> None:
        """Send `data` in one write; does not wait. What is written after the end is lost."""
        if not data or self._closing or self.lost or self._transport is None:
            return
        if self._deflate is not None:
            data = self._deflate.pack(data)
            self._spoke = self.now()
        self._transport.write(data if self._tunnel is None else self._tunnel.send(data))

    async def drain(self) -> None:
        """Wait until the peer has taken most of what was written. Raises ConnectionGoneError."""
        if self.lost:
            raise ConnectionGoneError
        if self.congested_since:
            self._drained = self._loop.create_future()
            await self._drained

    async def flush(self, engine: Engine) -> None:
        """Write what `engine` has to send, and wait if the peer is behind. Raises ConnectionGoneError.

        For sessions that stream: after every 64 KiB or so, memory stays bounded however slow the peer is. However fast
        it is, others get their turn after each share.
        """
        data = engine.data_to_send()
        self.write(data)
        self._streamed += len(data)
        if self.congested_since or self.lost:
            self._streamed = 0
            await self.drain()
        elif self._streamed > SHARE_OCTETS:
            self._streamed = 0
            await asyncio.sleep(0)

    def wake(self) -> None:
        """Have the engine looked at although nothing arrived: a session has given it something to say."""
        if self._arrival is not None:
            _settle(self._arrival)
        elif self.reader is not None:
            self.reader.wake()

    async def start_tls(self) -> TlsInfo:
        """Send what is ready to go, then wait for the TLS handshake. Raises ConnectionGoneError.

        RFC 3207 4.2, RFC 2595 4: nothing that the peer sent before the handshake survives it.
        """
        if self.reader is not None:
            self.reader.flush()
        self._held.clear()
        self._held_cost = 0
        return await self._shake_hands()

    async def begin_with_tls(self) -> TlsInfo:
        """Wait for the TLS handshake that comes first on this port (RFC 8314 3). Raises ConnectionGoneError."""
        return await self._shake_hands()

    async def start_tls_towards(self, host: str, context: ssl.SSLContext) -> tuple[bytes, ...]:
        """As client: shake hands with `host`; the certificates it showed, unchecked. Raises ConnectionGoneError.

        What the peer sent before the handshake is none of it: the caller has seen that there was nothing.
        """
        self._held.clear()
        self._held_cost = 0
        tunnel = Tunnel(context, towards=host)
        await self._secure(tunnel, tunnel.begin())
        self.tls = TlsInfo(tunnel.version, tunnel.cipher, {})
        return tunnel.chain

    def start_deflate(self) -> None:
        """Send what is ready to go; all that follows is compressed, both ways (RFC 4978).

        What has arrived and was not taken follows already; what the engine took too much is to be given back before.
        A peer that sends something else, or ends its stream, is cut off, or has hung up.
        """
        if self._deflate is not None:
            raise RuntimeError("compression asked for twice")
        if self.reader is not None:
            self.reader.flush()
        self._deflate = Deflate()

    async def _shake_hands(self) -> TlsInfo:
        if self._keeper is None:
            raise RuntimeError("TLS asked for without a certificate")
        credentials = self._keeper.credentials
        tunnel = Tunnel(credentials.context)
        await self._secure(tunnel, b"")
        # RFC 9266 3: TLS 1.3 is bound by tls-exporter, which there is not; clients that are offered -PLUS insist on it.
        bindings: Mapping[str, bytes] = {}
        if tunnel.version == "TLSv1.2":
            bindings = {**credentials.bindings, "tls-unique": tunnel.finished}
        self.tls = TlsInfo(tunnel.version, tunnel.cipher, bindings)
        return self.tls

    async def _secure(self, tunnel: Tunnel, first: bytes) -> None:
        """The handshake: `first` is our opening word; what is held came from the peer already.

        A handshake costs us a signature and the peer a few octets. So who asks for many waits in one queue with all
        who ask for much, and each turn of the loop does one step.
        """
        if self._tunnel is not None or self._deflate is not None:
            raise RuntimeError("TLS asked for twice, or after compression")
        if self.lost:
            raise ConnectionGoneError
        self._tunnel = tunnel
        self.due = self.now() + self._limits.handshake
        if self._paused:
            self._resume()
        self._write_raw(first)
        while not tunnel.established:
            if not self._held:
                await self._something()
            if self._turns is not None:
                await self._turns.next()
            self._take_step()
        self.due = 0.0

    def _take_step(self) -> None:
        """Hand all that has come to TLS. Raises ConnectionGoneError."""
        if self.lost or self._closing:
            raise ConnectionGoneError
        came = b"".join(self._held)
        self._held.clear()
        self._held_cost = 0
        if self._paused:
            self._resume()
        self._arrived(came)

    def close(self) -> None:
        """Write out and say goodbye. What still comes is thrown away until the peer hangs up, or time is up.

        Closing at once would make the system reset the connection if anything arrived unread, and the peer might
        never see our last reply.
        """
        if self._closing or self.lost or self._transport is None:
            return
        if self._tunnel is not None:
            self._transport.write(self._tunnel.close())
        self._closing = True
        self._held.clear()
        self.due = self.now() + self._limits.linger
        if self.eof or not self.lingers:
            self._transport.close()
            return
        try:
            self._transport.write_eof()
        except OSError:  # the peer has just gone, and the loop has not said so yet
            self._transport.abort()
            return
        if self._paused:
            self._resume()

    def abort(self) -> None:
        """Cut the connection off. What was not yet sent is lost."""
        self._closing = True
        if self._transport is not None:
            self._transport.abort()

    def check(self, now: float) -> None:
        """Cut the connection off if its present stage has taken too long. `now` is the loop's time."""
        if self.due and now > self.due:
            self.abort()
        elif self._deflate is not None and now - self._spoke > _RESTS_AFTER:
            self._deflate.rest()

    # What the transport tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Bytes from the network."""
        if (self._tunnel is None or not self._tunnel.established) and not self._closing:
            self._hold(data)
        else:
            self._arrived(data)

    def eof_received(self) -> bool:
        """The peer has hung up, or only its sending half. Returns whether to stay open for our part."""
        if self._closing:
            return False
        if self._tunnel is not None and not self._tunnel.established:
            return False  # a handshake is never completed by half a connection
        self._end_of_input()
        return not self._closing

    def pause_writing(self) -> None:
        """The peer does not keep up with what we write."""
        self.congested_since = self.now()

    def resume_writing(self) -> None:
        """The peer has caught up."""
        self.congested_since = 0.0
        if self._drained is not None:
            _settle(self._drained)

    def connection_lost(self, exc: Exception | None) -> None:
        """The end, brought about by either side."""
        self.lost = True
        self.due = 0.0
        self._held.clear()
        self._deflate = None
        for waiting in (self._arrival, self._drained):
            if waiting is not None:
                _settle(waiting, ConnectionGoneError())
        if self.reader is not None:
            self.reader.lost()
        self._on_lost(self)

    # The inside.

    def _arrived(self, data: bytes) -> None:
        if self._closing:
            self._discarded += len(data)
            if self._discarded > _DISCARDED_AT_MOST:
                self.abort()
            return
        tunnel = self._tunnel
        if tunnel is None:
            self._hold(data)
            return
        try:
            plain = tunnel.receive(data)
        except ssl.SSLError:
            self._break_off(tunnel.to_send())
            return
        if answer := tunnel.to_send():
            self._write_raw(answer)
        if plain:
            self._hold(plain)
        if tunnel.ended:
            self._end_of_input()

    def _unpack(self, deflate: Deflate, data: bytes) -> tuple[bytes, bytes]:
        """Some of what is in `data`, and what is left of it."""
        try:
            unpacked = deflate.unpack(data)
        except BrokenStreamError:
            self._break_off(b"" if self._tunnel is None else self._tunnel.close())
            return b"", b""
        if deflate.ended:
            self._end_of_input()
        return unpacked

    def _break_off(self, last: bytes) -> None:
        """TLS or compression has failed: send TLS's own `last` word, if any, and close."""
        self._write_raw(last)
        self._closing = True
        self.due = self.now() + self._limits.linger
        if self._transport is not None:
            self._transport.close()

    def _write_raw(self, data: bytes) -> None:
        if data and self._transport is not None:
            self._transport.write(data)

    def _hold(self, data: bytes) -> None:
        self._held.append(data)
        self._held_cost += len(data) + _PART_COST
        self.wake()
        if self._held_cost > _HELD_AT_MOST and not self._paused and not self._closing:
            self._paused = True
            if self._transport is not None:
                self._transport.pause_reading()

    def _resume(self) -> None:
        self._paused = False
        if self._transport is not None and not self.eof:
            self._transport.resume_reading()

    def _end_of_input(self) -> None:
        if not self.eof:
            self.eof = True
            self.wake()


def _settle(future: asyncio.Future[None], failure: Exception | None = None) -> None:
    if future.done():
        return
    if failure is None:
        future.set_result(None)
    else:
        future.set_exception(failure)
