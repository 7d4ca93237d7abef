"""One small file over HTTPS from a host we do not know: bounded in every way, and never from inside our own network."""

import asyncio
import ssl
from ipaddress import ip_address
from pathlib import Path

from posthouse.net.dns.interface import DnsError, Kind, Resolver

SECONDS = 30.0
MAX_HEAD = 16 << 10
_PORT = 443


class FetchError(Exception):
    """The file could not be had; the text says why."""


class Fetcher:
    """`authorities`: a PEM file instead of the system's. `private`: addresses of private networks are allowed."""

    def __init__(self, resolver: Resolver, *, authorities: Path | None = None, private: bool = False) -> None:
        self._resolver = resolver
        self._authorities = authorities
        self._private = private
        self._context: ssl.SSLContext | None = None

    async def get(self, host: str, path: str, octets: int) -> bytes:
        """GET https://host/path, at most `octets`. No redirects (RFC 8461 3.3). Raises FetchError."""
        try:
            async with asyncio.timeout(SECONDS):
                return await self._get(host, path, octets)
        except TimeoutError:
            raise FetchError(f"{host} did not answer in time") from None
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
            raise FetchError(f"{host}: {error}") from error
        except DnsError as error:
            raise FetchError(str(error)) from error

    async def _get(self, host: str, path: str, octets: int) -> bytes:
        address = await self._address(host)
        if self._context is None:
            self._context = ssl.create_default_context(cafile=str(self._authorities) if self._authorities else None)
        reader, writer = await asyncio.open_connection(
            address, _PORT, ssl=self._context, server_hostname=host, limit=MAX_HEAD
        )
        try:
            request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nUser-Agent: posthouse\r\n\r\n"
            writer.write(request.encode("ascii"))
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            return await _body(reader, _checked(host, head), octets)
        finally:
            writer.close()

    async def _address(self, host: str) -> str:
        """Resolved here and used as it is: a second look-up might give another one (DNS rebinding)."""
        found: list[str] = []
        for kind in (Kind.A, Kind.AAAA):
            found += [str(record) for record in (await self._resolver.look_up(host, kind)).records]
        for address in found:
            ip = ip_address(address)
            ip = getattr(ip, "ipv4_mapped", None) or ip
            if ip.is_global or (self._private and not ip.is_loopback):
                return address
        raise FetchError(f"{host} has no address that may be used" if found else f"{host} has no address")


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
    if fields.get("transfer-encoding", "").lower() == "chunked":
        return await _chunks(reader, octets)
    length = fields.get("content-length", "")
    if length:
        if not length.isdecimal() or len(length) > 9 or int(length) > octets:
            raise FetchError("the file is too long")
        return await reader.readexactly(int(length))
    data = await reader.read(octets + 1)
    while (more := await reader.read(octets + 1)) and len(data) <= octets:
        data += more
    if len(data) > octets:
        raise FetchError("the file is too long")
    return data


async def _chunks(reader: asyncio.StreamReader, octets: int) -> bytes:
    """RFC 9112 7.1."""
    data = b""
    while True:
        size = int((await reader.readuntil(b"\r\n")).partition(b";")[0].strip(), 16)
        if size == 0:
            return data
        if size < 0 or len(data) + size > octets:
            raise FetchError("the file is too long")
        data += await reader.readexactly(size)
        await reader.readexactly(2)
