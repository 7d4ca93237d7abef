"""TLS over memory buffers, against Python's own client end."""

import ssl

import pytest

from posthouse.net.tls import TlsKeeper
from posthouse.net.tunnel import Tunnel
from tests.net.fixture import Certificate


class Peer:
    """A client whose bytes go straight into a tunnel."""

    def __init__(self, certificate: Certificate, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.maximum_version = version
        self.tls = context.wrap_bio(self.incoming, self.outgoing)
        self.tunnel = Tunnel(TlsKeeper(*certificate.files).credentials.context)

    def shake_hands(self) -> None:
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.exchange()
        self.exchange()

    def exchange(self) -> bytes:
        plain = self.tunnel.receive(self.outgoing.read())
        self.incoming.write(self.tunnel.to_send())
        return plain


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_ways(certificate: Certificate, version: ssl.TLSVersion) -> None:
    peer = Peer(certificate, version)
    assert not peer.tunnel.established
    assert (peer.tunnel.version, peer.tunnel.cipher) == ("", "")
    peer.shake_hands()
    assert peer.tunnel.established
    assert peer.tunnel.version.replace(".", "_") == version.name
    assert peer.tunnel.cipher == (peer.tls.cipher() or ("",))[0]
    peer.tls.write(b"from the client")
    assert peer.exchange() == b"from the client"
    peer.incoming.write(peer.tunnel.send(b"from the server"))
    assert peer.tls.read() == b"from the server"


def test_many_records_at_once_and_in_pieces(certificate: Certificate) -> None:
    peer = Peer(certificate)
    peer.shake_hands()
    text = bytes(range(256)) * 400
    peer.tls.write(text)
    assert peer.exchange() == text
    peer.tls.write(text)
    sealed = peer.outgoing.read()
    assert b"".join(peer.tunnel.receive(sealed[i : i + 777]) for i in range(0, len(sealed), 777)) == text
    assert peer.tunnel.receive(b"") == b""


def test_goodbye_of_the_peer(certificate: Certificate) -> None:
    peer = Peer(certificate)
    peer.shake_hands()
    peer.tls.write(b"last words")
    with pytest.raises(ssl.SSLWantReadError):
        peer.tls.unwrap()
    assert peer.exchange() == b"last words"
    assert peer.tunnel.ended


def test_our_goodbye(certificate: Certificate) -> None:
    peer = Peer(certificate)
    peer.shake_hands()
    peer.incoming.write(peer.tunnel.close())
    assert peer.tls.read() == b""


def test_goodbye_in_the_middle_of_a_handshake(certificate: Certificate) -> None:
    peer = Peer(certificate)
    with pytest.raises(ssl.SSLWantReadError):
        peer.tls.do_handshake()
    peer.exchange()
    peer.tunnel.close()
    assert not peer.tunnel.established


def test_plain_text_is_no_handshake(certificate: Certificate) -> None:
    peer = Peer(certificate)
    with pytest.raises(ssl.SSLError):
        peer.tunnel.receive(b"EHLO me\r\n")


def test_garbage_after_the_handshake(certificate: Certificate) -> None:
    peer = Peer(certificate)
    peer.shake_hands()
    with pytest.raises(ssl.SSLError):
        peer.tunnel.receive(b"\x17\x03\x03\x00\x20" + b"z" * 32)


@pytest.mark.parametrize("version", [b"\x03\x01", b"\x03\x02"])
def test_old_versions_are_refused(certificate: Certificate, version: bytes) -> None:
    # RFC 8996: neither TLS 1.0 nor 1.1. A ClientHello by hand, for today's libraries will not say it.
    hello = version + b"r" * 32 + b"\0" + b"\0\x02\xc0\x13" + b"\x01\0"
    handshake = b"\x01" + len(hello).to_bytes(3, "big") + hello
    peer = Peer(certificate)
    with pytest.raises(ssl.SSLError):
        peer.tunnel.receive(b"\x16\x03\x01" + len(handshake).to_bytes(2, "big") + handshake)
    alert = peer.tunnel.to_send()
    assert alert[0] == 21
    assert alert[-2:] == b"\x02\x46"  # fatal, protocol_version (RFC 5246 7.2)


def test_only_ciphers_with_forward_secrecy(certificate: Certificate) -> None:
    ciphers = TlsKeeper(*certificate.files).credentials.context.get_ciphers()
    assert {cipher["name"].split("_")[0] for cipher in ciphers if cipher["protocol"] == "TLSv1.3"} == {"TLS"}
    older = [str(cipher["name"]) for cipher in ciphers if cipher["protocol"] != "TLSv1.3"]
    assert older
    assert all(name.startswith("ECDHE-") for name in older)
    # Authenticated encryption comes first.
    kinds = ["GCM" in name or "CHACHA" in name for name in older]
    assert kinds == sorted(kinds, reverse=True)
