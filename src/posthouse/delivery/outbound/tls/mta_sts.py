"""MTA-STS (RFC 8461): the policy of a domain, found in DNS, fetched over HTTPS, kept until it ends."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from posthouse.delivery.outbound.tls.results import TlsResults
from posthouse.net.dns.interface import DnsError, RecordType, Resolver
from posthouse.net.fetch import Fetcher, FetchError, UntrustedError
from posthouse.policy import mtasts
from posthouse.queue.destinations import Destinations, KnownPolicy

_REFETCH_SECONDS = 300.0  # after a fetch that failed; and never sooner
_RECHECK_SECONDS = 3600.0  # until the TXT record is asked for again
_REFRESH_SECONDS = 86400.0  # RFC 8461 3.3: once a day, so that nobody gains by blocking it on the last one
_CHECKED_AT_MOST = 50_000  # domains in memory


@dataclass(frozen=True, slots=True)
class _Fetched:
    """A policy that was fetched before, in seconds since 1970."""

    id: str
    policy: mtasts.MtaStsPolicy
    fetched: float
    ends: float


class MtaStsPolicies:
    """`clock` gives seconds since 1970."""

    def __init__(
        self,
        resolver: Resolver,
        destinations: Destinations,
        fetcher: Fetcher,
        results: TlsResults,
        log: FilteringBoundLogger,
        clock: Callable[[], float],
    ) -> None:
        self._resolver = resolver
        self._destinations = destinations
        self._fetcher = fetcher
        self._results = results
        self._log = log
        self._clock = clock
        self._checked: dict[str, tuple[float, mtasts.MtaStsPolicy | None]] = {}  # domain -> until when, what holds
        self._finding: dict[str, asyncio.Task[mtasts.MtaStsPolicy | None]] = {}

    async def policy(self, domain: str) -> mtasts.MtaStsPolicy | None:
        """The policy that holds for a domain now (RFC 8461 5.1); all who want it share one look-up."""
        known = self._checked.get(domain)
        if known is not None and known[0] > self._clock():
            return known[1]
        task = self._finding.get(domain)
        if task is None:
            task = self._finding[domain] = asyncio.get_running_loop().create_task(self._find(domain))
            task.add_done_callback(lambda _: self._finding.pop(domain, None))
        return await asyncio.shield(task)

    async def _find(self, domain: str) -> mtasts.MtaStsPolicy | None:
        held = _still_valid(self._destinations.policy(domain), self._clock())
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
            self._results.count(domain, "sts", "", _policy_result(error))
            self._log.info("no new TLS policy", domain=domain, why=error, older=held is not None)
            return self._hold(domain, held, _REFETCH_SECONDS)
        now = self._clock()
        self._destinations.keep_policy(domain, KnownPolicy(wanted, text, int(now)))
        return self._hold(domain, _Fetched(wanted, policy, now, now + policy.max_age), _RECHECK_SECONDS)

    def _hold(self, domain: str, held: _Fetched | None, seconds: float) -> mtasts.MtaStsPolicy | None:
        """What holds for a domain for some time, or until it ends; then it is looked at again."""
        if len(self._checked) > _CHECKED_AT_MOST:
            self._checked.clear()
        now = self._clock()
        until = now + seconds if held is None else max(min(now + seconds, held.ends), now + _REFETCH_SECONDS)
        policy = held.policy if held is not None else None
        self._checked[domain] = (until, policy)
        return policy


def _still_valid(known: KnownPolicy | None, now: float) -> _Fetched | None:
    """What was fetched before, if it has not ended."""
    if known is None:
        return None
    try:
        policy = mtasts.parse(known.text)
    except mtasts.PolicyError:
        return None
    ends = known.fetched + policy.max_age
    return _Fetched(known.id, policy, known.fetched, ends) if known.fetched <= now < ends else None


def _policy_result(error: FetchError | mtasts.PolicyError) -> str:
    """RFC 8460 4.3.2.2."""
    if isinstance(error, mtasts.PolicyError):
        return "sts-policy-invalid"
    return "sts-webpki-invalid" if isinstance(error, UntrustedError) else "sts-policy-fetch-error"
