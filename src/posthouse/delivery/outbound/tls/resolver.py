"""Which TLS a destination needs: DANE, MTA-STS, what the host has shown before, what a route asks for.

In this order of strength: TLSA records in signed DNS bind most (RFC 7672 2.2); then the domain's own policy (RFC 8461);
then memory: a host that has shown a valid certificate is not taken for it with a worse one, so that no attacker on the
way can strip what was there. Memory alone yields after a day, but never to plain text.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from posthouse.delivery.outbound.hosts import Host, HostAddresses
from posthouse.delivery.outbound.tls.dane import DanePolicy
from posthouse.delivery.outbound.tls.memory import CertificateMemory
from posthouse.delivery.outbound.tls.mta_sts import MtaStsPolicies
from posthouse.delivery.outbound.tls.policy import Proof, TlsRequirement, UnsafeError
from posthouse.delivery.outbound.tls.results import TlsResults
from posthouse.net.dns.interface import Resolver
from posthouse.net.fetch import Fetcher
from posthouse.net.verify import Authorities
from posthouse.policy import mtasts
from posthouse.queue.destinations import Destinations


@dataclass(frozen=True, slots=True)
class TlsPolicySettings:
    """`memory`: seconds that a valid certificate is remembered; 0: not at all."""

    mta_sts: bool = True
    dane: bool = True
    memory: float = 30 * 86400.0


class TlsPolicyResolver:
    """See TlsPolicy. `clock` gives seconds since 1970."""

    def __init__(
        self,
        resolver: Resolver,
        destinations: Destinations,
        fetcher: Fetcher,
        authorities: Authorities,
        settings: TlsPolicySettings,
        log: FilteringBoundLogger,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._authorities = authorities
        self._settings = settings
        self._log = log
        self._results = TlsResults(destinations, clock)
        self._dane = DanePolicy(resolver, self._results, clock)
        self._mta_sts = MtaStsPolicies(resolver, destinations, fetcher, self._results, log, clock)
        self._memory = CertificateMemory(destinations, settings.memory, clock)

    def for_route(self, tls: str, host: str) -> TlsRequirement:
        """See TlsPolicy."""
        if tls in ("none", "opportunistic"):
            return TlsRequirement(wanted=tls != "none")
        proof = Proof("route") if tls in ("verified", "implicit") else Proof()
        return TlsRequirement(required=True, implicit=tls == "implicit", reason="the route asks for", proof=proof)

    async def for_host(self, domain: str, host: Host, addresses: HostAddresses, waited: float) -> TlsRequirement:
        """See TlsPolicy."""
        if self._settings.dane and host.secure and addresses.secure:
            requirement = await self._dane.requirement(domain, host)
            if requirement is not None:
                return requirement  # RFC 8461 2: no policy overrides it
        policy = await self._mta_sts.policy(domain) if self._settings.mta_sts else None
        if policy is not None and policy.mode is mtasts.Mode.ENFORCE:
            if not policy.allows(host.name):
                self._results.count(domain, "sts", host.name, "validation-failure")
                raise UnsafeError(f"{host.name} is not among the hosts that {domain} names in its TLS policy (MTA-STS)")
            reason = f"the policy of {domain} asks for"
            return TlsRequirement(required=True, reason=reason, proof=Proof("sts", report="sts"))
        if policy is not None and policy.mode is mtasts.Mode.TESTING:
            failure = "" if policy.allows(host.name) else "validation-failure"
            return TlsRequirement(proof=Proof("sts", report="sts", soft=True, failure=failure))
        return self._memory.requirement(domain, host.name, waited)

    def check_certificate(self, domain: str, host: str, requirement: TlsRequirement, chain: Sequence[bytes]) -> str:
        """See TlsPolicy."""
        proof = requirement.proof
        if proof.kind == "tlsa":
            return self._dane.check(domain, host, proof, chain)
        flaw = self._authorities.error(chain, host)
        self._results.count(domain, proof.report, host, proof.failure or (flaw.result if proof.kind else ""))
        if not flaw:
            self._memory.remember(domain, host)
            return "verified"
        if proof.kind and not proof.soft:
            raise UnsafeError(f"{host} could not prove who it is, which {requirement.reason}: {flaw}")
        if proof.kind == "memory":
            text = "a host no longer has a valid certificate; its mail goes there all the same"
            self._log.warning(text, host=host, why=flaw)
        return ""

    def report_failure(self, domain: str, host: str, requirement: TlsRequirement, result: str) -> None:
        """See TlsPolicy."""
        self._results.count(domain, requirement.proof.report, host, result)

    def flush(self) -> None:
        """Write the counts out: to be called at the end."""
        self._results.flush()
