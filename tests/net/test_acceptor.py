"""Accepting, also when the process has no file descriptor left."""

import asyncio
import contextlib
import errno
import os
import socket
import subprocess
import sys
import textwrap

import pytest
import structlog
from structlog.testing import LogCapture

from posthouse.net.acceptor import Acceptor, SpareDescriptor, plain_address, refuse
from tests.net.fixture import until

REFUSAL = b"421 4.3.2 no room\r\n"


class Failing(socket.socket):
    """A listening socket whose accept() fails as told."""

    failures: list[int]
    calls = 0

    def accept(self) -> tuple[socket.socket, object]:
        self.calls += 1
        if self.failures:
            code = self.failures.pop(0)
            raise OSError(code, os.strerror(code))
        return super().accept()


@pytest.fixture
def listening() -> Failing:
    sock = Failing(socket.AF_INET, socket.SOCK_STREAM)
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    sock.failures = []
    return sock


def start(
    sock: socket.socket, log: structlog.typing.FilteringBoundLogger, reserve: SpareDescriptor
) -> tuple[Acceptor, list[socket.socket]]:
    welcomed: list[socket.socket] = []
    acceptor = Acceptor(sock, admit=lambda guest, _: welcomed.append(guest), refusal=REFUSAL, spare=reserve, log=log)
    return acceptor, welcomed


@pytest.mark.parametrize("code", [errno.ECONNABORTED, errno.EPROTO, errno.EHOSTUNREACH])
async def test_what_happened_to_one_does_not_matter_to_the_next(
    listening: Failing, log: structlog.typing.FilteringBoundLogger, logged: LogCapture, code: int
) -> None:
    reserve = SpareDescriptor()
    listening.failures = [code]
    acceptor, welcomed = start(listening, log, reserve)
    client = socket.create_connection(listening.getsockname())
    await until(lambda: len(welcomed) == 1)
    assert not logged.entries
    for sock in (client, *welcomed):
        sock.close()
    acceptor.close()
    acceptor.close()
    reserve.close()


@pytest.mark.parametrize("code", [errno.ENOBUFS, errno.ENOMEM, errno.EPERM])
async def test_it_rests_instead_of_spinning(
    listening: Failing,
    log: structlog.typing.FilteringBoundLogger,
    logged: LogCapture,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
) -> None:
    monkeypatch.setattr("posthouse.net.acceptor._PAUSE", 0.1)
    reserve = SpareDescriptor()
    listening.failures = [code] * 3
    acceptor, welcomed = start(listening, log, reserve)
    client = socket.create_connection(listening.getsockname())
    await until(lambda: len(welcomed) == 1)
    assert listening.calls <= 5  # three failures, the connection, and a look for more
    assert [entry["event"] for entry in logged.entries] == ["cannot accept"]
    for sock in (client, *welcomed):
        sock.close()
    acceptor.close()
    reserve.close()


async def test_closed_while_it_rests(listening: Failing, log: structlog.typing.FilteringBoundLogger) -> None:
    reserve = SpareDescriptor()
    listening.failures = [errno.ENOMEM]
    acceptor, welcomed = start(listening, log, reserve)
    with socket.create_connection(listening.getsockname()):
        await until(lambda: listening.calls == 1)
        acceptor.close()
    assert not welcomed
    reserve.close()


