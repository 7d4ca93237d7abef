"""The server: listens, lets connections in, gives each a session or a driver, watches their time, ends them all."""

import asyncio
import itertools
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from posthouse.message.ip import Network
from posthouse.net.acceptor import Acceptor, Address, SpareDescriptor, plain_address, refuse
from posthouse.net.connection import Connection, ConnectionGoneError
from posthouse.net.connection_limiter import ConnectionLimiter
from posthouse.net.interface import Driver, Session
from posthouse.net.keepalive import keep_alive
from posthouse.net.limits import Limits
from posthouse.net.proxy import ProxyError, ProxyParser
from posthouse.net.pump import Pump
from posthouse.net.refusals import RefusalLog
from posthouse.net.tasks import Tasks
from posthouse.net.tls import TlsKeeper
from posthouse.net.turns import Turns

__all__ = ["ListenerSettings", "Server", "Service"]

# What belongs to a connection that was let in: a session, which the pump drives, or a driver of its own.
Service = Callable[[Connection], Session | Driver]

_LAST_WORDS = 5.0  # seconds for sessions to finish after their connections were cut off


@dataclass(frozen=True, slots=True)
class ListenerSettings:
    """One way in: `address` and `port` (0: any free one), or the `path` of a Unix socket."""

    name: str  # for logs
    address: str = "127.0.0.1"
    port: int = 0
    path: str = ""
    implicit_tls: bool = False  # RFC 8314: the handshake comes first
    # Peers that are load balancers: each of their connections must begin with a PROXY header. From anyone else such
    # a header is never read, so nobody else can lie about their address.
    proxy_from: Sequence[Network] = ()
    refusal: bytes = b""  # sent when there is no room, as b"421 4.7.0 Too many connections\r\n"
    backlog: int = 1024
    reuse_port: bool = False  # several processes share the port


@dataclass(frozen=True, slots=True)
class Numbers:
    """What the server counts, for metrics."""

    open: int
    accepted: int
    refused: int


@dataclass(slots=True)
class ConnectionState:
    """What the server knows of a connection."""

    listener: ListenerSettings
    place: str  # the address it is counted against
    driver: Driver | None = None  # once it has got that far


