"""A man in the middle of SMTP who takes STARTTLS out of what the server offers, and hears all that is then said."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.world.net import Host


class Stripper:
    """Stands on a host's port 25 and passes everything else on to `target`. `heard`: the octets of each client.

    Without `stripping` it passes STARTTLS on as well, and then hears nothing that it understands.
    """

    def __init__(self, host: Host, target: str, *, stripping: bool = True) -> None:
        self.stripping = stripping
        self.heard: list[bytearray] = []
        self._open: set[socket.socket] = set()
        self._host = host
        self._target = target

    @contextmanager
    def standing(self) -> Iterator["Stripper"]:
        """Be there meanwhile."""
        listener = self._host.listen(25)
        thread = threading.Thread(target=self._accept, args=(listener,))
        thread.start()
        try:
            yield self
        finally:
            listener.shutdown(socket.SHUT_RDWR)  # ends accept()
            thread.join()
            listener.close()

    def _accept(self, listener: socket.socket) -> None:
        sessions = []
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                break
            sessions.append(threading.Thread(target=self._pass_on, args=(client,)))
            sessions[-1].start()
        for session in sessions:
            session.join()

    def _pass_on(self, client: socket.socket) -> None:
        client.settimeout(30)
        heard = bytearray()
        self.heard.append(heard)
        with client, self._host.connect(self._target, 25) as server:
            self._open.add(client)
            back = threading.Thread(target=_strip if self.stripping else _pass, args=(server, client))
            back.start()
            with suppress(OSError):
                while octets := client.recv(65536):
                    heard += octets
                    server.sendall(octets)
            _shut(server)
            back.join()
            self._open.discard(client)

    def cut(self) -> None:
        """End all sessions: the next one will be as `stripping` is now."""
        for client in list(self._open):
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def heard_with(self, text: bytes) -> list[bytes]:
        """What the clients said that mentioned `text`."""
        return [bytes(heard) for heard in self.heard if text in heard]


def _strip(server: socket.socket, client: socket.socket) -> None:
    with server.makefile("rb") as replies, suppress(OSError):
        for line in replies:
            if line.strip().upper() not in (b"250-STARTTLS", b"250 STARTTLS"):
                client.sendall(line)
    _shut(client)


def _pass(server: socket.socket, client: socket.socket) -> None:
    with suppress(OSError):
        while octets := server.recv(65536):
            client.sendall(octets)
    _shut(client)


def _shut(side: socket.socket) -> None:
    with suppress(OSError):
        side.shutdown(socket.SHUT_WR)  # only this way: Exim closes its half behind QUIT and still listens
