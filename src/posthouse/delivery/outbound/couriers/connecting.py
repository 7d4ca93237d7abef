"""Finding a server for a destination, and a connection to it that is as safe as is required.

Hosts are tried in the order of their preference, and each at its addresses in turn (RFC 5321 5.1); a host that cannot
be reached, or is not as safe as it must be, is passed over for the next one.
"""

import ssl
from dataclasses import dataclass, replace

from structlog.typing import FilteringBoundLogger

from posthouse.delivery.outbound.couriers.interface import UnreachableError
from posthouse.delivery.outbound.couriers.message import OutboundMessage
from posthouse.delivery.outbound.couriers.remote_server import RemoteServer, conversation_failed, reason_of
from posthouse.delivery.outbound.hosts import Host, Hosts, NoHostError, is_forbidden, is_here, leads_back
from posthouse.delivery.outbound.routes import Route, Routes, domain_of
from posthouse.delivery.outbound.tls.policy import TlsPolicy, TlsRequirement, UnsafeError
from posthouse.message.reply import Reply
from posthouse.net.connection import ConnectionGoneError
from posthouse.net.dialer import Dialer, client_context
from posthouse.protocol.smtp import client
from posthouse.queue.outcome import Permanent, Remote, Transient


@dataclass(frozen=True, slots=True)
class CourierSettings:
    """`hostname` is what we call ourselves. Sources are our addresses, "" as the system likes."""

    hostname: str
    port: int = 25
    source_ipv4: str = ""
    source_ipv6: str = ""
    allow_private: bool = False  # DNS may lead us into private networks


class _HostError(Exception):
    """No use to try this host now; perhaps the next one."""

    def __init__(self, outcome: Transient | Permanent) -> None:
        super().__init__(outcome.reply.text)
        self.outcome = outcome


class _TlsFailedError(Exception):
    """The handshake did not come off."""