class Server:
    """Owns the listeners and connections of one event loop, in which all its methods must be called."""

    def __init__(
        self,
        log: FilteringBoundLogger,
        *,
        keeper: TlsKeeper | None = None,
        limits: Limits | None = None,
        label: str = "",
    ) -> None:
        """`keeper` is needed for TLS. `label` begins the ids of connections, and tells workers apart."""
        self._log = log
        self._keeper = keeper
        self._limits = limits or Limits()
        self._loop = asyncio.get_running_loop()
        self._limiter = ConnectionLimiter(self._limits.connections, self._limits.per_address)
        self._refusals = RefusalLog(self._limits, log, self._loop.time)
        self._spare = SpareDescriptor()
        self._acceptors: list[Acceptor] = []
        self._paths: list[Path] = []
        self._connections: dict[Connection, ConnectionState] = {}
        self._empty = asyncio.Event()
        self._tasks = Tasks(log, self._check_empty)
        self._turns = Turns(self._loop)
        self._stopping = False
        self._ids = (f"{label}{number:x}" for number in itertools.count(1))
        self._accepted = 0
        self._check_timer = self._loop.call_later(self._limits.sweep, self._check_all)

    @property
    def numbers(self) -> Numbers:
        """The counts as of now."""
        turned_away = sum(acceptor.turned_away for acceptor in self._acceptors)
        return Numbers(self._limiter.open, self._accepted, self._limiter.refused + turned_away)

    async def listen(
        self, listener: ListenerSettings, service: Service, *, sock: socket.socket | None = None
    ) -> tuple[str, int]:
        """Let connections in from now on; returns address and port, or the path and 0.

        `sock`, if given, is bound and listening already, and belongs to the server from now on. Raises OSError.
        """
        if listener.implicit_tls and self._keeper is None:
            raise ValueError(f"{listener.name} is to speak TLS, but the server has no certificate")
        if sock is None:
            sock = _bound(listener)
            if listener.path:
                self._paths.append(Path(listener.path))
        keep_alive(sock, self._limits.keepalive)
        name = sock.getsockname()

        def admit(client: socket.socket, peer: Address) -> None:
            self._admit(client, peer, listener, service)

        refusal = b"" if listener.implicit_tls else listener.refusal
        self._acceptors.append(
            Acceptor(sock, admit=admit, refusal=refusal, spare=self._spare, log=self._log.bind(listener=listener.name))
        )
        self._log.debug("listening", listener=listener.name, address=name)
        return (name, 0) if isinstance(name, str) else plain_address(name)

    def stop_accepting(self) -> None:
        """Close the listening sockets; what is open goes on."""
        for acceptor in self._acceptors:
            acceptor.close()

    async def shut_down(self, grace: float, *, linger: bool = True) -> int:
        """Accept no more, tell every driver, wait up to `grace` seconds, cut off the rest; returns how many.

        Without `linger` nobody waits for peers to hang up: those at rest are gone at once, though some may miss our
        last word.
        """
        self._stopping = True
        self.stop_accepting()
        for path in self._paths:
            path.unlink(missing_ok=True)
        for connection, state in list(self._connections.items()):
            connection.lingers = linger
            if state.driver is None:
                connection.abort()
                continue
            try:
                state.driver.shut_down()
            except Exception:
                self._log.exception("connection failed", connection=connection.id, peer=connection.peer_ip)
                connection.abort()
        cut_off = 0
        if not await self._emptied(grace):
            cut_off = len(self._connections)
            for connection in list(self._connections):
                connection.abort()
            self._tasks.cancel()
            if not await self._emptied(_LAST_WORDS):
                self._log.error("sessions did not finish", sessions=len(self._tasks))
        self._check_timer.cancel()
        self._spare.close()
        return cut_off

    async def _emptied(self, grace: float) -> bool:
        """Wait until nothing is open and nothing under way; returns whether that came to pass within `grace`."""
        self._check_empty()
        try:
            async with asyncio.timeout(grace):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True

    def _check_empty(self) -> None:
        if not self._connections and not self._tasks:
            self._empty.set()
        else:
            self._empty.clear()

    # The life of a connection.

    def _admit(self, sock: socket.socket, peer: Address, listener: ListenerSettings, service: Service) -> None:
        refusal = b"" if listener.implicit_tls else listener.refusal
        local = plain_address(sock.getsockname())  # may raise, so it comes before anything is counted
        if not self._limiter.enter():
            self._refusals.note_full(peer[0])
            refuse(sock, refusal)
            return
        # A load balancer's own address says nothing: its connections are counted once we know who is behind.
        proxied = _is_trusted(peer[0], listener.proxy_from)
        place = "" if proxied else peer[0]
        if not self._limiter.take_place(place):
            self._limiter.leave("")
            self._refusals.note_share(place)
            refuse(sock, refusal)
            return
        self._accepted += 1
        connection = Connection(
            next(self._ids),
            peer=peer,
            local=local,
            loop=self._loop,
            keeper=self._keeper,
            limits=self._limits,
            on_lost=self._leave,
            turns=self._turns,
        )
        state = self._connections[connection] = ConnectionState(listener, place)
        self._tasks.start(self._serve(sock, connection, state, service, proxied=proxied))

    async def _serve(
        self, sock: socket.socket, connection: Connection, state: ConnectionState, service: Service, *, proxied: bool
    ) -> None:
        """Bring a connection to the point where its driver takes over."""
        try:
            await self._loop.connect_accepted_socket(lambda: connection, sock)
        except BaseException as error:
            sock.close()
            self._leave(connection)
            if not isinstance(error, OSError):
                raise
            self._log.info("connection failed early", connection=connection.id, reason=error)
            return
        try:
            if proxied and not await self._introduce(connection, state):
                return
            if state.listener.implicit_tls:
                await connection.begin_with_tls()
            if self._stopping:
                connection.abort()
                return
            found = service(connection)
            driver = found if isinstance(found, Driver) else self._pump(connection, found)
            state.driver = connection.reader = driver
            driver.wake()
        except ConnectionGoneError:
            return
        except Exception:
            self._log.exception("connection failed", connection=connection.id, peer=connection.peer_ip)
            connection.abort()

    def _pump(self, connection: Connection, session: Session) -> Pump:
        return Pump(connection, session, tasks=self._tasks, limits=self._limits, turns=self._turns, log=self._log)

    async def _introduce(self, connection: Connection, state: ConnectionState) -> bool:
        """Learn from a load balancer who the client is; returns whether it may come in."""
        connection.due = connection.now() + self._limits.proxy_header
        parser = ProxyParser()
        try:
            while (header := parser.receive(await connection.more())) is None:
                pass
        except ProxyError as error:
            self._log.warning("bad PROXY header", connection=connection.id, peer=connection.peer_ip, reason=error)
            connection.abort()
            return False
        connection.due = 0.0
        connection.give_back(parser.rest())
        if header.client is not None and header.server is not None:
            connection.peer_ip, connection.peer_port = header.client
            connection.local_ip, connection.local_port = header.server
            if not self._limiter.take_place(connection.peer_ip):
                self._refusals.note_share(connection.peer_ip)
                if not state.listener.implicit_tls:
                    connection.write(state.listener.refusal)
                connection.close()
                return False
            state.place = connection.peer_ip
        return True

    def _leave(self, connection: Connection) -> None:
        state = self._connections.pop(connection, None)
        if state is not None:  # else it has left already: before it was whole, it may be told twice
            self._limiter.leave(state.place)
            self._check_empty()

    def _check_all(self) -> None:
        """Look who has run out of time: one timer for all connections."""
        self._check_timer = self._loop.call_later(self._limits.sweep, self._check_all)  # first: whatever happens below
        now = self._loop.time()
        for connection, state in list(self._connections.items()):
            try:
                connection.check(now)
                if state.driver is not None:
                    state.driver.check(now)
            except Exception:
                self._log.exception("connection failed", connection=connection.id, peer=connection.peer_ip)
                connection.abort()


def _bound(listener: ListenerSettings) -> socket.socket:
    where: str | tuple[str, int] = listener.path or (listener.address, listener.port)
    family = socket.AF_UNIX
    if not listener.path:
        family = socket.AF_INET if ip_address(listener.address).version == 4 else socket.AF_INET6
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if not listener.path:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if listener.reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # A socket for each family: then addresses are what they look like.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(where)
        sock.listen(listener.backlog)
    except BaseException:
        sock.close()
        raise
    return sock


def _is_trusted(ip: str, networks: Sequence[Network]) -> bool:
    return bool(networks) and bool(ip) and any(ip_address(ip) in network for network in networks)
