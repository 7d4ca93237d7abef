"""A certificate and key that only root may read, as certbot leaves them, for a server that has given up root.

One small process stays root. It opens two files and nothing else, listens to nothing but its server's wish to look now,
and hands over what has changed as copies in the data folder, which a child of it writes as the server's user. So a
certificate that was renewed is taken up without a restart, and no process that speaks with clients has any rights.
"""

import os
import select
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from posthouse.app.errors import CommandError, Exit
from posthouse.app.process.certificate import CertificateFiles, write_private
from posthouse.app.system_users import User, as_user

_ANSWER_SECONDS = 2.0  # that a reload waits for the files to be looked at


class KeyReader:
    """`copies` are what the server uses. Made as root; the process ends when the last copy of this one has."""

    def __init__(self, files: CertificateFiles, folder: Path, user: User, log: FilteringBoundLogger) -> None:
        self.copies = CertificateFiles(folder / "copy-certificate.pem", folder / "copy-key.pem")
        self._files = files
        self._user = user
        self._log = log
        self._socket: socket.socket | None = None

    def start(self, every: float, close: Callable[[], None]) -> None:
        """Copy the files, then look every so many seconds whether they have changed. Raises CommandError.

        `close` lets go of what the new process has inherited and must not keep open.
        """
        try:
            octets = self._read()
        except OSError as error:
            text = f"{error.filename} cannot be read: {error.strerror}"
            raise CommandError(text, fix="Correct tls.certificate and tls.key.", code=Exit.CONFIG) from None
        if not self._hand_over(octets):
            text = f"no copy of the certificate can be made in {self.copies.key.parent}"
            raise CommandError(text, fix=f"See whether {self._user.name} may write there.", code=Exit.CONFIG)
        self._socket, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            try:
                self._socket.close()
                close()
                self._keep_looking(theirs, every, octets)
            finally:
                os._exit(0)
        theirs.close()

    def look(self) -> None:
        """Have the files looked at now; waits until that is done, for a moment at most."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.settimeout(_ANSWER_SECONDS)
                self._socket.send(b"l")
                self._socket.recv(1)

    def _keep_looking(self, server: socket.socket, every: float, octets: tuple[bytes, bytes]) -> None:
        """In the child, as root, until the server is gone."""
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):  # meant for the server, whose end ends this
            signal.signal(number, signal.SIG_IGN)
        reason = ""
        while True:
            asked = bool(select.select([server], [], [], every)[0])
            if asked and not server.recv(1):
                return
            try:
                found = self._read()
                if found != octets and self._hand_over(found):
                    octets = found
                reason = ""
            except OSError as error:
                if str(error) != reason:  # told once
                    self._log.error("the certificate cannot be read, the last one is kept", reason=error)
                reason = str(error)
            if asked:
                server.send(b"d")

    def _read(self) -> tuple[bytes, bytes]:
        return self._files.certificate.read_bytes(), self._files.key.read_bytes()

    def _hand_over(self, octets: tuple[bytes, bytes]) -> bool:
        """The key first: should a look come in between, the pair does not fit and the next look finds it whole."""
        return as_user(self._user, lambda: self._write(*octets))

    def _write(self, certificate: bytes, key: bytes) -> None:
        self.copies.key.parent.mkdir(mode=0o700, exist_ok=True)
        write_private(self.copies.key, key)
        write_private(self.copies.certificate, certificate)
