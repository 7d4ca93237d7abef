"""What is remembered of the places mail goes to: their TLS policies, their good certificates, how TLS went."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class KnownPolicy:
    """An MTA-STS policy as it was fetched. Times are in seconds since 1970."""

    id: str
    text: bytes
    fetched: int


@dataclass(frozen=True, slots=True)
class TlsResult:
    """How TLS went, added up over a day (RFC 8460 4.2). `day` counts from 1970; `result` "" is a success."""

    day: int
    domain: str
    policy: str  # "sts", "tlsa" or "no-policy-found"
    host: str
    result: str
    count: int


class Destinations(Protocol):
    """Shared by all processes. What cannot be read or written only costs old knowledge, so errors pass."""

    def policy(self, domain: str) -> KnownPolicy | None:
        """The policy last fetched for a domain."""

    def keep_policy(self, domain: str, policy: KnownPolicy) -> None:
        """Remember it."""

    def valid_since(self, domain: str, host: str) -> int:
        """When the host last showed a valid certificate, seconds since 1970; 0: never."""

    def keep_valid(self, domain: str, host: str, now: int) -> None:
        """It has shown one."""

    def add_results(self, results: list[TlsResult]) -> bool:
        """Add to the counts, all or none; whether it was done."""

    def results(self, day: int) -> list[TlsResult]:
        """The counts of a day."""

    def tidy(self, now: int) -> None:
        """Forget what nobody will ask for any more."""
