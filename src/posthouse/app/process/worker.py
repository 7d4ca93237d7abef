"""The one place where a server is built: every object of one worker, from the settings down to the sessions."""

import asyncio
import base64
import contextlib
import functools
import os
import time
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING

from posthouse.accounts.interface import Directory
from posthouse.accounts.sending_limits import SendingLimits
from posthouse.accounts.sqlite import SqliteDirectory, SqliteThrottleRows, SqliteVerifiedPasswordRows
from posthouse.accounts.sqlite.registry import SqliteRegistry
from posthouse.accounts.sqlite.sending_limits import SqliteSendingLimitRows
from posthouse.accounts.sqlite.volatile import open_volatile
from posthouse.accounts.throttle import Throttle
from posthouse.accounts.verified_passwords import VerifiedPasswordCache
from posthouse.app.config.services import Service
from posthouse.app.process.close_stack import CloseStack
from posthouse.app.process.engine_settings import full_reply, imap_settings, pop3_settings, smtp_settings
from posthouse.app.process.heartbeat import Heartbeat
from posthouse.app.process.listening import BoundService
from posthouse.app.process.worker_config import WorkerConfig
from posthouse.database.fallback_leases import FallbackLeases
from posthouse.database.sqlite_leases import SqliteLeases
from posthouse.delivery.content.signing import Signing
from posthouse.delivery.content.spool import SpoolBudget
from posthouse.delivery.inbound.router import Router
from posthouse.delivery.inbound.submission import Submission
from posthouse.delivery.inbound.wiring import build_incoming
from posthouse.mailstore.index import open_index
from posthouse.mailstore.index.indexer import Indexer
from posthouse.mailstore.socket_bus import SocketBus
from posthouse.mailstore.sqlite.store import SqliteMailstore
from posthouse.message.ids import id_factory
from posthouse.message.ip import Network
from posthouse.message.trace import Tracer
from posthouse.net.limits import Limits
from posthouse.net.listener import ListenerSettings, Server
from posthouse.net.listener import Service as MakeSession
from posthouse.net.supervisor import Supervisor
from posthouse.net.tls import TlsKeeper
from posthouse.protocol.imap.settings import ImapSettings
from posthouse.protocol.pop3.server import Pop3Settings
from posthouse.protocol.smtp.server import SmtpSettings
from posthouse.queue.sqlite.history import SqliteHistory
from posthouse.queue.sqlite.outgoing import SqliteOutgoing
from posthouse.queue.sqlite.schema import MIGRATIONS as QUEUE_MIGRATIONS
from posthouse.queue.sqlite.schema import ROOM as QUEUE_ROOM
from posthouse.sessions.fair_shares import FairShares
from posthouse.sessions.imap.context import ImapDependencies
from posthouse.sessions.imap.session import ImapService
from posthouse.sessions.open_sessions import CHECK_SECONDS
from posthouse.sessions.pop3 import RENEW_SECONDS, Pop3Service
from posthouse.sessions.services import Services
from posthouse.sessions.smtp import SmtpService

if TYPE_CHECKING:
    from posthouse.app.outgoing import OutboundPipeline

BUS_SECONDS = 10.0  # between two looks whether the other workers can be told of changes
HISTORY_SECONDS = 1.0  # between two looks for deliveries to be written down
HISTORY_TIDY_SECONDS = 60.0
_VOLATILE_MILLISECONDS = 250  # that the event loop may wait for counters that another process is writing
PURGE_SECONDS = 60.0  # between two looks for accounts that were removed without their mail


