"""The one place where a server is built: every object of one worker, from the settings down to the sessions."""

import asyncio
import base64
import os
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from structlog.typing import FilteringBoundLogger

from posthouse import __version__
from posthouse.accounts.allowance import Allowance
from posthouse.accounts.remembered import Remembered
from posthouse.accounts.sqlite import SqliteDirectory, SqliteThrottleRows
from posthouse.accounts.sqlite.allowance import SqliteAllowanceRows
from posthouse.accounts.sqlite.registry import SqliteRegistry
from posthouse.accounts.throttle import Throttle
from posthouse.app.certificate import CertificateFiles
from posthouse.app.kinds import Network
from posthouse.app.listening import Bound
from posthouse.app.outgoing import Outward, build_outward, build_routes, build_srs
from posthouse.app.places import Places
from posthouse.app.services import Service
from posthouse.app.settings import Settings
from posthouse.database.connection import Durability, open_connection
from posthouse.database.sqlite_leases import SqliteLeases
from posthouse.delivery.incoming import Incoming
from posthouse.delivery.router import Router
from posthouse.delivery.signing import Signing
from posthouse.delivery.spool import SpoolBudget
from posthouse.delivery.submission import Submission
from posthouse.mailstore.index import MessageIndex
from posthouse.mailstore.index import prepare as prepare_index
from posthouse.mailstore.index.indexer import Indexer
from posthouse.mailstore.socket_bus import SocketBus, clear_bus
from posthouse.mailstore.sqlite.store import SqliteMailstore
from posthouse.message.ids import id_factory
from posthouse.message.trace import Tracer
from posthouse.net.limits import Limits
from posthouse.net.listener import ListenerSettings, Server
from posthouse.net.listener import Service as MakeSession
from posthouse.net.tls import TlsKeeper
from posthouse.protocol.imap.settings import ImapSettings
from posthouse.protocol.pop3.server import Pop3Settings
from posthouse.protocol.smtp.server import SmtpSettings, Variant
from posthouse.protocol.smtp.settings import MAX_HOLD
from posthouse.queue.sqlite.outgoing import SqliteOutgoing, end_claims
from posthouse.queue.sqlite.schema import MIGRATIONS as QUEUE_MIGRATIONS
from posthouse.queue.sqlite.schema import ROOM as QUEUE_ROOM
from posthouse.sessions.imap.context import Desk
from posthouse.sessions.imap.session import ImapService
from posthouse.sessions.pop3 import RENEW_SECONDS, Pop3Service
from posthouse.sessions.services import Services
from posthouse.sessions.smtp import SmtpService

INDEX = "index.db"
PURGE_SECONDS = 60.0  # between two looks for accounts that were removed without their mail
_FULL_SMTP = b"421 4.7.0 Too many connections, please come back\r\n"
_FULL_POP3 = b"-ERR [SYS/TEMP] Too many connections, please come back\r\n"
_FULL_IMAP = b"* BYE [UNAVAILABLE] Too many connections, please come back\r\n"
_FULL = {
    Service.POP3: _FULL_POP3,
    Service.POP3S: _FULL_POP3,
    Service.IMAP: _FULL_IMAP,
    Service.IMAPS: _FULL_IMAP,
}


@dataclass(frozen=True, slots=True)
class Setup:
    """What a worker is given: all of it was made before privileges were dropped and before it was forked."""

    settings: Settings
    hostname: str
    places: Places
    certificate: CertificateFiles
    log: FilteringBoundLogger
    workers: int = 1  # how many there are


def prepare(setup: Setup) -> None:
    """Bring the databases up to date and end the holds of the server that ran before.

    Under the server lock, before any worker starts; nothing stays open, so that forking is safe afterwards.
    """
    SqliteRegistry(setup.places.directory).close()
    leases = SqliteLeases(setup.places.leases)
    leases.void_all()
    leases.close()
    end_claims(setup.places.mail)
    prepare_index(setup.places.data / INDEX)
    clear_bus(setup.places.bus)


