"""How safe mail to a host must travel: DANE, MTA-STS, what the host has shown before, what a route asks for.

In this order of strength: TLSA records in signed DNS bind most (RFC 7672 2.2); then the domain's own policy (RFC 8461);
then memory: a host that has shown a valid certificate is not taken for it with a worse one, so that nobody in between
can strip what was there. Memory alone yields after a day, but never to plain text.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from posthouse.delivery.outbound.hosts import Addresses, Host
from posthouse.delivery.outbound.tls.policy import Demand, UnsafeError
from posthouse.net.dns.interface import DnsError, Found, RecordType, Resolver, Tlsa
from posthouse.net.fetch import Fetcher, FetchError, UntrustedError
from posthouse.net.verify import Authorities
from posthouse.policy import dane, mtasts
from posthouse.queue.destinations import Destinations, KnownPolicy, TlsResult

_REFETCH_SECONDS = 300.0  # after a fetch that failed; and never sooner
_RECHECK_SECONDS = 3600.0  # until the TXT record is asked for again
_REFRESH_SECONDS = 86400.0  # RFC 8461 3.3: once a day, so that nobody gains by blocking it on the last one
_YIELD_SECONDS = 86400.0  # that a message waits for a host to be what it was
_FLUSH_SECONDS = 5.0
_COUNTED_AT_MOST = 10_000  # while they cannot be written


@dataclass(frozen=True, slots=True)
class SecuritySettings:
    """`memory`: seconds that a valid certificate is remembered; 0: not at all."""

    mta_sts: bool = True
    dane: bool = True
    memory: float = 30 * 86400.0


@dataclass(frozen=True, slots=True)
class _Proof:
    """What the certificate must prove, for judge()."""

    kind: str = ""  # "tlsa", "sts", "memory", "route", or "" for nothing
    tlsa: tuple[dane.TlsaRecord, ...] = ()
    report: str = "no-policy-found"  # policy type for TLSRPT
    soft: bool = False  # a failure is only counted (MTA-STS in testing mode; memory that yields)
    failure: str = ""  # known before any connection, to be counted for it (RFC 8460 4.3)


@dataclass(frozen=True, slots=True)
class _Held:
    """A policy that was fetched before, in seconds since 1970."""

    id: str
    policy: mtasts.MtaStsPolicy
    fetched: float
    ends: float


class Security:
    """See TlsPolicy. `clock` gives seconds since 1970."""

    def __init__(
        self,
        resolver: Resolver,
        memory: Destinations,
        fetcher: Fetcher,
        authorities: Authorities,
        settings: SecuritySettings,
        log: FilteringBoundLogger,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._resolver = resolver
        self._memory = memory
        self._fetcher = fetcher
        self._authorities = authorities
        self._settings = settings
        self._log = log
        self._clock = clock
        self._checked: dict[str, tuple[float, mtasts.MtaStsPolicy | None]] = {}  # domain -> until when, what holds
        self._fetching: dict[str, asyncio.Task[mtasts.MtaStsPolicy | None]] = {}
        self._counts: Counter[tuple[int, str, str, str, str]] = Counter()
        self._flushing: asyncio.TimerHandle | None = None
        self._tidied = 0  # the day
        self._remembered: set[tuple[str, str, int]] = set()

    def for_route(self, tls: str, host: str) -> Demand:
        """See Safety."""
        if tls in ("none", "opportunistic"):
            return Demand(wanted=tls != "none", policy=_Proof())
        proof = _Proof("route") if tls in ("verified", "implicit") else _Proof()
        return Demand(required=True, implicit=tls == "implicit", because="the route asks for", policy=proof)

    async def for_host(self, domain: str, host: Host, addresses: Addresses, waited: float) -> Demand:
        """See Safety."""
        if self._settings.dane and host.secure and addresses.secure:
            demand = await self._by_dane(domain, host)
            if demand is not None:
                return demand  # RFC 8461 2: no policy overrides it
        policy = await self._policy(domain) if self._settings.mta_sts else None
        if policy is not None and policy.mode is mtasts.Mode.ENFORCE:
            if not policy.allows(host.name):
                self._count(domain, "sts", host.name, "validation-failure")
                raise UnsafeError(f"{host.name} is not among the hosts that {domain} names in its TLS policy (MTA-STS)")
            return Demand(required=True, because=f"the policy of {domain} asks for", policy=_Proof("sts", report="sts"))
        if policy is not None and policy.mode is mtasts.Mode.TESTING:
            failure = "" if policy.allows(host.name) else "validation-failure"
            return Demand(policy=_Proof("sts", report="sts", soft=True, failure=failure))
        return self._by_memory(domain, host.name, waited)

    async def _by_dane(self, domain: str, host: Host) -> Demand | None:
        """RFC 7672 2.2; None: the host has no such records."""
        try:
            answer = await self._resolver.look_up(f"_{host.port}._tcp.{host.name}", RecordType.TLSA)
        except DnsError as error:
            self._count(domain, "tlsa", host.name, "dnssec-invalid")
            # RFC 7672 2.1.2: whoever can suppress the answer must not gain by it.
            raise UnsafeError(f"whether {host.name} must prove itself by DANE cannot be found out: {error}") from error
        if answer.found is not Found.RECORDS or not answer.secure:
            return None
        records = tuple(
            dane.TlsaRecord(each.usage, each.selector, each.matching, each.data)
            for each in answer.records
            if isinstance(each, Tlsa)
        )
        usable = tuple(dane.usable(records))
        because = f"the DNS of {host.name} asks for (DANE)"
        if not usable:
            # RFC 7672 2.2: TLS all the same, with any certificate.
            return Demand(required=True, because=because, policy=_Proof(report="tlsa", failure="tlsa-invalid"))
        return Demand(required=True, because=because, policy=_Proof("tlsa", usable, report="tlsa"))

    def _by_memory(self, domain: str, host: str, waited: float) -> Demand:
        seen = self._memory.valid_since(domain, host) if self._settings.memory else 0
        if not seen or self._clock() - seen > self._settings.memory:
            return Demand(policy=_Proof())
        yields = waited > _YIELD_SECONDS
        proof = _Proof("memory", soft=yields)
        return Demand(required=True, fleeting=yields, because="it had before", policy=proof)

    def judge(self, domain: str, host: str, demand: Demand, chain: Sequence[bytes]) -> str:
        """See Safety."""
        proof = _proof(demand)
        if proof.kind == "tlsa":
            return self._judge_by_dane(domain, host, proof, chain)
        flaw = self._authorities.error(chain, host)
        self._count(domain, proof.report, host, proof.failure or (flaw.result if proof.kind else ""))
        if not flaw:
            self._remember(domain, host)
            return "verified"
        if proof.kind and not proof.soft:
            raise UnsafeError(f"{host} could not prove who it is, which {demand.because}: {flaw}")
        if proof.kind == "memory":
            self._log.warning("a host is no longer what it was; its mail goes there all the same", host=host, why=flaw)
        return ""

    def _judge_by_dane(self, domain: str, host: str, proof: _Proof, chain: Sequence[bytes]) -> str:
        good = dane.matches(chain, proof.tlsa, (host, domain), self._clock())
        self._count(domain, proof.report, host, "" if good else "validation-failure")
        if not good:
            raise UnsafeError(f"the certificate of {host} is not the one that its DNS vouches for (DANE)")
        return "DANE"

    def failed(self, domain: str, host: str, demand: Demand, result: str) -> None:
        """See Safety."""
        self._count(domain, _proof(demand).report, host, result)

    def flush(self) -> None:
        """Write the counts out. Done every few seconds while there are any; and to be done at the end."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        counts, self._counts = self._counts, Counter()
        if counts and not self._memory.add_results([TlsResult(*key, count) for key, count in counts.items()]):
            self._counts = counts if len(counts) < _COUNTED_AT_MOST else Counter()
        now = int(self._clock())
        if now // 86400 != self._tidied:
            self._tidied = now // 86400
            self._memory.tidy(now)

    def _remember(self, domain: str, host: str) -> None:
        """Once a day is enough."""
        if not self._settings.memory or not domain:
            return
        now = int(self._clock())
        key = (domain, host, now // 86400)
        if key not in self._remembered:
            if len(self._remembered) > 10_000:
                self._remembered.clear()
            self._remembered.add(key)
            self._memory.keep_valid(domain, host, now)

    def _count(self, domain: str, policy: str, host: str, result: str) -> None:
        if not domain:
            return
        self._counts[int(self._clock()) // 86400, domain, policy, host, result] += 1
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().call_later(_FLUSH_SECONDS, self.flush)

    # MTA-STS.

    async def _policy(self, domain: str) -> mtasts.MtaStsPolicy | None:
        """The policy that holds for a domain now (RFC 8461 5.1); all who want it share one look."""
        known = self._checked.get(domain)
        if known is not None and known[0] > self._clock():
            return known[1]
        task = self._fetching.get(domain)
        if task is None:
            task = self._fetching[domain] = asyncio.get_running_loop().create_task(self._find_policy(domain))
            task.add_done_callback(lambda _: self._fetching.pop(domain, None))
        return await asyncio.shield(task)

    async def _find_policy(self, domain: str) -> mtasts.MtaStsPolicy | None:
        held = _held(self._memory.policy(domain), self._clock())
        try:
            answer = await self._resolver.look_up(f"_mta-sts.{domain}", RecordType.TXT)
        except DnsError:
            return self._hold(domain, held, _REFETCH_SECONDS)  # RFC 8461 5.1: what is cached holds on
        wanted = mtasts.policy_id(record for record in answer.records if isinstance(record, bytes))
        if not wanted or (held and held.id == wanted and self._clock() - held.fetched < _REFRESH_SECONDS):
            return self._hold(domain, held, _RECHECK_SECONDS)
        try:
            text = await self._fetcher.get(f"mta-sts.{domain}", "/.well-known/mta-sts.txt", mtasts.MAX_POLICY)
            policy = mtasts.parse(text)
        except (FetchError, mtasts.PolicyError) as error:
            self._count(domain, "sts", "", _policy_result(error))
            self._log.info("no new TLS policy", domain=domain, why=error, older=held is not None)
            return self._hold(domain, held, _REFETCH_SECONDS)
        now = self._clock()
        self._memory.keep_policy(domain, KnownPolicy(wanted, text, int(now)))
        return self._hold(domain, _Held(wanted, policy, now, now + policy.max_age), _RECHECK_SECONDS)

    def _hold(self, domain: str, held: _Held | None, seconds: float) -> mtasts.MtaStsPolicy | None:
        """What holds for a domain for some time, or until it ends; then it is looked at again."""
        if len(self._checked) > 50_000:
            self._checked.clear()
        now = self._clock()
        until = now + seconds if held is None else max(min(now + seconds, held.ends), now + _REFETCH_SECONDS)
        policy = held.policy if held is not None else None
        self._checked[domain] = (until, policy)
        return policy


def _proof(demand: Demand) -> _Proof:
    return demand.policy if isinstance(demand.policy, _Proof) else _Proof()


def _held(known: KnownPolicy | None, now: float) -> _Held | None:
    """What was fetched before, if it has not ended."""
    if known is None:
        return None
    try:
        policy = mtasts.parse(known.text)
    except mtasts.PolicyError:
        return None
    ends = known.fetched + policy.max_age
    return _Held(known.id, policy, known.fetched, ends) if known.fetched <= now < ends else None


def _policy_result(error: FetchError | mtasts.PolicyError) -> str:
    """RFC 8460 4.3.2.2."""
    if isinstance(error, mtasts.PolicyError):
        return "sts-policy-invalid"
    return "sts-webpki-invalid" if isinstance(error, UntrustedError) else "sts-policy-fetch-error"
