"""The courier that speaks SMTP: finds a host, speaks to it as safely as is demanded, hands messages over.

A connection that has done its work waits a few seconds for the next message to the same destination.
"""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass, replace

from structlog.typing import FilteringBoundLogger

from posthouse.delivery.content.queued import SMALL, ContentError
from posthouse.delivery.outbound.couriers.message import Fitted, Parcel, fit
from posthouse.delivery.outbound.couriers.remote_server import Peer
from posthouse.delivery.outbound.hosts import Host, Hosts, NoHostError, is_forbidden, is_here, leads_back
from posthouse.delivery.outbound.routes import Route, Routes, domain_of
from posthouse.delivery.outbound.tls.policy import Demand, Safety, UnsafeError
from posthouse.mailstore.interface import StoreError
from posthouse.message.reply import Reply
from posthouse.net.connection import ConnectionGoneError
from posthouse.net.dialer import Dialer, client_context
from posthouse.protocol.smtp import client
from posthouse.protocol.smtp.client import MAX_BURST
from posthouse.queue.outcome import Delivered, Outcome, Permanent, Remote, Transient

IDLE_SECONDS = 5.0  # a connection waits for the next message
REUSE_SECONDS = 300.0  # then MX, policy and certificate are looked at again
REUSE_MESSAGES = 1000


@dataclass(frozen=True, slots=True)
class CourierSettings:
    """`hostname` is what we call ourselves. Sources are our addresses, "" as the system likes."""

    hostname: str
    port: int = 25
    source_ipv4: str = ""
    source_ipv6: str = ""
    allow_private: bool = False  # DNS may lead us into private networks


class UnreachableError(Exception):
    """No connection could be had; `outcome` is that of every recipient."""

    def __init__(self, outcome: Transient | Permanent) -> None:
        super().__init__(outcome.reply.text)
        self.outcome = outcome


class _HostError(Exception):
    """No use to try this host now; perhaps the next one."""

    def __init__(self, outcome: Transient | Permanent) -> None:
        super().__init__(outcome.reply.text)
        self.outcome = outcome


class _TlsFailedError(Exception):
    """The handshake did not come off."""


