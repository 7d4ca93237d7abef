"""How much and how long the server bears, in octets and seconds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that keep one peer from harming the others."""

    connections: int = 10_000  # open ones in all
    per_address: int = 100  # open ones of one IPv4 address, or one IPv6 /64
    proxy_header: float = 5.0  # until the PROXY header is complete
    handshake: float = 30.0  # until the TLS handshake is complete
    linger: float = 5.0  # until the peer hangs up after our last word
    # A peer may send for drip_grace seconds without getting an answer, and longer only at drip_rate octets a second:
    # one octet now and then, just inside the patience of the engine, does not hold a connection for ever.
    drip_grace: float = 600.0
    drip_rate: float = 100.0
    keepalive: float = 120.0  # of silence, until the system probes whether the peer is there; 0: it never does
    sweep: float = 1.0  # between two looks at who has run out of time
