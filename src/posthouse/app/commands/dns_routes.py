"""What SPF must say of the routes: who else sends a domain's mail to the world."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from posthouse.app.config.settings import OutgoingSection, RouteSection

# Hosts of providers, and where these publish the addresses that they send from: those alone whose manuals, or several
# guides, say so. Others (SMTP2GO, which wants a CNAME of its own) are asked for.
_PROVIDERS = (
    (r"smtp(-relay)?\.gmail\.com", "_spf.google.com"),
    (r"email-smtp\..+\.amazonaws\.com", "amazonses.com"),
    (r"smtp\.office365\.com|.+\.mail\.protection\.outlook\.com", "spf.protection.outlook.com"),
    (r"smtp\.sendgrid\.net", "sendgrid.net"),
    (r"smtp(\.eu)?\.mailgun\.org", "mailgun.org"),
    (r"smtp(-broadcasts)?\.postmarkapp\.com", "spf.mtasv.net"),
    (r"smtp-relay\.brevo\.com", "spf.brevo.com"),
    (r"in-v3\.mailjet\.com", "spf.mailjet.com"),
)


@dataclass(frozen=True, slots=True)
class SpfTerm:
    """One term of an SPF record (RFC 7208 5), and the host it is there for; `sure`: it is known to be right."""

    text: str
    host: str
    sure: bool = True


def spf_terms(domain: str, routes: Mapping[str, RouteSection], outgoing: OutgoingSection) -> list[SpfTerm]:
    """The terms beside "mx" for a domain in A-labels: relays and addresses of the routes that take its mail."""
    found: dict[str, SpfTerm] = {}
    for source in (outgoing.source_ipv4, outgoing.source_ipv6):
        for term in _of_host(source):
            found.setdefault(term.text, term)
    for route in routes.values():
        if not _takes(route, domain):
            continue
        for host in [each.host for each in route.hosts] or [route.source]:
            for term in _of_host(host):
                found.setdefault(term.text, term)
        if "*" in route.to and ("*" in route.sender or domain in route.sender):
            break  # nothing of this domain's gets to a later route
    return list(found.values())


def host_terms(routes: Mapping[str, RouteSection], outgoing: OutgoingSection) -> list[SpfTerm]:
    """The terms beside "a" for the name that this server gives itself: other addresses it sends from."""
    sources = [outgoing.source_ipv4, outgoing.source_ipv6, *(route.source for route in routes.values())]
    return list({term.text: term for source in sources for term in _of_host(source)}.values())


def _takes(route: RouteSection, domain: str) -> bool:
    """Whether mail from some address of the domain may go by a route."""
    return any(
        pattern in ("*", domain)
        or pattern.endswith(f"@{domain}")
        or (pattern.startswith(".") and domain.endswith(pattern))
        for pattern in route.sender
    )


def _of_host(host: str) -> Iterator[SpfTerm]:
    """Nothing for hosts of our own network: these send under other addresses, which only their operator knows."""
    try:
        address = ip_address(host)
    except ValueError:
        if "." not in host:
            return
        for pattern, name in _PROVIDERS:
            if re.fullmatch(pattern, host):
                yield SpfTerm(f"include:{name}", host)
                return
        yield SpfTerm(f"a:{host}", host, sure=False)
        return
    if address.is_global:
        yield SpfTerm(f"ip{address.version}:{address}", host)
