"""One small file over HTTPS from a host we do not know: bounded in every way, and never from inside our own network."""

import asyncio
import re
import ssl
from pathlib import Path

from posthouse.net.dns.interface import Answer, DnsError, RecordType, Resolver
from posthouse.net.may_reach import may_reach

SECONDS = 30.0  # for all of it
CONNECT_SECONDS = 10.0  # for each address
MAX_ADDRESSES = 4
MAX_HEAD = 16 << 10
_PORT = 443

_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;.*)?\r\n", re.DOTALL)

_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class FetchError(Exception):
    """The file could not be had; the text says why."""


class UntrustedError(FetchError):
    """The host's certificate does not prove that it is the host."""


class Fetcher:
    """`authorities`: a PEM file instead of the system's. `private`: addresses of private networks are allowed.

    `port` and `loopback` are for tests.
    """

    def __init__(
        self,
        resolver: Resolver,
        *,
        authorities: Path | None = None,
        private: bool = False,
        loopback: bool = False,
        port: int = _PORT,
    ) -> None:
        self._resolver = resolver
        self._authorities = authorities
        self._private = private
        self._loopback = loopback
        self._port = port
        self._context: ssl.SSLContext | None = None

    async def get(self, host: str, path: str, octets: int) -> bytes:
        """GET https://host/path, at most `octets`. No redirects (RFC 8461 3.3). Raises FetchError."""
        try:
            async with asyncio.timeout(SECONDS):
                return await self._get(host, path, octets)
        except TimeoutError:
            raise FetchError(f"{host} did not answer in time") from None
        except ssl.SSLCertVerificationError as error:
            raise UntrustedError(f"{host}: {error.verify_message}") from error
        except asyncio.IncompleteReadError:
            raise FetchError(f"{host} closed the connection too early") from None
        except (OSError, asyncio.LimitOverrunError, ValueError) as error:
            raise FetchError(f"{host}: {error}") from error
        except DnsError as error:
            raise FetchError(str(error)) from error

    async def _get(self, host: str, path: str, octets: int) -> bytes:
        reader, writer = await self._connect(host)
        try:
            request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nUser-Agent: posthouse\r\n\r\n"
            writer.write(request.encode("ascii"))
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            return await _body(reader, _checked(host, head), octets)
        finally:
            writer.transport.abort()  # a polite end would wait for the other side

    async def _connect(self, host: str) -> _Streams:
        """To the first address that answers. A wrong certificate is the host's last word."""
        failure: OSError = TimeoutError()
        for address in await self._addresses(host):
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    return await asyncio.open_connection(
                        address, self._port, ssl=self._tls(), server_hostname=host, limit=MAX_HEAD
                    )
            except ssl.SSLCertVerificationError:
                raise
            except OSError as error:
                failure = error
        raise failure

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = ssl.create_default_context(cafile=str(self._authorities) if self._authorities else None)
        return self._context

    async def _addresses(self, host: str) -> list[str]:
        """Resolved here and used as they are: a second look-up might give others (DNS rebinding)."""
        answers = await asyncio.gather(
            *(self._resolver.look_up(host, kind) for kind in (RecordType.A, RecordType.AAAA)), return_exceptions=True
        )
        found = [str(record) for answer in answers if isinstance(answer, Answer) for record in answer.records]
        if not found:
            for answer in answers:
                if isinstance(answer, BaseException):
                    raise answer
            raise FetchError(f"{host} has no address")
        usable = [address for address in found if may_reach(address, private=self._private, loopback=self._loopback)]
        if not usable:
            raise FetchError(f"{host} has no address that may be used")
        return usable[:MAX_ADDRESSES]


def _checked(host: str, head: str) -> dict[str, str]:
    status, *lines = head.split("\r\n")
    words = status.split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/1.") or words[1] != "200":
        raise FetchError(f"{host} said {status[:60]!r}")
    fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if fields.get("content-type", "").partition(";")[0].strip().lower() != "text/plain":  # RFC 8461 3.3
        raise FetchError(f"{host} sent no plain text")
    return fields


async def _body(reader: asyncio.StreamReader, fields: dict[str, str], octets: int) -> bytes:
    """RFC 9112 6.3: in chunks, as long as is said, or up to the end of the connection."""
    coding = fields.get("transfer-encoding", "").lower()
    if coding == "chunked":
        return await _chunks(reader, octets)
    if coding or fields.get("content-encoding", "identity").lower() != "identity":
        raise FetchError("the file is in a form that was not asked for")
    length = fields.get("content-length", "")
    if length:
        if not (length.isascii() and length.isdigit()) or len(length) > 9 or int(length) > octets:
            raise FetchError("the file is too long")
        return await reader.readexactly(int(length))
    data = bytearray()
    while piece := await reader.read(octets + 1 - len(data)):
        data += piece
        if len(data) > octets:
            raise FetchError("the file is too long")
    return bytes(data)


async def _chunks(reader: asyncio.StreamReader, octets: int) -> bytes:
    """RFC 9112 7.1."""
    data = bytearray()
    while True:
        found = _CHUNK_SIZE.fullmatch(await reader.readuntil(b"\r\n"))
        if found is None:
            raise FetchError("the file is in chunks that make no sense")
        size = int(found[1], 16)
        if size == 0:
            return bytes(data)
        if len(data) + size > octets:
            raise FetchError("the file is too long")
        data += await reader.readexactly(size)
        await reader.readexactly(2)