class Connector:
    """Opens connections to the servers of destinations. One per courier."""

    def __init__(
        self,
        settings: CourierSettings,
        routes: Routes,
        hosts: Hosts,
        tls_policy: TlsPolicy,
        dialer: Dialer,
        log: FilteringBoundLogger,
    ) -> None:
        self._settings = settings
        self._routes = routes
        self._hosts = hosts
        self._tls_policy = tls_policy
        self._dialer = dialer
        self._log = log
        self._context = client_context()

    async def connect(self, destination: str, message: OutboundMessage) -> RemoteServer:
        """A server that is ready to take the message. Raises UnreachableError."""
        route = self._routes.route(destination)
        if destination.startswith("route/") and route is None:
            text = "The route this message was to take is no longer in the configuration"
            raise UnreachableError(Transient(Reply(451, "4.3.5", text), spoken=False))
        try:
            if route is not None and route.hosts:
                hosts_of_route: list[tuple[Host, TlsRequirement | None]] = [
                    (Host(name, port, configured=True), self._tls_policy.for_route(route.tls, name))
                    for name, port in route.hosts
                ]
                return await self._first(hosts_of_route, route, message)
            domain = domain_of(destination, message.recipients[0].address)
            hosts = [replace(host, port=self._settings.port) for host in await self._hosts.of_domain(domain)]
            return await self._first([(host, None) for host in hosts], route, message, domain)
        except NoHostError as error:
            raise UnreachableError(error.outcome) from error

    async def _first(
        self,
        hosts: list[tuple[Host, TlsRequirement | None]],
        route: Route | None,
        message: OutboundMessage,
        domain: str = "",
    ) -> RemoteServer:
        """The first host that answers (RFC 5321 5.1). When none does the outcome is that of a host that failed."""
        failure: Transient | Permanent | None = None
        for host, requirement in hosts:
            try:
                return await self._reach(host, requirement, route, message, domain)
            except (_HostError, NoHostError) as error:
                # One that may do later outweighs those that never will.
                if failure is None or isinstance(failure, Permanent) or isinstance(error.outcome, Transient):
                    failure = error.outcome
        assert failure is not None
        raise UnreachableError(failure)

    async def _reach(
        self, host: Host, requirement: TlsRequirement | None, route: Route | None, message: OutboundMessage, domain: str
    ) -> RemoteServer:
        """One host, at the first of its addresses that answers."""
        addresses = await self._hosts.addresses(host)
        if requirement is None:
            try:
                requirement = await self._tls_policy.for_host(domain, host, addresses, message.waited)
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
                return await self._open(host, address, requirement, route, domain)
            except _TlsFailedError as error:
                try:
                    # RFC 7435 4: where TLS was a bonus, mail goes without it.
                    if requirement.required:
                        raise _HostError(_insecure(Remote(host.name, address), str(error))) from error
                    return await self._open(host, address, replace(requirement, wanted=False), route, domain)
                except _HostError as second:
                    failure = second
            except _HostError as error:
                failure = error
        raise failure

    async def _open(
        self, host: Host, address: str, requirement: TlsRequirement, route: Route | None, domain: str
    ) -> RemoteServer:
        source = self._settings.source_ipv6 if ":" in address else self._settings.source_ipv4
        try:
            connection = await self._dialer.dial(address, host.port, source=route.source if route else source)
        except OSError as error:
            raise _HostError(_unreached(host, address, _reason_of_os_error(error))) from error
        server = RemoteServer(connection, host.name, self._settings.hostname)
        server.single_use = requirement.single_use
        try:
            if requirement.implicit:
                await self._secure(server, requirement, domain)
            await self._greet(server, requirement, domain)
            if route is not None and route.login:
                await self._log_in(server, route)
        except BaseException:
            server.abort()
            raise
        return server

    async def _greet(self, server: RemoteServer, requirement: TlsRequirement, domain: str) -> None:
        event = await server.event()
        self._expect_ready(server, event)
        if server.engine.greeted_as(self._settings.hostname):
            text = f"{server.host} is this very server, which does not know the domain"
            raise _HostError(Permanent(Reply(554, "5.4.6", text), server.remote, spoken=False))
        if requirement.implicit or not requirement.wanted:
            return
        if "STARTTLS" not in server.engine.extensions:
            if requirement.required:
                self._tls_policy.report_failure(domain, server.host, requirement, "starttls-not-supported")
                text = f"{server.host} does not offer TLS, which {requirement.reason}"
                raise _HostError(_insecure(server.remote, text))
            return
        server.engine.start_tls()
        event = await server.event()
        if isinstance(event, client.TlsRefused):
            if requirement.required:
                raise _HostError(Transient(event.reply, server.remote))
            return
        if not isinstance(event, client.TlsGranted):
            raise _TlsFailedError(f"{server.host} did not begin TLS: {reason_of(event)}")
        await self._secure(server, requirement, domain)
        server.engine.tls_started()
        self._expect_ready(server, await server.event())

    async def _secure(self, server: RemoteServer, requirement: TlsRequirement, domain: str) -> None:
        try:
            chain = await server.connection.start_tls_towards(server.host, self._context)
        except (ConnectionGoneError, ssl.SSLError, ValueError) as error:
            self._tls_policy.report_failure(domain, server.host, requirement, "validation-failure")
            raise _TlsFailedError(f"the TLS handshake with {server.host} failed") from error
        try:
            verified = self._tls_policy.check_certificate(domain, server.host, requirement, chain)
        except UnsafeError as error:
            raise _HostError(_insecure(server.remote, str(error))) from error
        tls = server.connection.tls
        assert tls is not None
        server.tls = ", ".join(filter(None, (f"{tls.version} {tls.cipher}", verified)))

    def _expect_ready(self, server: RemoteServer, event: client.Event) -> None:
        if isinstance(event, client.Ready):
            return
        if isinstance(event, client.Refused):
            # Even a 554: it is about this connection, not about a recipient, and such words are often taken back.
            raise _HostError(Transient(event.reply, server.remote))
        raise _HostError(conversation_failed(server, event))

    async def _log_in(self, server: RemoteServer, route: Route) -> None:
        if "AUTH" not in server.engine.extensions:
            raise _HostError(conversation_failed(server, client.Broken("it offers no login, but the route has one")))
        server.engine.login(route.login, route.password)
        event = await server.event()
        if isinstance(event, client.ClientLoginRefused):
            self._log.error("login refused", route=route.name, host=server.host, reply=event.reply.text)
            raise _HostError(Transient(event.reply, server.remote))
        self._expect_ready(server, event)


def _unreached(host: Host, address: str, why: str) -> Transient:
    where = f"{host.name} [{address}]" if address and address != host.name else host.name
    return Transient(Reply(451, "4.4.1", f"{where} cannot be reached: {why}"), Remote(host.name, address), spoken=False)


def _insecure(remote: Remote, text: str) -> Transient:
    return Transient(Reply(451, "4.7.5", text), remote, spoken=False)


def _reason_of_os_error(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    return (error.strerror or str(error) or type(error).__name__).lower()
