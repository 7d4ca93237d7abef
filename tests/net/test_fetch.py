"""One file over HTTPS, from real servers on loopback, good ones and others."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from posthouse.net import fetch
from posthouse.net.dns.interface import RecordType
from posthouse.net.fetch import Fetcher, FetchError, UntrustedError
from tests.answers import Answers
from tests.certificates import Issued, authority, leaf
from tests.net.test_may_reach import HERE, INSIDE, NEVER

HOST = "mta-sts.example.org"
ROOT = authority()
OWN = leaf(ROOT, HOST)
PLAIN = b"Content-Type: text/plain; charset=utf-8\r\n"
OK = b"HTTP/1.1 200 OK\r\n" + PLAIN
LIMIT = 1000
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(folder: Path, talk: Talk, shown: Issued = OWN) -> AsyncIterator[int]:
    """A server that talks TLS and then as it is told to; its port."""
    pem = folder / "own.pem"
    pem.write_bytes(shown.key_pem + shown.pem)
    (folder / "roots.pem").write_bytes(ROOT.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


def saying(*pieces: bytes) -> Talk:
    """A server that hears the request and says this, then closes."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    return talk


async def fetched(
    folder: Path, talk: Talk, *, addresses: tuple[str, ...] = ("127.0.0.1",), shown: Issued = OWN, loopback: bool = True
) -> bytes:
    async with serving(folder, talk, shown) as port:
        resolver = Answers({(HOST, RecordType.A): addresses})
        fetcher = Fetcher(resolver, authorities=folder / "roots.pem", loopback=loopback, private=True, port=port)
        return await fetcher.get(HOST, "/file", LIMIT)


async def test_what_is_asked(tmp_path: Path) -> None:
    heard: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(OK + b"Content-Length: 5\r\n\r\nhello and more")
        await reader.read()

    assert await fetched(tmp_path, talk) == b"hello"
    assert heard[0].startswith(b"GET /file HTTP/1.1\r\nHost: mta-sts.example.org\r\n")


@pytest.mark.parametrize(
    ("said", "body"),
    [
        ([OK + b"\r\nto the end"], b"to the end"),
        ([OK + b"\r\n", b"in ", b"pieces"], b"in pieces"),
        ([OK + b"Content-Length: 0\r\n\r\n"], b""),
        ([OK + b"Content-Length: 1000\r\n\r\n" + b"x" * LIMIT], b"x" * LIMIT),
        ([OK + b"\r\n" + b"x" * LIMIT], b"x" * LIMIT),
        ([OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n there\r\n0\r\n\r\n"], b"hello there"),
        ([b"HTTP/1.0 200\r\ncontent-type:TEXT/PLAIN\r\n\r\nold"], b"old"),
    ],
)
async def test_forms_of_an_answer(tmp_path: Path, said: list[bytes], body: bytes) -> None:
    assert await fetched(tmp_path, saying(*said)) == body


CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"HTTP/1.1 404 Not Found\r\n" + PLAIN + b"\r\n", "404"),
        (b"HTTP/1.1 301 Moved\r\nLocation: https://else.example/\r\n" + PLAIN + b"\r\n", "301"),  # RFC 8461 3.3
        (b"HTTP/1.1 204 No Content\r\n" + PLAIN + b"\r\n", "204"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\nhello", "plain text"),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", "plain text"),
        (b"SSH-2.0-x\r\n\r\n", "SSH"),
        (b"\r\n\r\n", "said"),
        (b"", "too early"),
        (OK, "too early"),
        (OK + b"X: " + b"x" * (17 << 10) + b"\r\n\r\n", "limit"),
        (OK + b"Content-Length: 5\r\n\r\nhe", "too early"),
        (OK + b"Content-Length: 1001\r\n\r\n", "too long"),
        (OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", "too long"),
        (OK + b"Content-Length: -1\r\n\r\n", "too long"),
        (OK + b"\r\n" + b"x" * (LIMIT + 1), "too long"),
        (OK + b"\r\n" + b"x" * (1 << 20), "too long"),
        (CHUNKED + b"3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n", "too long"),
        (CHUNKED + b"1\r\nx\r\n" * 2000, "too long"),
        (CHUNKED + b"ffffffff\r\n", "too long"),
        (CHUNKED + b"-1\r\nx\r\n", "no sense"),
        (CHUNKED + b"0x1\r\nx\r\n", "no sense"),
        (CHUNKED + b"\r\n", "no sense"),
        (CHUNKED + b"1;" + b"x" * (20 << 10), "limit"),
        (OK + b"Transfer-Encoding: gzip\r\n\r\n", "form"),
        (OK + b"Content-Encoding: gzip\r\n\r\n", "form"),
    ],
)
async def test_answers_that_are_not_taken(tmp_path: Path, said: bytes, why: str) -> None:
    with pytest.raises(FetchError, match=why) as caught:
        await fetched(tmp_path, saying(said))
    assert not isinstance(caught.value, UntrustedError)


@pytest.mark.parametrize(
    "shown",
    [leaf(ROOT, "example.org"), leaf(authority(), HOST), leaf(None, HOST), leaf(ROOT, HOST, days=(-9, -1))],
    ids=["name", "authority", "own", "expired"],
)
async def test_certificates_that_prove_nothing(tmp_path: Path, shown: Issued) -> None:
    with pytest.raises(UntrustedError, match=HOST):
        await fetched(tmp_path, saying(OK + b"\r\n"), shown=shown)


async def test_a_server_that_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def talk(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    monkeypatch.setattr(fetch, "SECONDS", 0.2)
    with pytest.raises(FetchError, match="in time"):
        await fetched(tmp_path, talk)


async def test_the_next_address_when_one_is_dead(tmp_path: Path) -> None:
    """Nothing listens there: the server is bound to one address of loopback only."""
    addresses = ("127.0.0.2", "127.0.0.3", "127.0.0.1")
    assert await fetched(tmp_path, saying(OK + b"\r\nhere"), addresses=addresses) == b"here"
    with pytest.raises(FetchError):
        await fetched(tmp_path, saying(OK + b"\r\nhere"), addresses=("127.0.0.2",))


async def test_one_family_is_enough(tmp_path: Path) -> None:
    async with serving(tmp_path, saying(OK + b"\r\nhere")) as port:
        resolver = Answers({(HOST, RecordType.A): ("127.0.0.1",)})
        resolver.failing.add((HOST, RecordType.AAAA))
        fetcher = Fetcher(resolver, authorities=tmp_path / "roots.pem", loopback=True, port=port)
        assert await fetcher.get(HOST, "/", LIMIT) == b"here"


async def test_no_address() -> None:
    resolver = Answers({})
    with pytest.raises(FetchError, match="no address"):
        await Fetcher(resolver).get(HOST, "/", LIMIT)
    resolver.failing.add((HOST, RecordType.A))
    with pytest.raises(FetchError, match="SERVFAIL"):
        await Fetcher(resolver).get(HOST, "/", LIMIT)


@pytest.mark.parametrize("address", [*INSIDE, *HERE, *NEVER])
async def test_nothing_is_sent_inside(address: str) -> None:
    with pytest.raises(FetchError, match="may be used"):
        await Fetcher(Answers({(HOST, RecordType.A): (address,)})).get(HOST, "/", LIMIT)


async def test_a_host_name_made_to_hurt() -> None:
    host = "a\r\nX: y"
    resolver = Answers({(host, RecordType.A): ("192.0.2.1",)})
    with pytest.raises(FetchError):
        await Fetcher(resolver).get(host, "/", LIMIT)
