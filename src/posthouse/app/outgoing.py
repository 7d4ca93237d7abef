"""Builds what sends mail out: resolver, policies, couriers, sender."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from posthouse.accounts.interface import Directory
from posthouse.app.closing import CloseStack
from posthouse.app.places import Places
from posthouse.app.settings import DnsSettings, OutgoingSettings, RouteSettings, Settings
from posthouse.delivery.content.signing import Signing
from posthouse.delivery.inbound.router import LOCAL, Router
from posthouse.delivery.inbound.srs import Srs
from posthouse.delivery.outbound.agent import DeliveryAgent, RateLimit
from posthouse.delivery.outbound.couriers.choice import CourierChoice
from posthouse.delivery.outbound.couriers.connecting import CourierSettings
from posthouse.delivery.outbound.couriers.local import LocalCourier
from posthouse.delivery.outbound.couriers.smtp import SmtpCourier
from posthouse.delivery.outbound.hosts import Hosts
from posthouse.delivery.outbound.routes import Route, Routes
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
from posthouse.queue.interface import Outgoing
from posthouse.queue.sqlite.destinations import SqliteDestinations

_DNS_PORT = 53


def build_resolver(settings: DnsSettings) -> DnsResolver:
    """The resolver of the configuration, or of the system."""
    if not settings.servers:
        return DnsResolver(system_settings())
    servers = tuple((server.host, server.port or _DNS_PORT) for server in settings.servers)
    return DnsResolver(ResolverSettings(servers, settings.timeout, trust_ad=settings.trust_ad or None))


def build_routes(settings: Settings) -> Routes:
    """The operator's routes, in the order of the file."""
    return Routes([_route(name, route) for name, route in settings.route.items()])


def _route(name: str, route: RouteSettings) -> Route:
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
    secret = directory.srs_secret()
    made: dict[str, Srs] = {}

    def srs() -> Srs | None:
        domain = directory.own_domain()
        if not domain:
            return None
        if domain not in made:
            made[domain] = Srs(secret, domain, time.time)
        return made[domain]

    return srs


@dataclass(slots=True)
class OutboundPipeline:
    """What sends mail out in one worker."""

    sender: DeliveryAgent
    bounces: Bounces


def build_outbound(
    settings: Settings,
    places: Places,
    hostname: str,
    directory: Directory,
    outgoing: Outgoing,
    mailstore: Mailstore,
    router: Router,
    routes: Routes,
    new_id: Callable[[], bytes],
    log: FilteringBoundLogger,
    *,
    label: str,
    parts: CloseStack,
) -> OutboundPipeline:
    """Everything from the queue to the wire. What is to be closed after the sender has stopped joins `parts`."""
    ours = settings.outgoing
    hello = ours.hello or hostname
    destinations = SqliteDestinations(places.destinations)
    parts.add("destinations", destinations.close)
    resolver = build_resolver(settings.dns)
    security = TlsPolicyResolver(
        resolver,
        destinations,
        Fetcher(resolver, authorities=ours.ca_file, private=ours.allow_private),
        Authorities(ours.ca_file),
        TlsPolicySettings(ours.mta_sts, ours.dane, ours.tls_memory),
        log,
    )
    parts.add("knowledge of destinations", security.flush)
    parts.add("resolver", resolver.close)
    dialer = Dialer(label=label, limits=Limits(keepalive=settings.limits.keepalive))
    parts.add("dialer", dialer.close)
    courier = SmtpCourier(
        CourierSettings(hello, ours.port, ours.source_ipv4, ours.source_ipv6, ours.allow_private),
        routes,
        Hosts(resolver, hello, ipv6=ours.ipv6),
        security,
        dialer,
        log,
    )

    def postmaster() -> Address:
        return Address("postmaster", directory.own_domain() or hostname)

    bounces = Bounces(
        router,
        outgoing,
        new_id,
        time.time,
        log,
        hostname=hostname,
        postmaster=postmaster,
        signing=Signing(directory, time.time),
    )
    sender = DeliveryAgent(
        outgoing,
        mailstore,
        CourierChoice(courier, {LOCAL: LocalCourier(router, hostname)}),
        bounces,
        log,
        schedule=Schedule(ours.first_retry, ours.delay_warning, ours.expire),
        pace=_pace(ours, routes),
    )
    router.sender = sender
    return OutboundPipeline(sender, bounces)


def _pace(settings: OutgoingSettings, routes: Routes) -> Callable[[str], RateLimit]:
    def pace(destination: str) -> RateLimit:
        route = routes.route(destination)
        if route is None:
            return RateLimit(settings.connections, settings.per_minute)
        return RateLimit(route.connections or settings.connections, route.per_minute or settings.per_minute)

    return pace
