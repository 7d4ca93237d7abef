"""The world: four mail servers, a name server, a web server and a man in the middle on one network."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.world import cases
from tests.world.exim import Exim
from tests.world.mail import LOCALS, Server
from tests.world.names import Names, names_on
from tests.world.net import Network, network
from tests.world.policies import Policies
from tests.world.postfix import Postfix
from tests.world.posthouse import Posthouse
from tests.world.stripper import Stripper
from tests.world.trust import Trust

ALPHA, BETA, POSTFIX, EXIM = "a.test", "b.test", "p.test", "e.test"


@dataclass(frozen=True)
class World:
    """All of it, running. `servers` by domain; `alpha` and `beta` are Posthouse; `turning` does not strip yet."""

    names: Names
    servers: dict[str, Server]
    alpha: Posthouse
    beta: Posthouse
    postfix: Postfix
    exim: Exim
    policies: Policies
    stripper: Stripper
    turning: Stripper


@contextmanager
def world() -> Iterator[World]:
    """A world for as long as it is needed; Posthouse must have said nothing bad when it ends."""
    with ExitStack() as stack:
        made = _build(stack, stack.enter_context(network()))
        yield made
        for server in (made.alpha, made.beta):
            server.forget()
            server.stop()


def _build(stack: ExitStack, net: Network) -> World:
    names, trust = names_on(net), Trust(net.folder / "trust")
    hosts = {ALPHA: net.host("alpha", 11), BETA: net.host("beta", 12), POSTFIX: net.host("postfix", 13)}
    hosts[EXIM] = net.host("exim", 14)
    web, middle, turning = net.host("web", 15), net.host("middle", 16), net.host("turning", 17)
    certificates = {domain: trust.issue(f"mx.{domain}") for domain in (ALPHA, BETA, EXIM)}
    certificates[POSTFIX] = trust.issue(f"mx.{POSTFIX}", *cases.CERTIFIED)
    for domain, host in hosts.items():
        names.address(f"mx.{domain}", host, reverse=True)
        names.add(f"_25._tcp.mx.{domain}", "TLSA", certificates[domain].tlsa)
    for domain in (POSTFIX, EXIM):
        names.add(domain, "MX", f"10 mx.{domain}.")
        names.text(domain, "v=spf1 mx -all")
    cases.add_cases(names, cases.Places(hosts[POSTFIX], web, middle, turning, certificates[POSTFIX]))
    alpha, beta = (
        Posthouse(net.folder / domain, hosts[domain], certificates[domain], trust.roots, domain, LOCALS)
        for domain in (ALPHA, BETA)
    )
    for server in (alpha, beta):
        server.publish(names)
    names.start()
    addresses = [f"{local}@{domain}" for domain in (POSTFIX, *cases.POSTFIX_DOMAINS) for local in LOCALS]
    postfix = Postfix(net.folder / POSTFIX, hosts[POSTFIX], certificates[POSTFIX], addresses)
    exim = Exim(net.folder / EXIM, hosts[EXIM], certificates[EXIM], EXIM, LOCALS)
    policies = Policies(web, trust.issue(*(f"mta-sts.{domain}" for domain in cases.STS)))
    policies.texts.update(cases.STS_POLICIES)
    stack.enter_context(policies.serving())
    stripper = stack.enter_context(Stripper(middle, hosts[POSTFIX].ip4).standing())
    later = stack.enter_context(Stripper(turning, hosts[POSTFIX].ip4, stripping=False).standing())
    servers: dict[str, Server] = {ALPHA: alpha, BETA: beta, POSTFIX: postfix, EXIM: exim}
    for started in servers.values():
        started.start()
    return World(names, servers, alpha, beta, postfix, exim, policies, stripper, later)
