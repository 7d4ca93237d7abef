"""The server's certificate and how TLS is spoken; a new certificate is taken up without a restart."""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from posthouse.net.channel_binding import server_end_point

# Forward secrecy and authenticated encryption always (RFC 9325 4.1, 4.2): no CBC, no CCM, and none of the short tags of
# CCM_8. TLS 1.2 without AES-GCM is long gone.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


class TlsFilesError(Exception):
    """The certificate or key cannot be used. The text names the file and the way out."""


@dataclass(frozen=True, slots=True)
class TlsInfo:
    """What was agreed in a TLS handshake."""

    version: str  # "TLSv1.3"
    cipher: str  # "TLS_AES_256_GCM_SHA384"
    # Channel bindings by name (RFC 5929): with TLS 1.2 "tls-unique", and "tls-server-end-point" where there is one.
    # None with TLS 1.3: that is bound by "tls-exporter" (RFC 9266), and Python's ssl cannot export keying material.
    bindings: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What one handshake needs. They belong together: a binding names the certificate that its context shows."""

    context: ssl.SSLContext
    bindings: Mapping[str, bytes]


class TlsKeeper:
    """Holds the credentials for new handshakes. Raises TlsFilesError if the files cannot be used."""

    def __init__(self, certificate: Path, key: Path, *, password: str = "") -> None:
        self._certificate = certificate
        self._key = key
        self._password = password
        self._marks = self._look()
        self.credentials = self._load()

    def reload(self) -> None:
        """Take up the files as they are now; open connections go on as they are.

        Raises TlsFilesError if they cannot be used; then what was loaded before stays.
        """
        self._marks = self._look()
        self.credentials = self._load()

    def reload_if_changed(self) -> bool:
        """Reload if a file was written or replaced since the last load; returns whether. Raises TlsFilesError."""
        if self._look() == self._marks:
            return False
        self.reload()
        return True

    async def watch(self, every: float, log: FilteringBoundLogger) -> None:
        """Look every so many seconds, for ever, whether the files have changed, and take them up."""
        while True:
            await asyncio.sleep(every)
            try:
                if self.reload_if_changed():
                    log.info("certificate reloaded", certificate=str(self._certificate))
            except TlsFilesError as error:
                log.error("certificate not reloaded", reason=error)

    def _look(self) -> tuple[object, ...]:
        marks: list[object] = []
        for path in (self._certificate, self._key):
            try:
                status = path.stat()
            except OSError as error:
                marks.append(error.errno)
            else:
                marks.append((status.st_mtime_ns, status.st_ino, status.st_size))
        return tuple(marks)

    def _load(self) -> Credentials:
        pem = self._read(self._certificate, "certificate")
        self._read(self._key, "key")
        context = _context()
        try:
            context.load_cert_chain(self._certificate, self._key, lambda: self._password)
        except (OSError, ValueError) as error:
            raise TlsFilesError(self._explained(error)) from None
        binding = server_end_point(pem)
        return Credentials(context, {} if binding is None else {"tls-server-end-point": binding})

    def _read(self, path: Path, what: str) -> str:
        try:
            text = path.read_text("ascii", errors="replace")
        except FileNotFoundError:
            raise TlsFilesError(f"the {what} file {path} does not exist: create it, or correct its path") from None
        except OSError as error:
            text = f"the {what} file {path} cannot be read ({error.strerror}): let the server's user read it"
            raise TlsFilesError(text) from None
        mark = "CERTIFICATE-----" if what == "certificate" else "PRIVATE KEY-----"
        if f"-----BEGIN {mark}" not in text.replace("RSA ", "").replace("EC ", "").replace("ENCRYPTED ", ""):
            raise TlsFilesError(f"the {what} file {path} holds no {what} in PEM form: convert it with openssl")
        return text

    def _explained(self, error: OSError | ValueError) -> str:
        reason = error.reason if isinstance(error, ssl.SSLError) else str(error)
        if reason == "KEY_VALUES_MISMATCH":
            return f"the key file {self._key} does not belong to {self._certificate}: name the two that do"
        if self._password:
            hint = "check that both are whole, and that the key's password is right"
        else:
            hint = "check that both are whole, and that the key is not encrypted"
        return f"{self._certificate} and {self._key} cannot be used ({reason}): {hint}"


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 8996, RFC 8997
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION  # RFC 9325 3.3, 3.5
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    context.num_tickets = 1  # mail clients rarely resume, and each ticket is sent in every handshake
    return context
