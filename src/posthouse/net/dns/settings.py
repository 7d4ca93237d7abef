"""How names are asked for."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ResolverSettings:
    """`servers` are (address, port), asked in order; `timeout` is in seconds for each try."""

    servers: tuple[tuple[str, int], ...]
    timeout: float = 3.0
    tries: int = 3  # rounds over all servers
    trust_ad: bool | None = None  # believe them about DNSSEC; None: only one on this very machine (RFC 6840 5.7)
    cache_entries: int = 50_000
