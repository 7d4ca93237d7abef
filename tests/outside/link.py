"""The server's side of one SMTP connection, line by line."""

import asyncio
import ssl


class GoneError(Exception):
    """The conversation is over."""


class Link:
    """One connection and where its conversation stands."""

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number = number
        self.tls = False
        self._reader = reader
        self._writer = writer
        self.start_over()

    def start_over(self) -> None:
        """No transaction is open."""
        self.sender: str | None = None
        self.recipients: list[str] = []
        self.chunks: list[bytes] = []

    @property
    def ip(self) -> str:
        """Whom we talk to."""
        return str(self._writer.get_extra_info("peername")[0])

    async def send(self, data: bytes) -> None:
        """Write, and wait while the client is behind."""
        self._writer.write(data)
        await self._writer.drain()

    async def line(self) -> bytes:
        """The next line up to its LF. Raises GoneError when the client has hung up."""
        line = await self._reader.readline()
        if not line.endswith(b"\n"):
            raise GoneError
        return line

    async def exactly(self, octets: int) -> bytes:
        """So many octets. Raises GoneError."""
        try:
            return await self._reader.readexactly(octets)
        except asyncio.IncompleteReadError as error:
            raise GoneError from error

    async def some(self) -> bytes:
        """Whatever comes next; b"" once the client has hung up."""
        return await self._reader.read(65536)

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """The server's side of the handshake. Raises OSError."""
        await self._writer.start_tls(context)
        self.tls = True
        self.start_over()

    async def let_go(self) -> None:
        """Close so that the client can still read all that was said: not before it has hung up itself."""
        if self._writer.can_write_eof():
            self._writer.write_eof()
            while await self.some():
                pass
        raise GoneError

    def abort(self) -> None:
        """Close at once."""
        self._writer.transport.abort()
