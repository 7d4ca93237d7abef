"""How safe a connection must be, and whether it is: the courier's view of policies, wherever they come from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from posthouse.delivery.outbound.hosts import Host, HostAddresses
from posthouse.policy.dane import TlsaRecord


class UnsafeError(Exception):
    """Mail must not go to this host now; the text is a sentence that says why."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What the certificate must prove."""

    kind: str = ""  # "tlsa", "sts", "memory", "route", or "" for nothing
    tlsa: tuple[TlsaRecord, ...] = ()
    report: str = "no-policy-found"  # policy type for TLSRPT
    soft: bool = False  # a failure is only counted (MTA-STS in testing mode; memory that yields)
    failure: str = ""  # known before any connection, to be counted for it (RFC 8460 4.3)


@dataclass(frozen=True, slots=True)
class TlsRequirement:
    """What a connection must be."""

    required: bool = False  # no mail without TLS
    wanted: bool = True  # TLS where it is offered
    implicit: bool = False  # TLS before anything else (RFC 8314)
    single_use: bool = False  # it holds for one message only: others must not use the connection
    reason: str = "is wanted"  # "... does not offer TLS, which ..."
    proof: Proof = Proof()


class TlsPolicy(Protocol):
    """Says what TLS must be towards a host, and checks what it was."""

    def for_route(self, tls: str, host: str) -> TlsRequirement:
        """What a route's `tls` setting asks for."""

    async def for_host(self, domain: str, host: Host, addresses: HostAddresses, waited: float) -> TlsRequirement:
        """What the domain and the host ask for. Raises UnsafeError when the host must be passed over.

        `waited`: seconds since the message was queued.
        """

    def check_certificate(self, domain: str, host: str, requirement: TlsRequirement, chain: Sequence[bytes]) -> str:
        """After the handshake: what was proven, for traces ("verified", "DANE", ""). Raises UnsafeError."""

    def report_failure(self, domain: str, host: str, requirement: TlsRequirement, result: str) -> None:
        """Count that TLS did not come off; `result` as RFC 8460 4.3 names it."""
