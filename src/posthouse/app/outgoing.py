"""Builds what sends mail out: the router that may queue, the delivery agent, its couriers and TLS policies."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from posthouse.accounts.interface import Directory
from posthouse.app.config.settings import DnsSection, OutgoingSection, RouteSection, Settings
from posthouse.app.data_folder.data_paths import DataPaths
from posthouse.app.process.close_stack import CloseStack
from posthouse.delivery.content.signing import Signing
from posthouse.delivery.inbound.router import Router
from posthouse.delivery.inbound.srs import Srs
from posthouse.delivery.outbound.active_queue import ActiveQueue
from posthouse.delivery.outbound.agent import DeliveryAgent
from posthouse.delivery.outbound.couriers.choice import CourierChoice
from posthouse.delivery.outbound.couriers.connecting import CourierSettings
from posthouse.delivery.outbound.couriers.local import LocalCourier
from posthouse.delivery.outbound.couriers.smtp import SmtpCourier
from posthouse.delivery.outbound.hosts import Hosts
from posthouse.delivery.outbound.lane import RateLimit
from posthouse.delivery.outbound.routes import LOCAL, Route, Routes
from posthouse.delivery.outbound.schedule import Schedule
from posthouse.delivery.outbound.tls.resolver import TlsPolicyResolver, TlsPolicySettings
from posthouse.delivery.reports.bounces import Bounces
from posthouse.mailstore.interface import Mailstore
from posthouse.message.address import Address
from posthouse.net.dialer import Dialer
from posthouse.net.dns.resolver import DnsResolver
from posthouse.net.dns.settings import ResolverSettings
from posthouse.net.dns.system import system_settings
from posthouse.net.fetch import Fetcher
from posthouse.net.limits import Limits
from posthouse.net.verify import Authorities
from posthouse.queue.history import History
from posthouse.queue.interface import Outgoing
from posthouse.queue.sqlite.destinations import SqliteDestinations

_DNS_PORT = 53


def build_resolver(settings: DnsSection) -> DnsResolver:
    """The resolver of the configuration, or of the system."""
    if not settings.servers:
        return DnsResolver(system_settings())
    servers = tuple((server.host, server.port or _DNS_PORT) for server in settings.servers)
    return DnsResolver(ResolverSettings(servers, settings.timeout, trust_ad=settings.trust_ad or None))


def build_routes(settings: Settings) -> Routes:
    """The operator's routes, in the order of the file."""
    return Routes([_route(name, route) for name, route in settings.route.items()])


def _route(name: str, route: RouteSection) -> Route:
    return Route(
        name,
        to=route.to,
        sender=route.sender,
        hosts=tuple((host.host, host.port) for host in route.hosts),
        tls=route.tls,
        login=route.login,
        password=route.password,
        source=route.source,
        connections=route.connections,
        per_minute=route.per_minute,
    )


def build_srs(directory: Directory) -> Callable[[], Srs | None]:
    """What rewrites the senders of forwarded mail to addresses of our own domain, as soon as there is one."""
    secret = directory.addresses.srs_secret()
    made: dict[str, Srs] = {}

    def srs() -> Srs | None:
        domain = directory.addresses.own_domain()
        if not domain:
            return None
        if domain not in made:
            made[domain] = Srs(secret, domain, time.time)
        return made[domain]

    return srs


@dataclass(slots=True)
class OutboundPipeline:
    """What one worker has because it sends: a router that may queue, the agent that sends, the reports to senders."""

    router: Router
    agent: DeliveryAgent
    bounces: Bounces


@dataclass(frozen=True, slots=True)
class OutboundBuilder:
    """What an OutboundPipeline is made from. What is to be closed after the agent has stopped joins `parts`."""

    settings: Settings
    paths: DataPaths
    hostname: str
    directory: Directory
    outgoing: Outgoing
    mailstore: Mailstore
    history: History | None
    new_id: Callable[[], bytes]
    log: FilteringBoundLogger
    label: str  # of this worker's sockets
    parts: CloseStack

    def router(self, routes: Routes, active: ActiveQueue) -> Router:
        """The router of a server that sends."""
        return Router(
            self.directory,
            self.mailstore,
            time.time,
            outgoing=self.outgoing,
            active=active,
            routes=routes,
            srs=build_srs(self.directory),
            expire=self.settings.outgoing.expire,
            history=self.history,
        )

    def bounces(self, router: Router) -> Bounces:
        """What tells senders of their messages."""

        def postmaster() -> Address:
            return Address("postmaster", self.directory.addresses.own_domain() or self.hostname)

        return Bounces(
            router,
            self.outgoing,
            self.new_id,
            time.time,
            self.log,
            hostname=self.hostname,
            postmaster=postmaster,
            signing=Signing(self.directory, time.time),
        )

    def courier(self, routes: Routes) -> SmtpCourier:
        """The courier to other servers, with its resolver, policies and dialer."""
        settings = self.settings.outgoing
        hello = settings.hello or self.hostname
        resolver = build_resolver(self.settings.dns)
        tls_policy = self._tls_policy(resolver)
        self.parts.add("resolver", resolver.close)
        dialer = Dialer(label=self.label, limits=Limits(keepalive=self.settings.limits.keepalive))
        self.parts.add("dialer", dialer.close)
        return SmtpCourier(
            CourierSettings(hello, settings.port, settings.source_ipv4, settings.source_ipv6, settings.allow_private),
            routes,
            Hosts(resolver, hello, ipv6=settings.ipv6),
            tls_policy,
            dialer,
            self.log,
        )

    def _tls_policy(self, resolver: DnsResolver) -> TlsPolicyResolver:
        settings = self.settings.outgoing
        destinations = SqliteDestinations(self.paths.destinations)
        self.parts.add("destinations", destinations.close)
        tls_policy = TlsPolicyResolver(
            resolver,
            destinations,
            Fetcher(resolver, authorities=settings.ca_file, private=settings.allow_private),
            Authorities(settings.ca_file),
            TlsPolicySettings(settings.mta_sts, settings.dane, settings.tls_memory),
            self.log,
        )
        self.parts.add("knowledge of destinations", tls_policy.flush)
        return tls_policy


def build_outbound(build: OutboundBuilder) -> OutboundPipeline:
    """Everything from the router to the wire: each part is given those that stand below it."""
    settings = build.settings.outgoing
    routes = build_routes(build.settings)
    active = ActiveQueue(
        build.outgoing, build.mailstore, _rate_limit(settings, routes), first_retry=settings.first_retry
    )
    router = build.router(routes, active)
    bounces = build.bounces(router)
    agent = DeliveryAgent(
        active,
        build.outgoing,
        build.mailstore,
        CourierChoice(build.courier(routes), {LOCAL: LocalCourier(router, build.hostname)}),
        bounces,
        build.log,
        schedule=Schedule(settings.first_retry, settings.delay_warning, settings.expire),
    )
    return OutboundPipeline(router, agent, bounces)


def _rate_limit(settings: OutgoingSection, routes: Routes) -> Callable[[str], RateLimit]:
    def rate_limit(destination: str) -> RateLimit:
        route = routes.route(destination)
        if route is None:
            return RateLimit(settings.connections, settings.per_minute)
        return RateLimit(route.connections or settings.connections, route.per_minute or settings.per_minute)

    return rate_limit