class SmtpCourier:
    """One per process."""

    def __init__(
        self,
        settings: CourierSettings,
        routes: Routes,
        hosts: Hosts,
        safety: Safety,
        dialer: Dialer,
        log: FilteringBoundLogger,
    ) -> None:
        self._settings = settings
        self._routes = routes
        self._hosts = hosts
        self._safety = safety
        self._dialer = dialer
        self._log = log
        self._context = client_context()
        self._idle: dict[str, list[Peer]] = {}
        self._closed = False

    async def deliver(self, destination: str, parcel: Parcel) -> list[Outcome]:
        """Hand a parcel over; one outcome per recipient. Raises UnreachableError when no server could be reached."""
        peer = self._take_idle(destination)
        if peer is not None:
            outcomes = await self._use(destination, peer, parcel)
            if outcomes is not None:
                return outcomes
        peer = await self._connect(destination, parcel)
        outcomes = await self._use(destination, peer, parcel)
        if outcomes is None:
            outcome = Transient(Reply(451, "4.4.2", f"{peer.host} closed the connection"), _remote(peer), spoken=False)
            return [outcome] * len(parcel.recipients)
        return outcomes

    async def _use(self, destination: str, peer: Peer, parcel: Parcel) -> list[Outcome] | None:
        """See _hand_over. Whatever comes of it, the connection waits for the next message then, or is closed."""
        try:
            outcomes = await self._hand_over(peer, parcel)
        except BaseException:
            peer.abort()
            raise
        self._put_back(destination, peer)
        return outcomes

    def sweep(self, now: float) -> None:
        """Close what has waited too long. `now` is the loop's time."""
        for destination in list(self._idle):
            keep = []
            for peer in self._idle[destination]:
                if now - peer.idle_since < IDLE_SECONDS and peer.is_usable:
                    keep.append(peer)
                else:
                    peer.close()
            if keep:
                self._idle[destination] = keep
            else:
                del self._idle[destination]

    def close(self) -> None:
        """Say goodbye to all that wait, and to those that come back later."""
        self._closed = True
        for peers in self._idle.values():
            for peer in peers:
                peer.close()
        self._idle.clear()

    def _take_idle(self, destination: str) -> Peer | None:
        peers = self._idle.get(destination)
        while peers:
            peer = peers.pop()
            if peer.is_usable:
                return peer
            peer.close()
        return None

    def _put_back(self, destination: str, peer: Peer) -> None:
        now = peer.connection.now()
        fresh = now - peer.opened < REUSE_SECONDS and peer.messages < REUSE_MESSAGES
        if fresh and not peer.fleeting and not self._closed and peer.is_usable:
            peer.idle_since = now
            self._idle.setdefault(destination, []).append(peer)
        else:
            peer.close()

    # Finding somebody to talk to.

    async def _connect(self, destination: str, parcel: Parcel) -> Peer:
        route = self._routes.route(destination)
        if destination.startswith("route/") and route is None:
            text = "The route this message was to take is no longer in the configuration"
            raise UnreachableError(Transient(Reply(451, "4.3.5", text), spoken=False))
        try:
            if route is not None and route.hosts:
                hosts_of_route: list[tuple[Host, Demand | None]] = [
                    (Host(name, port, configured=True), self._safety.for_route(route.tls, name))
                    for name, port in route.hosts
                ]
                return await self._first(hosts_of_route, route, parcel)
            domain = domain_of(destination, parcel.recipients[0].address)
            hosts = [replace(host, port=self._settings.port) for host in await self._hosts.of_domain(domain)]
            return await self._first([(host, None) for host in hosts], route, parcel, domain)
        except NoHostError as error:
            raise UnreachableError(error.outcome) from error

    async def _first(
        self, hosts: list[tuple[Host, Demand | None]], route: Route | None, parcel: Parcel, domain: str = ""
    ) -> Peer:
        """The first host that answers (RFC 5321 5.1). What the last one said is told when none does."""
        failure: Transient | Permanent | None = None
        for host, demand in hosts:
            try:
                return await self._reach(host, demand, route, parcel, domain)
            except (_HostError, NoHostError) as error:
                if (
                    failure is None or isinstance(failure, Permanent) or isinstance(error.outcome, Transient)
                ):  # one that may do later outweighs those that never will
                    failure = error.outcome
        assert failure is not None
        raise UnreachableError(failure)

    async def _reach(self, host: Host, demand: Demand | None, route: Route | None, parcel: Parcel, domain: str) -> Peer:
        """One host, at the first of its addresses that answers."""
        addresses = await self._hosts.addresses(host)
        if demand is None:
            try:
                demand = await self._safety.for_host(domain, host, addresses, parcel.waited)
            except UnsafeError as error:
                raise _HostError(_insecure(Remote(host.name), str(error))) from error
        failure = _HostError(_unreached(host, "", "none of its addresses may be used"))
        by_name = route is None or not route.hosts  # what the operator has written down may be anywhere
        if by_name and all(map(is_here, addresses.found)):
            raise _HostError(leads_back(domain))
        for address in addresses.found:
            if by_name and is_forbidden(address, private=self._settings.allow_private):
                continue
            try:
                return await self._open(host, address, demand, route, domain)
            except _TlsFailedError as error:
                try:
                    # RFC 7435 4: where TLS was a bonus, mail goes without it.
                    if demand.required:
                        raise _HostError(_insecure(Remote(host.name, address), str(error))) from error
                    return await self._open(host, address, replace(demand, wanted=False), route, domain)
                except _HostError as second:
                    failure = second
            except _HostError as error:
                failure = error
        raise failure

    async def _open(self, host: Host, address: str, demand: Demand, route: Route | None, domain: str) -> Peer:
        source = self._settings.source_ipv6 if ":" in address else self._settings.source_ipv4
        try:
            connection = await self._dialer.dial(address, host.port, source=route.source if route else source)
        except OSError as error:
            raise _HostError(_unreached(host, address, _why(error))) from error
        peer = Peer(connection, host.name, self._settings.hostname)
        peer.fleeting = demand.fleeting
        try:
            if demand.implicit:
                await self._secure(peer, demand, domain)
            await self._greet(peer, demand, domain)
            if route is not None and route.login:
                await self._log_in(peer, route)
        except BaseException:
            peer.abort()
            raise
        return peer

    async def _greet(self, peer: Peer, demand: Demand, domain: str) -> None:
        event = await peer.event()
        self._expect_ready(peer, event)
        if peer.engine.greeted_as(self._settings.hostname):
            text = f"{peer.host} is this very server, which does not know the domain"
            raise _HostError(Permanent(Reply(554, "5.4.6", text), _remote(peer), spoken=False))
        if demand.implicit or not demand.wanted:
            return
        if "STARTTLS" not in peer.engine.extensions:
            if demand.required:
                self._safety.failed(domain, peer.host, demand, "starttls-not-supported")
                raise _HostError(_insecure(_remote(peer), f"{peer.host} does not offer TLS, which {demand.because}"))
            return
        peer.engine.start_tls()
        event = await peer.event()
        if isinstance(event, client.TlsRefused):
            if demand.required:
                raise _HostError(Transient(event.reply, _remote(peer)))
            return
        if not isinstance(event, client.TlsGranted):
            raise _TlsFailedError(f"{peer.host} did not begin TLS: {_reason(event)}")
        await self._secure(peer, demand, domain)
        peer.engine.tls_started()
        self._expect_ready(peer, await peer.event())

    async def _secure(self, peer: Peer, demand: Demand, domain: str) -> None:
        try:
            chain = await peer.connection.start_tls_towards(peer.host, self._context)
        except (ConnectionGoneError, ssl.SSLError, ValueError) as error:
            self._safety.failed(domain, peer.host, demand, "validation-failure")
            raise _TlsFailedError(f"the TLS handshake with {peer.host} failed") from error
        try:
            verified = self._safety.judge(domain, peer.host, demand, chain)
        except UnsafeError as error:
            raise _HostError(_insecure(_remote(peer), str(error))) from error
        tls = peer.connection.tls
        assert tls is not None
        peer.tls = ", ".join(filter(None, (f"{tls.version} {tls.cipher}", verified)))

    def _expect_ready(self, peer: Peer, event: client.Event) -> None:
        if isinstance(event, client.Ready):
            return
        if isinstance(event, client.Refused):
            # Even a 554: it is about this connection, not about a recipient, and such words are often taken back.
            raise _HostError(Transient(event.reply, _remote(peer)))
        raise _HostError(_lost(peer, event))

    async def _log_in(self, peer: Peer, route: Route) -> None:
        if "AUTH" not in peer.engine.extensions:
            raise _HostError(_lost(peer, client.Broken("it offers no login, but the route has one")))
        peer.engine.login(route.login, route.password)
        event = await peer.event()
        if isinstance(event, client.LoginRefused):
            self._log.error("login refused", route=route.name, host=peer.host, reply=event.reply.text)
            raise _HostError(Transient(event.reply, _remote(peer)))
        self._expect_ready(peer, event)

    # Handing over.

    async def _hand_over(self, peer: Peer, parcel: Parcel) -> list[Outcome] | None:
        """One outcome per recipient; None: the connection had ended before anything was asked."""
        outcomes: list[Outcome] = []
        for start in range(0, len(parcel.recipients), MAX_BURST):
            part = parcel
            if len(parcel.recipients) > MAX_BURST:
                part = replace(parcel, recipients=parcel.recipients[start : start + MAX_BURST])
            try:
                fitted = await fit(part, peer.engine.extensions, _remote(peer))
                told = await self._transact(peer, part, fitted)
                if told is not None and fitted.transaction is not None and _knows_no_chunks(fitted, told):
                    peer.engine.extensions.pop("CHUNKING")  # announced, and not meant
                    fitted = replace(fitted, transaction=replace(fitted.transaction, chunked=False))
                    told = await self._transact(peer, part, fitted)
            except ContentError as error:
                reply = Reply(554, error.status, str(error))
                told = [Permanent(reply, _remote(peer), spoken=False)] * len(part.recipients)
            except StoreError as error:
                self._log.error("a queued message cannot be read", error=error)
                reply = Reply(451, "4.3.0", "The message cannot be read from our store at the moment")
                told = [Transient(reply, _remote(peer), spoken=False)] * len(part.recipients)
            if told is None:
                if not outcomes:
                    return None
                lost = Transient(Reply(451, "4.4.2", f"{peer.host} closed the connection"), _remote(peer), spoken=False)
                told = [lost] * len(part.recipients)
            outcomes += told
        return outcomes

    async def _transact(self, peer: Peer, parcel: Parcel, fitted: Fitted) -> list[Outcome] | None:
        outcomes = dict(fitted.outcomes)
        if fitted.transaction is not None:
            peer.messages += 1
            if peer.engine.state is not client.State.READY:
                return None
            peer.engine.transact(fitted.transaction)
            event = await peer.event()
            if isinstance(event, client.Broken) and event.reply is None and peer.messages > 1 and not peer.engine.heard:
                return None  # it had hung up while the connection waited
            if isinstance(event, client.ContentWanted):
                await self._send_content(peer, parcel, fitted)
                event = await peer.event()
            outcomes |= self._told(peer, fitted, event)
        return [outcomes[n] for n in range(len(parcel.recipients))]

    async def _send_content(self, peer: Peer, parcel: Parcel, fitted: Fitted) -> None:
        engine = peer.engine
        try:
            if fitted.converted is not None:
                last = fitted.converted
            elif parcel.content.octets <= SMALL:
                last = await parcel.content.whole()
            else:
                last = b""
                async for piece in parcel.content.pieces():
                    if not peer.takes_content or engine.content_refused:
                        break
                    engine.send_content(piece)
                    await peer.flush()
            # The last look before what can never be taken back: a server that is out of step gets no end.
            if peer.takes_content:
                engine.end_content(last)
        except ConnectionGoneError:
            engine.receive_eof()
        except BaseException:
            peer.abort()  # half a message must not be taken for a whole one
            raise

    def _told(self, peer: Peer, fitted: Fitted, event: client.Event) -> dict[int, Outcome]:
        remote = _remote(peer)
        replies: Sequence[Reply | None] = ()
        if isinstance(event, client.Finished):
            replies = event.replies
        elif isinstance(event, client.Broken):
            replies = event.refusals
        outcomes: dict[int, Outcome] = dict.fromkeys(fitted.positions, _lost(peer, event))
        dsn = "DSN" in peer.engine.extensions
        several = len(fitted.positions) > 1
        for n, reply in zip(fitted.positions, replies, strict=bool(replies)):
            if reply is not None:
                outcomes[n] = _outcome(reply, remote, dsn=dsn, several=several)
        return outcomes