async def test_the_reserve_says_no_politely(
    listening: Failing, log: structlog.typing.FilteringBoundLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserve = SpareDescriptor()
    listening.failures = [errno.EMFILE]
    acceptor, welcomed = start(listening, log, reserve)
    reader, writer = await asyncio.open_connection(*listening.getsockname())
    assert await reader.read() == REFUSAL
    assert acceptor.turned_away == 1
    assert not welcomed
    writer.close()
    acceptor.close()
    reserve.close()


async def test_without_a_reserve_it_rests(
    listening: Failing, log: structlog.typing.FilteringBoundLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("posthouse.net.acceptor._PAUSE", 0.1)
    reserve = SpareDescriptor()
    reserve.give()
    listening.failures = [errno.EMFILE]
    acceptor, welcomed = start(listening, log, reserve)
    with socket.create_connection(listening.getsockname()):
        await until(lambda: len(welcomed) == 1)
    assert reserve.give()  # it was taken back
    welcomed[0].close()
    acceptor.close()


def test_refusing_someone_who_has_left() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    refuse(ours, REFUSAL)
    assert ours.fileno() == -1


@pytest.mark.parametrize(
    ("address", "plain"),
    [
        (("192.0.2.1", 25), ("192.0.2.1", 25)),
        (("::ffff:192.0.2.1", 25, 0, 0), ("192.0.2.1", 25)),
        (("2001:db8::1", 25, 0, 0), ("2001:db8::1", 25)),
        (("::FFFF:c000:201", 25, 0, 0), ("192.0.2.1", 25)),
        ("", ("", 0)),
        ("/run/lmtp.sock", ("", 0)),
        (None, ("", 0)),
    ],
)
def test_plain_addresses(address: object, plain: tuple[str, int]) -> None:
    assert plain_address(address) == plain


STARVED = """
    import asyncio, os, resource, sys
    import structlog
    from posthouse.net.limits import Limits
    from posthouse.net.listener import ListenerSettings, Server
    from posthouse.net.loop import new_event_loop
    from tests.net.lines import LineSession

    async def serve():
        log = structlog.wrap_logger(None, wrapper_class=structlog.make_filtering_bound_logger(50))
        server = Server(log, limits=Limits(linger=0.5))
        listener = ListenerSettings("lines", refusal=b"421 4.3.2 no room\\r\\n")
        _, port = await server.listen(listener, LineSession)
        loop = asyncio.get_running_loop()
        told = asyncio.Event()
        loop.add_reader(0, told.set)
        used = max(map(int, os.listdir("/proc/self/fd"))) + 1
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 10, used + 10))
        print(port, flush=True)
        await told.wait()
        loop.remove_reader(0)
        print(server.numbers.refused, flush=True)
        await server.shut_down(1.0)

    factory = new_event_loop if sys.argv[1] == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serve())
"""


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_out_of_descriptors(loop: str) -> None:
    server = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(STARVED), loop], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert server.stdin is not None
    assert server.stdout is not None
    with server, contextlib.ExitStack() as stack:
        address = ("127.0.0.1", int(server.stdout.readline()))
        clients = [stack.enter_context(socket.create_connection(address, 5)) for _ in range(40)]
        said = [client.recv(100) for client in clients]
        greeted = [client for client, text in zip(clients, said, strict=True) if text == b"hello\r\n"]
        assert 5 <= len(greeted) <= 12
        assert said.count(REFUSAL) == 40 - len(greeted)
        # Those who are in are served on.
        for client in greeted:
            client.sendall(b"still here\r\n")
            assert client.recv(100) == b"still here\r\n"
        # As soon as there is room, others are let in.
        for client in clients:
            client.close()
        assert any(_is_let_in(address) for _ in range(100))
        server.stdin.write("\n")
        server.stdin.flush()
        assert int(server.stdout.readline()) >= 28
    assert server.returncode == 0


def _is_let_in(address: tuple[str, int]) -> bool:
    with socket.create_connection(address, 5) as client:
        return client.recv(100) == b"hello\r\n"


async def test_a_connection_that_cannot_be_admitted_is_hung_up_on_and_the_next_one_is_not(
    listening: Failing, log: structlog.typing.FilteringBoundLogger, logged: LogCapture
) -> None:
    reserve = SpareDescriptor()
    welcomed: list[socket.socket] = []

    def welcome(guest: socket.socket, _: object) -> None:
        welcomed.append(guest)
        if len(welcomed) == 1:
            raise MemoryError

    acceptor = Acceptor(listening, admit=welcome, refusal=REFUSAL, spare=reserve, log=log)
    first = socket.create_connection(listening.getsockname())
    await until(lambda: len(welcomed) == 1)
    assert welcomed[0].fileno() == -1
    second = socket.create_connection(listening.getsockname())
    await until(lambda: len(welcomed) == 2)
    assert welcomed[1].fileno() >= 0
    assert [entry["event"] for entry in logged.entries] == ["connection failed early"]
    for sock in (first, second, *welcomed):
        sock.close()
    acceptor.close()
    reserve.close()


async def test_a_port_opens_again_even_if_the_reserve_cannot_be_had(
    listening: Failing, log: structlog.typing.FilteringBoundLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("posthouse.net.acceptor._PAUSE", 0.02)
    reserve = SpareDescriptor()
    reserve.give()
    listening.failures = [errno.EMFILE]
    opened = os.open

    def scarce(path: str, *rest: int) -> int:
        if path == os.devnull:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        return opened(path, *rest)

    monkeypatch.setattr(os, "open", scarce)
    acceptor, welcomed = start(listening, log, reserve)
    with socket.create_connection(listening.getsockname()):
        await until(lambda: len(welcomed) == 1)
    assert not reserve.give()  # there still is none, and the port is open nevertheless
    welcomed[0].close()
    acceptor.close()
