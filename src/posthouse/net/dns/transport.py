"""One question to one server: over UDP from a port of its own, over TCP when the answer does not fit.

What comes from elsewhere never arrives, since the socket is connected; what answers another question is passed over,
and the right answer is still waited for. So guessing takes port and id both (RFC 5452 4.5).
"""

import asyncio
import secrets

import dns.flags
import dns.message

from posthouse.net.dns import wire
from posthouse.net.dns.interface import RecordType

MAX_STRANGE = 100  # datagrams that are no answer, before the try is given up
MAX_TCP = 65_535


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, name: str, kind: RecordType, ident: int) -> None:
        self._expected = (name, kind, ident)
        self._strange = 0
        self.answer: asyncio.Future[dns.message.Message] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Something came from the server's address."""
        if self.answer.done():
            return
        response = wire.read(data, *self._expected)
        if response is not None:
            self.answer.set_result(response)
            return
        self._strange += 1
        if self._strange > MAX_STRANGE:
            self.answer.set_exception(OSError("it sends what nobody asked for"))

    def error_received(self, exc: Exception) -> None:
        """The server's host says that nobody listens."""
        if not self.answer.done():
            self.answer.set_exception(exc)


async def ask(
    server: tuple[str, int], name: str, kind: RecordType, seconds: float, *, edns: bool = True
) -> dns.message.Message:
    """The response to one question. Raises OSError, TimeoutError among them."""
    ident = secrets.randbits(16)
    query = wire.question(name, kind, ident, edns=edns)
    async with asyncio.timeout(seconds):
        response = await _by_udp(server, query, name, kind, ident)
        if response.flags & dns.flags.TC:
            response = await _by_tcp(server, query, name, kind, ident)
        return response


async def _by_udp(
    server: tuple[str, int], query: bytes, name: str, kind: RecordType, ident: int
) -> dns.message.Message:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(lambda: _Datagrams(name, kind, ident), remote_addr=server)
    try:
        transport.sendto(query)
        return await protocol.answer
    finally:
        transport.close()


async def _by_tcp(
    server: tuple[str, int], query: bytes, name: str, kind: RecordType, ident: int
) -> dns.message.Message:
    """RFC 7766 8: each message behind its length in two octets."""
    reader, writer = await asyncio.open_connection(*server, limit=MAX_TCP + 2)
    try:
        writer.write(len(query).to_bytes(2, "big") + query)
        length = int.from_bytes(await reader.readexactly(2), "big")
        response = wire.read(await reader.readexactly(length), name, kind, ident)
    except asyncio.IncompleteReadError as error:
        raise OSError("it closed the connection") from error
    finally:
        writer.close()
    if response is None:
        raise OSError("it answered another question")
    return response
