"""How many connections there may be: in all, and of one address."""

from collections import Counter

from posthouse.message.ip import customer_network


class ConnectionLimiter:
    """Counts connections. One is let in first, and then takes the place of its address, once that is known."""

    def __init__(self, connections: int, per_address: int) -> None:
        self._connections = connections
        self._per_address = per_address
        self._places: Counter[str] = Counter()
        self.open = 0
        self.refused = 0  # since the start

    def enter(self) -> bool:
        """Let one in, if there is room at all."""
        if self.open >= self._connections:
            self.refused += 1
            return False
        self.open += 1
        return True

    def take_place(self, ip: str) -> bool:
        """Count one that was let in against its address; if False, it must leave(""). Unix sockets ("") are free."""
        if not ip:
            return True
        key = customer_network(ip)
        if self._places[key] >= self._per_address:
            self.refused += 1
            return False
        self._places[key] += 1
        return True

    def leave(self, ip: str) -> None:
        """One that was let in has gone; `ip` is the place it had taken, "" for none."""
        self.open -= 1
        if ip:
            key = customer_network(ip)
            self._places[key] -= 1
            if not self._places[key]:
                del self._places[key]