class Worker:
    """One process's server. open(), start(), then stop(); all on the event loop."""

    def __init__(self, config: WorkerConfig, index: int, heartbeat: Heartbeat | None) -> None:
        """Opens nothing yet: see open()."""
        self._config = config
        self._index_of_worker = index
        self._heartbeat = heartbeat
        self._log = config.log
        self._loop = asyncio.get_running_loop()
        self._parts = CloseStack(config.log)
        self._tasks = Supervisor(config.log)
        self._grace = 0.0  # seconds that stop() gives to what is under way
        self._linger = True  # whether it waits for peers to hang up then
        self._outbound: OutboundPipeline | None = None
        self.failed = asyncio.Event()  # it cannot go on: the process must end, and be replaced

    @classmethod
    async def open(cls, config: WorkerConfig, index: int = 0, *, heartbeat: Heartbeat | None = None) -> "Worker":
        """A worker with all that it needs open. What was opened is closed when it fails.

        Raises TlsFilesError, StoreError, AccountsError and what database, queue and system raise.
        """
        worker = cls(config, index, heartbeat)
        try:
            worker._open_files()
            worker._build(f"{index:x}-")
        except BaseException:
            await worker._parts.close()
            raise
        return worker

    def _open_files(self) -> None:
        settings, paths = self._config.settings, self._config.paths
        certificate = self._config.certificate
        self._keeper = TlsKeeper(certificate.certificate, certificate.key, password=settings.tls.key_password)
        self._bus = SocketBus(paths.bus, self._index_of_worker, self._config.workers)
        self._parts.add("bus", self._bus.close)
        self._mailstore = SqliteMailstore.open(
            paths.data,
            bus=self._bus,
            clock=time.time,
            rooms={QUEUE_ROOM: QUEUE_MIGRATIONS},
            on_thread_death=self.thread_died,
            on_hold=self._heartbeat.hold if self._heartbeat is not None else None,
            create=False,
        )
        self._parts.add("mailstore", self._mailstore.close)
        self._index = open_index(paths.index, self._mailstore)
        self._parts.add("index", self._index.close)
        self._indexer = Indexer(self._index, self._mailstore, self._bus)
        self._volatile = open_volatile(paths.volatile)
        self._parts.add("counters", self._volatile.close)
        self._volatile.set_busy_timeout(_VOLATILE_MILLISECONDS)
        accounts = SqliteDirectory(
            paths.directory,
            Throttle(SqliteThrottleRows(self._volatile), time.time),
            hostname=self._config.hostname,
            verified=VerifiedPasswordCache(
                time.monotonic,
                seconds=settings.login.remember,
                key=self._config.login_key,
                rows=SqliteVerifiedPasswordRows(self._volatile),
            ),
        )
        self._parts.add("directory", accounts.close)
        self._directory = self._choose_directory(accounts)
        self._history = self._open_history() if settings.history.days else None
        self._leases = SqliteLeases(paths.leases)
        self._parts.add("leases", self._leases.close)

    def _open_history(self) -> SqliteHistory:
        settings = self._config.settings.history
        history = self._history_kind(
            self._config.paths.history,
            days=settings.days,
            octets=settings.size,
            on_failure=lambda reason: self._log.warning("deliveries are not remembered now", reason=reason),
        )
        self._parts.add("history", history.close)
        return history

    def _build(self, label: str) -> None:
        limits = self._config.settings.limits
        self._new_id = id_factory()
        self._shares = FairShares()
        self._services = self._build_services(label)
        self._server = Server(
            self._log,
            keeper=self._keeper,
            limits=Limits(
                connections=self._config.connections or limits.connections,
                per_address=limits.per_address,
                keepalive=limits.keepalive,
            ),
            label=label,
        )
        self._parts.add("connections", self._hang_up)

    # What another kind of server does differently.

    _history_kind: type[SqliteHistory] = SqliteHistory

    def _choose_directory(self, accounts: SqliteDirectory) -> Directory:
        """Who is asked about addresses and logins; `accounts` are those of the data folder."""
        return accounts

    def _build_submission(self, tracer: Tracer) -> Submission | None:
        """What is asked of messages that users submit; None: they are taken as they are."""
        settings = self._config.settings
        allowance = SendingLimits(
            SqliteSendingLimitRows(self._volatile),
            time.time,
            default_messages=settings.submission.messages,
            default_recipients=settings.submission.new_recipients,
        )
        return Submission(
            self._directory,
            allowance,
            tracer,
            time.time,
            self._new_id,
            sent_copy=settings.submission.sent_copy,
        )

    def _smtp_settings(self, place: BoundService) -> SmtpSettings:
        return smtp_settings(self._config, place, sends=self._outbound is not None)

    def _pop3_settings(self, place: BoundService) -> Pop3Settings:
        return pop3_settings(self._config, place)

    def _imap_settings(self, place: BoundService) -> ImapSettings:
        return imap_settings(self._config, place)

    # All of the rest is the same for each.

    def _build_services(self, label: str) -> Services:
        settings, hostname = self._config.settings, self._config.hostname
        tracer = Tracer(hostname, time.time)
        router = self._build_router(label)
        incoming = build_incoming(
            router,
            self._mailstore,
            SpoolBudget(self._config.paths.spool, in_memory=settings.limits.spool_memory),
            tracer,
            self._log,
            hostname=hostname,
            submission=self._build_submission(tracer),
            signing=Signing(self._directory, time.time),
            bounces=self._outbound.bounces if self._outbound else None,
            on_received=self._config.on_received,
            max_hops=settings.smtp.max_hops,
        )
        return Services(
            directory=self._directory,
            mailstore=self._mailstore,
            leases=FallbackLeases(self._leases),
            incoming=incoming,
            new_id=self._new_id,
            nonce=lambda: base64.b64encode(os.urandom(18)).decode(),
            log=self._log,
            trusts=_is_in(settings.smtp.relay_from),
            allows_bare_lf=_is_in(settings.smtp.bare_lf_from),
        )

    def _build_router(self, label: str) -> Router:
        """Where mail goes; with what sends it out, if this server sends."""
        settings = self._config.settings
        if not settings.outgoing.enabled:
            return Router(self._directory, self._mailstore, time.time, history=self._history)
        # Resolver, couriers and DANE: a quarter of all imports, and a server that sends nothing does without. One that
        # sends has them before its workers are forked (preparation.py).
        from posthouse.app.outgoing import OutboundBuilder, build_outbound

        outgoing = SqliteOutgoing(
            self._mailstore,
            time.time,
            on_unreadable=lambda text: self._log.error("a recipient cannot be read, and is held", reason=text),
        )
        self._outbound = build_outbound(
            OutboundBuilder(
                settings,
                self._config.paths,
                self._config.hostname,
                self._directory,
                outgoing,
                self._mailstore,
                self._history,
                self._new_id,
                self._log,
                label,
                self._parts,
            )
        )
        agent = self._outbound.agent
        self._parts.add("sender", lambda: agent.stop(self._grace))
        return self._outbound.router

    async def start(self, bound: list[BoundService], index: int = 0) -> None:
        """Let connections in at every bound place; `index` says which of its sockets are this worker's."""
        self._start_bus()
        for place in bound:
            listener = ListenerSettings(
                name=place.service,
                implicit_tls=place.service.is_tls,
                proxy_from=self._config.settings.proxy.trusted,
                refusal=full_reply(place.service),
            )
            await self._server.listen(listener, self._session_factory(place), sock=place.sockets[index])
        if self._outbound is not None:
            await self._outbound.agent.start()
        reload = self._config.settings.tls.reload
        self._tasks.run("certificate watch", lambda: self._keeper.watch(reload, self._log))
        self._tasks.every(PURGE_SECONDS, "purge", self._purge)
        self._tasks.run("indexer", self._indexer.run)
        if self._history is not None:
            self._tasks.every(HISTORY_SECONDS, "history", self._history.flush)
            self._tasks.every(HISTORY_TIDY_SECONDS, "history", self._history.tidy)
        self._tasks.every(BUS_SECONDS, "bus", self._keep_bus)
        open_sessions = self._services.open_sessions
        self._tasks.every(CHECK_SECONDS, "open sessions", lambda: open_sessions.check(self._directory))

    def _start_bus(self) -> None:
        try:
            self._bus.start()
        except OSError as error:
            self._log.warning("workers cannot tell each other of new mail", reason=error)

    async def _keep_bus(self) -> None:
        """Try again what failed: mail of other workers is seen late without it."""
        if not self._bus.started:
            self._start_bus()

    def thread_died(self, error: BaseException) -> None:
        """A thread that this worker cannot do without has ended. Called from any thread."""
        self._log.error("thread died", exc_info=error)
        with contextlib.suppress(RuntimeError):  # the loop was closed: the end is near already
            self._loop.call_soon_threadsafe(self.failed.set)

    def reload(self) -> None:
        """Take up a new certificate. Raises TlsFilesError; then the old one stays."""
        self._keeper.reload()

    def stop_accepting(self) -> None:
        """Close this worker's listening sockets; what is open goes on."""
        self._server.stop_accepting()

    async def stop(self, grace: float, *, linger: bool = True) -> None:
        """Let what is under way finish for up to `grace` seconds, then let go of everything.

        Without `linger` connections at rest are closed at once, whether or not their peers hang up.
        """
        self._grace, self._linger = grace, linger
        await self._tasks.stop()
        await self._parts.close()

    async def _hang_up(self) -> None:
        cut_off = await self._server.shut_down(self._grace, linger=self._linger)
        if cut_off:
            self._log.info("connections cut off", count=cut_off)

    def _session_factory(self, place: BoundService) -> MakeSession:
        if place.service in (Service.POP3, Service.POP3S):
            pop3 = Pop3Service(self._pop3_settings(place), self._services)
            self._tasks.every(RENEW_SECONDS, "renewal of maildrops", pop3.renew)
            return pop3
        if place.service in (Service.IMAP, Service.IMAPS):
            desk = ImapDependencies(
                self._index,
                self._bus,
                self._indexer.watch_account,
                idle_notify=self._config.settings.imap.idle_notify,
                shares=self._shares,
            )
            return ImapService(self._imap_settings(place), self._services, desk)
        watcher = self._config.on_refusal
        on_refusal = functools.partial(watcher, place.service.value) if watcher is not None else None
        return SmtpService(self._smtp_settings(place), self._services, on_refusal)

    async def _purge(self) -> None:
        """Give back the space of what was deleted, and forget the mail of removed accounts."""
        await self._mailstore.reap(time.time())
        # The directory's changes wait for the disk: the event loop does not.
        for account in await asyncio.to_thread(self._removed_accounts):
            await self._mailstore.forget(account)
            await self._index.forget(account)
            await asyncio.to_thread(self._purge_done, account)

    def _removed_accounts(self) -> list[int]:
        with SqliteRegistry(self._config.paths.directory, create=False) as registry:
            return [removed.id for removed in registry.accounts.removed()]

    def _purge_done(self, account: int) -> None:
        with SqliteRegistry(self._config.paths.directory, create=False) as registry:
            registry.accounts.purge_done(account)


def _is_in(networks: Sequence[Network]) -> Callable[[str], bool]:
    def is_in(ip: str) -> bool:
        if not networks or not ip:
            return False
        address = ip_address(ip)
        return any(address in network for network in networks)

    return is_in
