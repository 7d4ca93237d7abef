"""Where mail for a recipient goes: by DNS, or by a route that the operator has set."""

from collections.abc import Sequence
from dataclasses import dataclass

from posthouse.message.address import Address

LOCAL = "local"  # the lane of recipients here whose message is held until later; no domain has this name


@dataclass(frozen=True, slots=True)
class Route:
    """A way that the operator has set; the first that fits is taken.

    `to` and `sender` hold domains (A-labels, lower case), ".example.org" for all below it, addresses, or "*".
    """

    name: str
    to: tuple[str, ...] = ("*",)
    sender: tuple[str, ...] = ("*",)
    hosts: tuple[tuple[str, int], ...] = ()  # name or address, and port; none: by MX
    tls: str = "encrypted"  # "verified", "encrypted", "opportunistic", "none", or "implicit": verified from the start
    login: str = ""
    password: str = ""
    source: str = ""  # our address; "" as the system likes
    connections: int = 0  # at the same time, in each process; 0: as everywhere
    per_minute: int = 0  # messages, in each process; 0: no bound

    @property
    def destination(self) -> str:
        """The name of its lane. No domain has a slash in it."""
        return f"route/{self.name}"


class Routes:
    """The operator's routes, in order."""

    def __init__(self, routes: Sequence[Route] = ()) -> None:
        self._routes = tuple(routes)
        self._by_destination = {route.destination: route for route in routes}

    def destination(self, recipient: Address, sender: Address | None) -> str:
        """The lane of a recipient: its domain, or the name of a route; with MX the two together."""
        for route in self._routes:
            if _fits(route.to, recipient) and _fits(route.sender, sender):
                # Mail by MX goes to the domain all the same, only from another address or with other rules.
                return route.destination if route.hosts else f"{route.destination}/{recipient.domain_key}"
        return recipient.domain_key

    def route(self, destination: str) -> Route | None:
        """The route of a lane, if it has one and that is still set."""
        if not destination.startswith("route/"):
            return None
        return self._by_destination.get("/".join(destination.split("/", 2)[:2]))


def domain_of(destination: str, recipient: Address) -> str:
    """The domain whose MX a lane uses."""
    return destination.split("/", 2)[2] if destination.count("/") == 2 else recipient.domain_key


def _fits(patterns: Sequence[str], address: Address | None) -> bool:
    if "*" in patterns:
        return True
    if address is None:
        return False
    domain = address.domain_key
    text = f"{address.local}@{domain}".lower()
    return any(
        pattern == (text if "@" in pattern else domain) or (pattern.startswith(".") and domain.endswith(pattern))
        for pattern in patterns
    )