def _knows_no_chunks(fitted: Fitted, told: Sequence[Outcome]) -> bool:
    """Whether all was refused since the server does not know BDAT (RFC 5321 4.2.4: 500 and 502 say so; some: 503)."""
    replies = [told[n].reply.code for n in fitted.positions]
    chunked = fitted.transaction is not None and fitted.transaction.chunked
    return chunked and all(code in (500, 502, 503) for code in replies)


def _outcome(reply: Reply, remote: Remote, *, dsn: bool, several: bool) -> Outcome:
    if reply.code == 250:
        return Delivered(reply, remote, relayed=not dsn)
    # RFC 5321 4.5.3.1.10: an old way to say "too many recipients at once".
    too_many = reply.code == 552 and several and reply.enhanced in ("", "5.5.3")
    if reply.code >= 500 and not too_many:
        return Permanent(reply, remote)
    return Transient(reply, remote)


def _remote(peer: Peer) -> Remote:
    return Remote(peer.host, peer.connection.peer_ip, peer.tls)


def _lost(peer: Peer, event: client.Event) -> Transient:
    if isinstance(event, client.Broken) and event.reply is not None:
        return Transient(event.reply, _remote(peer))
    text = f"The conversation with {peer.host} failed: {_reason(event)}"
    return Transient(Reply(451, "4.4.2", text), _remote(peer), spoken=False)


def _reason(event: client.Event) -> str:
    return event.reason if isinstance(event, client.Broken) else type(event).__name__


def _unreached(host: Host, address: str, why: str) -> Transient:
    where = f"{host.name} [{address}]" if address and address != host.name else host.name
    return Transient(Reply(451, "4.4.1", f"{where} cannot be reached: {why}"), Remote(host.name, address), spoken=False)


def _insecure(remote: Remote, text: str) -> Transient:
    return Transient(Reply(451, "4.7.5", text), remote, spoken=False)


def _why(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    return (error.strerror or str(error) or type(error).__name__).lower()
