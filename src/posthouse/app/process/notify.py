"""Tell systemd how the service is doing: the datagram protocol of sd_notify(3), and nothing else of it."""

import os
import socket
from collections.abc import Mapping


class Notifier:
    """Sends states to the socket that NOTIFY_SOCKET names; silent where there is none."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        path = environment.get("NOTIFY_SOCKET", "")
        # An "@" stands for the NUL of Linux's abstract names.
        self._address = "\0" + path[1:] if path.startswith("@") else path

    def ready(self) -> None:
        """All services answer."""
        self._send("READY=1")

    def reloading(self, monotonic_microseconds: int) -> None:
        """Certificates are being read anew; ready() ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={monotonic_microseconds}")

    def stopping(self) -> None:
        """The end has begun."""
        self._send("STOPPING=1")

    def _send(self, state: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            try:
                sock.sendto(state.encode(), self._address)
            except OSError:
                # What started us no longer listens: that is its own affair, and no reason to stop.
                return