class Worker:
    """One process's server. start(), then stop(); both on the event loop."""

    def __init__(self, setup: Setup, index: int = 0) -> None:
        self._setup = setup
        settings, places = setup.settings, setup.places
        self._log = setup.log
        self._keeper = TlsKeeper(
            setup.certificate.certificate, setup.certificate.key, password=settings.tls.key_password
        )
        self._bus = SocketBus(places.bus, index, setup.workers)
        self._mailstore = SqliteMailstore.open(
            places.data, bus=self._bus, clock=time.time, rooms={QUEUE_ROOM: QUEUE_MIGRATIONS}
        )
        self._index = MessageIndex(places.data / INDEX, self._mailstore)
        self._indexer = Indexer(self._index, self._mailstore, self._bus)
        self._volatile = open_connection(places.volatile, durability=Durability.OFF)
        self._directory = SqliteDirectory(
            places.directory,
            Throttle(SqliteThrottleRows(self._volatile), time.time),
            remembered=Remembered(time.monotonic, seconds=settings.login.remember),
        )
        self._leases = SqliteLeases(places.leases)
        self._new_id = id_factory()
        self._outward: Outward | None = None
        self._services = self._build_services(f"{index:x}-")
        self._server = Server(
            self._log,
            keeper=self._keeper,
            limits=Limits(connections=settings.limits.connections, per_address=settings.limits.per_address),
            label=f"{index:x}-",
        )
        self._chores: list[asyncio.Task[None]] = []

    def _build_services(self, label: str) -> Services:
        settings, hostname = self._setup.settings, self._setup.hostname
        tracer = Tracer(hostname, time.time)
        router = self._build_router(label)
        allowance = Allowance(
            SqliteAllowanceRows(self._volatile),
            time.time,
            default_messages=settings.submission.messages,
            default_recipients=settings.submission.new_recipients,
        )
        submission = Submission(
            self._directory,
            allowance,
            tracer,
            time.time,
            self._new_id,
            sent_copy=settings.submission.sent_copy,
        )
        incoming = Incoming(
            router,
            self._mailstore,
            SpoolBudget(self._setup.places.spool, in_memory=settings.limits.spool_memory),
            tracer,
            self._log,
            submission=submission,
            signing=Signing(self._directory, time.time),
            bounces=self._outward.bounces if self._outward else None,
            max_hops=settings.smtp.max_hops,
        )
        return Services(
            directory=self._directory,
            mailstore=self._mailstore,
            leases=self._leases,
            incoming=incoming,
            new_id=self._new_id,
            nonce=lambda: base64.b64encode(os.urandom(18)).decode(),
            log=self._log,
            trusts=_trusts(settings.smtp.relay_from),
        )

    def _build_router(self, label: str) -> Router:
        """Where mail goes; with what sends it out, if this server sends."""
        settings, hostname = self._setup.settings, self._setup.hostname
        if not settings.outgoing.enabled:
            return Router(self._directory, self._mailstore, time.time)
        outgoing = SqliteOutgoing(self._mailstore, time.time)
        routes = build_routes(settings)
        router = Router(
            self._directory,
            self._mailstore,
            time.time,
            outgoing=outgoing,
            routes=routes,
            srs=build_srs(self._directory),
            expire=settings.outgoing.expire,
        )
        self._outward = build_outward(
            settings,
            self._setup.places,
            hostname,
            self._directory,
            outgoing,
            self._mailstore,
            router,
            routes,
            self._new_id,
            self._log,
            label=label,
        )
        return router

    async def start(self, bound: list[Bound], index: int = 0) -> None:
        """Let connections in at every bound place; `index` says which of its sockets are this worker's."""
        try:
            self._bus.start()
        except OSError as error:
            self._log.warning("workers cannot tell each other of new mail", reason=str(error))
        for place in bound:
            way = ListenerSettings(
                name=place.service,
                implicit_tls=place.service.is_tls,
                proxy_from=self._setup.settings.proxy.trusted,
                refusal=_FULL.get(place.service, _FULL_SMTP),
            )
            await self._server.listen(way, self._session_factory(place), sock=place.sockets[index])
        if self._outward is not None:
            await self._outward.start()
        self._chore(self._keeper.watch(self._setup.settings.tls.reload, self._log))
        self._chore(self._every(PURGE_SECONDS, self._purge))
        self._chore(self._indexer.run())

    def reload(self) -> None:
        """Take up a new certificate. Raises TlsFilesError; then the old one stays."""
        self._keeper.reload()

    async def stop(self, grace: float) -> None:
        """Let what is under way finish for up to `grace` seconds, then let go of everything."""
        for chore in self._chores:
            chore.cancel()
        await asyncio.gather(*self._chores, return_exceptions=True)
        cut_off = await self._server.shut_down(grace)
        if self._outward is not None:
            await self._outward.stop(grace)
        if cut_off:
            self._log.info("connections cut off", count=cut_off)
        await self._index.close()
        await self._mailstore.close()
        self._bus.close()
        self._leases.close()
        self._directory.close()

    def _session_factory(self, place: Bound) -> MakeSession:
        settings = self._setup.settings
        plain = settings.login.plain_on_loopback and _is_loopback(place)
        if place.service in (Service.POP3, Service.POP3S):
            pop3 = Pop3Service(Pop3Settings(self._setup.hostname, plaintext_auth=plain), self._services)
            self._chore(self._every(RENEW_SECONDS, pop3.renew))
            return pop3
        if place.service in (Service.IMAP, Service.IMAPS):
            return ImapService(
                ImapSettings(
                    self._setup.hostname,
                    version=__version__,
                    starttls=not place.endpoint.path,
                    plaintext_auth=plain,
                    append_limit=settings.smtp.max_size,
                ),
                self._services,
                Desk(self._index, self._bus, self._indexer.take_up),
            )
        variant = _VARIANTS[place.service]
        smtp = SmtpSettings(
            hostname=self._setup.hostname,
            variant=variant,
            max_size=settings.smtp.max_size,
            max_recipients=settings.smtp.max_recipients,
            max_unknown=settings.limits.unknown_recipients,
            starttls=not place.endpoint.path,
            auth=variant is Variant.SUBMISSION,
            plaintext_auth=plain,
            hold_until=_latest_release if variant is Variant.SUBMISSION and self._outward else None,
        )
        return SmtpService(smtp, self._services)

    def _chore(self, work: Coroutine[Any, Any, None]) -> None:
        self._chores.append(asyncio.get_running_loop().create_task(work))

    async def _every(self, seconds: float, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await work()
            except Exception:
                self._log.exception("chore failed")

    async def _purge(self) -> None:
        """Forget the mail of removed accounts, and give back the space of what was deleted."""
        with SqliteRegistry(self._setup.places.directory) as registry:
            for removed in registry.removed():
                await self._mailstore.forget(removed.id)
                await self._index.forget(removed.id)
                registry.purge_done(removed.id)
        await self._mailstore.reap(time.time())


_VARIANTS = {
    Service.SMTP: Variant.RELAY,
    Service.SUBMISSION: Variant.SUBMISSION,
    Service.SUBMISSIONS: Variant.SUBMISSION,
    Service.LMTP: Variant.LMTP,
}


def _latest_release() -> str:
    """RFC 4865 3: until when a message may be held."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + MAX_HOLD))


def _trusts(networks: Sequence[Network]) -> Callable[[str], bool]:
    def trusts(ip: str) -> bool:
        if not networks or not ip:
            return False
        address = ip_address(ip)
        return any(address in network for network in networks)

    return trusts


def _is_loopback(place: Bound) -> bool:
    host = place.endpoint.host
    return bool(place.endpoint.path) or host == "::1" or host.startswith("127.")
