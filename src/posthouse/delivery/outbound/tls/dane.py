"""DANE for SMTP (RFC 7672): what the TLSA records of a host ask for, and whether its certificate matches them."""

from collections.abc import Callable, Sequence

from posthouse.delivery.outbound.hosts import Host
from posthouse.delivery.outbound.tls.policy import Proof, TlsRequirement, UnsafeError
from posthouse.delivery.outbound.tls.results import TlsResults
from posthouse.net.dns.interface import DnsError, Found, RecordType, Resolver, Tlsa
from posthouse.policy import dane


class DanePolicy:
    """`clock` gives seconds since 1970."""

    def __init__(self, resolver: Resolver, results: TlsResults, clock: Callable[[], float]) -> None:
        self._resolver = resolver
        self._results = results
        self._clock = clock

    async def requirement(self, domain: str, host: Host) -> TlsRequirement | None:
        """RFC 7672 2.2; None: the host has no such records. Raises UnsafeError."""
        try:
            answer = await self._resolver.look_up(f"_{host.port}._tcp.{host.name}", RecordType.TLSA)
        except DnsError as error:
            self._results.count(domain, "tlsa", host.name, "dnssec-invalid")
            # RFC 7672 2.1.2: an attacker who can suppress the answer must not gain by it.
            raise UnsafeError(f"whether {host.name} must prove itself by DANE cannot be found out: {error}") from error
        if answer.found is not Found.RECORDS or not answer.secure:
            return None
        records = tuple(
            dane.TlsaRecord(each.usage, each.selector, each.matching, each.data)
            for each in answer.records
            if isinstance(each, Tlsa)
        )
        usable = tuple(dane.usable(records))
        reason = f"the DNS of {host.name} asks for (DANE)"
        if not usable:
            # RFC 7672 2.2: TLS all the same, with any certificate.
            return TlsRequirement(required=True, reason=reason, proof=Proof(report="tlsa", failure="tlsa-invalid"))
        return TlsRequirement(required=True, reason=reason, proof=Proof("tlsa", usable, report="tlsa"))

    def check(self, domain: str, host: str, proof: Proof, chain: Sequence[bytes]) -> str:
        """Check a certificate chain against the records; "DANE". Raises UnsafeError."""
        good = dane.matches(chain, proof.tlsa, (host, domain), self._clock())
        self._results.count(domain, proof.report, host, "" if good else "validation-failure")
        if not good:
            raise UnsafeError(f"the certificate of {host} is not the one that its DNS vouches for (DANE)")
        return "DANE"
