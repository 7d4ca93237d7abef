"""The self-signed certificate is one that clients can be told to trust."""

import datetime
import socket
import ssl
import threading
from pathlib import Path

import pytest

from posthouse.app.process.certificate import CertificateFiles, self_signed

NOW = datetime.datetime.now(datetime.UTC)


def shake(files: CertificateFiles, name: str) -> str:
    """Do a TLS handshake that trusts the certificate and demands `name`; returns the TLS version."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files.certificate, files.key)
    client = ssl.create_default_context(cafile=str(files.certificate))
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            server.wrap_socket(theirs, server_side=True).close()
        except OSError:
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(ours, server_hostname=name) as wrapped:
            return wrapped.version() or ""
    finally:
        ours.close()
        thread.join()


def test_clients_can_verify_it(tmp_path: Path) -> None:
    files = self_signed(tmp_path / "tls", ["example.test", "localhost", "127.0.0.1", "::1"], NOW)
    for name in ("example.test", "localhost", "127.0.0.1", "::1"):
        assert shake(files, name).startswith("TLS")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(files, "example.org")


def test_it_is_kept(tmp_path: Path) -> None:
    first = self_signed(tmp_path, ["example.test"], NOW)
    content = first.certificate.read_bytes()
    assert self_signed(tmp_path, ["example.test"], NOW).certificate.read_bytes() == content
    assert first.key.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["certificate.pem", "key.pem"]
