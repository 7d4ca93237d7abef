"""The name of this server: the configured one, or the machine's own."""

import socket

from posthouse.app.config.settings import Settings
from posthouse.message.address import AddressError, to_a_labels

_HERE = ("localhost", "localdomain")  # last labels that mean each machine itself (RFC 6761 6.3)


def own_name(settings: Settings) -> str:
    """As it is said to peers."""
    return settings.server.hostname or socket.getfqdn()


def public_name(name: str) -> str:
    """A host name in A-labels; "" when nobody elsewhere could look it up: localhost, an address, one without a dot."""
    try:
        found = to_a_labels(name).rstrip(".").lower()
    except AddressError:
        return ""
    if "." not in found or found.replace(".", "").isdigit() or found.rpartition(".")[2] in _HERE:
        return ""
    return found
