"""How safe a connection must be, and whether it is: the courier's view of policies, whatever they come from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from posthouse.delivery.outbound.hosts import Addresses, Host


class UnsafeError(Exception):
    """Mail must not go to this host now; the text is a sentence that says why."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a connection must be. `policy` is for whoever made the demand."""

    required: bool = False  # no mail without TLS
    wanted: bool = True  # TLS where it is offered
    implicit: bool = False  # TLS before anything else (RFC 8314)
    fleeting: bool = False  # made up for one message; others must not use the connection
    because: str = "is wanted"  # "... does not offer TLS, which ..."
    policy: object = None


class Safety(Protocol):
    """Decides and judges."""

    def for_route(self, tls: str, host: str) -> Demand:
        """What a route's `tls` setting demands."""

    async def for_host(self, domain: str, host: Host, addresses: Addresses, waited: float) -> Demand:
        """What the domain and the host demand. Raises UnsafeError when the host must be passed over."""

    def judge(self, domain: str, host: str, demand: Demand, chain: Sequence[bytes]) -> str:
        """After the handshake: what was proven, for traces ("verified", "DANE", ""). Raises UnsafeError."""

    def failed(self, domain: str, host: str, demand: Demand, result: str) -> None:
        """TLS did not come off; `result` as RFC 8460 4.3 names it."""
