"""TLS over two memory buffers: raw bytes in and out, plain bytes in and out. No socket, no clock.

The event loops' own TLS transports are not used, for three reasons: bytes that came before the handshake (behind a
PROXY header) can be handed in, bytes that must not survive it (RFC 3207 4.2) never get near it, and an idle connection
costs no receive buffer.
"""

import contextlib
import ssl

# RFC 8446 5.1: a record holds at most 2^14 octets of plain text, and one call reads at most one record.
_RECORD = 1 << 14
_DER = 2  # _ssl.ENCODING_DER


class Tunnel:
    """One end of a TLS connection: the client's if `towards` names whom it wants, else the server's.

    Any method may raise ssl.SSLError; what to_send() has is still to go.
    """

    __slots__ = ("_incoming", "_outgoing", "_tls", "ended", "established")

    def __init__(self, context: ssl.SSLContext, *, towards: str | None = None) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=towards is None, server_hostname=towards or None
        )
        self.established = False  # the handshake is done
        self.ended = False  # the peer has sent close_notify: nothing more will come

    @property
    def version(self) -> str:
        """The version of TLS, as "TLSv1.3"; "" before the handshake."""
        return self._tls.version() or ""

    @property
    def cipher(self) -> str:
        """The name of the cipher suite; "" before the handshake."""
        chosen = self._tls.cipher()
        return chosen[0] if chosen else ""

    @property
    def finished(self) -> bytes:
        """The first Finished message: the channel binding tls-unique (RFC 5929 3). Only for TLS 1.2."""
        return self._tls.get_channel_binding("tls-unique") or b""

    @property
    def chain(self) -> tuple[bytes, ...]:
        """The certificates the other end showed, its own first, as DER; nothing about them is checked here."""
        # The public way to the whole chain comes with Python 3.13; DANE-TA needs more than the first.
        chain = self._tls._sslobj.get_unverified_chain() or ()  # type: ignore[attr-defined]
        return tuple(certificate.public_bytes(_DER) for certificate in chain)

    def begin(self) -> bytes:
        """A client speaks first; returns what is to go to the network."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self._tls.do_handshake()
        return self._outgoing.read()

    def receive(self, raw: bytes) -> bytes:
        """Take what came from the network; returns what it says in plain."""
        self._incoming.write(raw)
        if not self.established:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                return b""
            self.established = True
        return self._read()

    def _read(self) -> bytes:
        parts: list[bytes] = []
        try:
            while self._incoming.pending or self._tls.pending():
                part = self._tls.read(_RECORD)
                if not part:
                    self.ended = True
                    break
                parts.append(part)
        except ssl.SSLWantReadError:
            pass  # the rest of a record is still to come
        except ssl.SSLZeroReturnError:
            self.ended = True
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def send(self, plain: bytes) -> bytes:
        """Seal `plain`, which is not empty; returns what is to go to the network."""
        self._tls.write(plain)
        return self._outgoing.read()

    def to_send(self) -> bytes:
        """What TLS itself has to say: handshake messages and alerts."""
        return self._outgoing.read()

    def close(self) -> bytes:
        """Say close_notify (RFC 8446 6.1); returns what is to go to the network. Never raises."""
        try:
            self._tls.unwrap()
        except ssl.SSLError:
            # The peer's own close_notify is not here yet, or the handshake never ended. Nothing depends on it.
            return self._outgoing.read()
        return self._outgoing.read()
