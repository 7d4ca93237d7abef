"""The keeper of the certificate: what it takes up, what it refuses, and how it says so."""

import asyncio
import contextlib
import errno
import os
import shutil
import ssl
from pathlib import Path

import pytest
import structlog
import trustme
from cryptography.hazmat.primitives import serialization
from structlog.testing import LogCapture

from posthouse.net.channel_binding import server_end_point
from posthouse.net.tls import TlsFilesError, TlsKeeper
from tests.net.fixture import Certificate, issue, until


@pytest.fixture
def own(tmp_path: Path, certificate: Certificate) -> Certificate:
    """A copy of the certificate, for a test to spoil."""
    files = tmp_path / "certificate.pem", tmp_path / "key.pem"
    for source, target in zip(certificate.files, files, strict=True):
        shutil.copy(source, target)
    return Certificate(files, certificate.trusting)


def test_what_it_holds(own: Certificate) -> None:
    credentials = own.keeper().credentials
    assert credentials.bindings == {"tls-server-end-point": server_end_point(own.files[0].read_text())}
    context = credentials.context
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    for option in (ssl.OP_NO_RENEGOTIATION, ssl.OP_NO_COMPRESSION, ssl.OP_CIPHER_SERVER_PREFERENCE):
        assert context.options & option


@pytest.mark.parametrize("weak", ["ECDHE+AES+SHA1", "ECDHE+AES+SHA256", "AESCCM8", "AESCCM", "kRSA", "DHE"])
@pytest.mark.parametrize("issued", ["rsa", "ecdsa"])
def test_weak_suites_of_tls_1_2_are_not_offered(tmp_path: Path, weak: str, issued: str) -> None:
    """By handshakes: a client that knows only those gets none, one that knows AES-GCM as well takes that."""
    kind = trustme.KeyType.RSA if issued == "rsa" else trustme.KeyType.ECDSA
    server = issue(tmp_path / "tls", kind).keeper().credentials.context
    client = ssl.create_default_context()
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers(weak + ":@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match=r"(?i)no.shared.cipher"):
        _shake_hands(server, client)
    client.set_ciphers(weak + ":ECDHE+AESGCM:@SECLEVEL=0")
    assert "-GCM-" in _shake_hands(server, client)


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> str:
    """The suite they agree on."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(back, there), server.wrap_bio(there, back, server_side=True)]
    for _ in range(4):
        for end in ends:
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    chosen = ends[1].cipher()
    assert chosen is not None
    return chosen[0]


def test_reload_takes_up_what_is_there(own: Certificate, tmp_path: Path) -> None:
    keeper = own.keeper()
    before = keeper.credentials
    assert not keeper.reload_if_changed()
    assert keeper.credentials is before
    fresh = issue(tmp_path / "fresh")
    for source, target in zip(fresh.files, own.files, strict=True):
        shutil.copy(source, target)
    assert keeper.reload_if_changed()
    assert keeper.credentials.bindings != before.bindings
    assert not keeper.reload_if_changed()


def test_a_failed_reload_changes_nothing(own: Certificate) -> None:
    keeper = own.keeper()
    before = keeper.credentials
    own.files[0].write_text("not a certificate")
    with pytest.raises(TlsFilesError):
        keeper.reload()
    assert keeper.credentials is before
    # It is not tried again and again, only when something has changed.
    assert not keeper.reload_if_changed()


def test_a_renewal_caught_half_way_is_completed(own: Certificate, tmp_path: Path) -> None:
    keeper = own.keeper()
    fresh = issue(tmp_path / "fresh")
    shutil.copy(fresh.files[0], own.files[0])
    with pytest.raises(TlsFilesError, match=r"key\.pem does not belong to .*certificate\.pem"):
        keeper.reload_if_changed()
    shutil.copy(fresh.files[1], own.files[1])
    assert keeper.reload_if_changed()


@pytest.mark.parametrize(
    ("which", "content", "text"),
    [
        (0, None, r"the certificate file .*certificate\.pem does not exist"),
        (1, None, r"the key file .*key\.pem does not exist"),
        (0, b"\x30\x82\x01\x0a binary", r"the certificate file .*certificate\.pem holds no certificate in PEM form"),
        (1, b"", r"the key file .*key\.pem holds no key in PEM form"),
        (0, b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "cannot be used"),
        (0, b"-----BEGIN CERTIFICATE-----\nMIIB\n", "cannot be used"),
    ],
)
def test_what_it_says_of_files_it_cannot_use(own: Certificate, which: int, content: bytes | None, text: str) -> None:
    if content is None:
        own.files[which].unlink()
    else:
        own.files[which].write_bytes(content)
    with pytest.raises(TlsFilesError, match=text):
        own.keeper()


def test_a_file_it_may_not_read(own: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(path: Path, *_: object, **__: object) -> str:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "read_text", forbidden)
    with pytest.raises(TlsFilesError, match=r"Permission denied\): let the server's user read it"):
        own.keeper()


def test_a_folder_is_no_file(own: Certificate) -> None:
    own.files[1].unlink()
    own.files[1].mkdir()
    with pytest.raises(TlsFilesError, match="cannot be read"):
        own.keeper()


def test_an_encrypted_key(own: Certificate) -> None:
    key = serialization.load_pem_private_key(own.files[1].read_bytes(), None)
    encryption = serialization.BestAvailableEncryption(b"open sesame")
    form = serialization.PrivateFormat.PKCS8
    own.files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, form, encryption))
    assert TlsKeeper(*own.files, password="open sesame").credentials.bindings
    with pytest.raises(TlsFilesError, match="the key's password is right"):
        TlsKeeper(*own.files, password="wrong")
    with pytest.raises(TlsFilesError, match="the key is not encrypted"):
        TlsKeeper(*own.files)


async def test_watching(
    own: Certificate, tmp_path: Path, log: structlog.typing.FilteringBoundLogger, logged: LogCapture
) -> None:
    keeper = own.keeper()
    before = keeper.credentials
    watching = asyncio.create_task(keeper.watch(0.01, log))
    own.files[0].write_text("nonsense")
    await until(lambda: any(entry["event"] == "certificate not reloaded" for entry in logged.entries))
    assert keeper.credentials is before
    fresh = issue(tmp_path / "fresh")
    for source, target in zip(fresh.files, own.files, strict=True):
        shutil.copy(source, target)
    await until(lambda: any(entry["event"] == "certificate reloaded" for entry in logged.entries))
    assert keeper.credentials is not before
    watching.cancel()
