"""SASL mechanisms, the server's side, as machines of steps: bytes of a response in, a Step out (RFC 4422).

The engine that carries an Exchange does the base64, the `*` that cancels, and the framing. An Exchange never raises for
what a peer sends: what cannot be read is Malformed. Names come out as they were sent; they are prepared where
they are looked up (RFC 4013, message/credentials.py).
"""

import binascii
import hashlib
import hmac
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from posthouse.message.credentials import ScramKeys, prepare
from posthouse.protocol.events import KeysWanted, LoginFailed, LoginProven, PasswordOffered

MAX_LINE = 12_288  # octets of one response in base64, with CRLF (RFC 4954 4, RFC 5034 4)
MAX_RESPONSE = MAX_LINE // 4 * 3


@dataclass(frozen=True, slots=True)
class Challenge:
    """Send this to the client and give its response to respond()."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Malformed:
    """The response broke the mechanism's grammar; the exchange is over."""

    reason: str


Step = Challenge | PasswordOffered | KeysWanted | LoginProven | LoginFailed | Malformed
_BINDING_TYPES = ("tls-server-end-point", "tls-unique", "tls-exporter")  # RFC 5929, RFC 9266


def mechanisms(*, bindings: Mapping[str, bytes], plaintext_ok: bool, scram: bool = True) -> tuple[str, ...]:
    """The names to announce, best first. Without `scram` passwords come as they are typed, or not at all."""
    plain = ("PLAIN", "LOGIN") if plaintext_ok else ()
    if not scram:
        return plain
    plus = ("SCRAM-SHA-256-PLUS",) if bindings else ()
    return (*plus, "SCRAM-SHA-256", *plain)


def decoded(line: bytes) -> bytes | None:
    """A response out of strict base64, or None."""
    if len(line) % 4 or line.endswith(b"==="):
        return None  # the strict mode below takes padding that nothing needs
    try:
        return binascii.a2b_base64(line, strict_mode=True)
    except binascii.Error:
        return None


class Exchange:
    """One authentication. `final` is what the server still has to say once LoginProven was granted."""

    def __init__(self, mechanism: str, *, bindings: Mapping[str, bytes], nonce: Callable[[], str]) -> None:
        self.final = b""
        self._scram: _Scram | None = None
        self._login = b""
        self._mechanism = mechanism
        self._next: Callable[[bytes], Step]
        if mechanism == "PLAIN":
            self._next = _plain
        elif mechanism == "LOGIN":
            self._next = self._login_name
        elif mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"):
            self._scram = _Scram(bindings, plus=mechanism.endswith("-PLUS"), announced_plus=bool(bindings), nonce=nonce)
            self._next = self._scram.first
        else:
            raise ValueError(f"{mechanism!r} is not among mechanisms()")

    def begin(self, initial: bytes | None) -> Step:
        """Start, with the initial response where the client sent one (b"" for "=")."""
        if initial is not None:
            return self.respond(initial)
        return Challenge(b"Username:" if self._mechanism == "LOGIN" else b"")

    def respond(self, data: bytes) -> Step:
        """The client's next response."""
        if len(data) > MAX_RESPONSE:
            return Malformed("response too long")
        return self._next(data)

    def provide_keys(self, keys: ScramKeys) -> Step:
        """Answer to KeysWanted."""
        assert self._scram is not None
        step = self._scram.challenge(keys)
        self._next = self._scram_last
        return step

    def _scram_last(self, data: bytes) -> Step:
        assert self._scram is not None
        step = self._scram.last(data)
        if isinstance(step, LoginProven):
            self.final = self._scram.server_final
        return step

    def _login_name(self, data: bytes) -> Step:
        self._login = data
        self._next = self._login_password
        return Challenge(b"Password:")

    def _login_password(self, data: bytes) -> Step:
        return _offer(self._login, data, b"")


def _plain(data: bytes) -> Step:
    # RFC 4616 2: [authzid] NUL authcid NUL passwd
    parts = data.split(b"\0")
    if len(parts) != 3:
        return Malformed("PLAIN wants authzid NUL login NUL password")
    return _offer(parts[1], parts[2], parts[0])


def _offer(login: bytes, password: bytes, authzid: bytes) -> Step:
    if not login or not password:
        return Malformed("login or password is empty")
    try:
        return PasswordOffered(login.decode(), password.decode(), authzid.decode())
    except UnicodeDecodeError:
        return Malformed("login or password is not UTF-8")


class _Scram:
    """SCRAM-SHA-256 and -PLUS, the server (RFC 5802 5, RFC 7677)."""

    def __init__(
        self, bindings: Mapping[str, bytes], *, plus: bool, announced_plus: bool, nonce: Callable[[], str]
    ) -> None:
        self.server_final = b""
        self._bindings = bindings
        self._plus = plus
        self._announced_plus = announced_plus
        self._make_nonce = nonce
        self._binding = b""
        self._gs2 = b""
        self._bare = self._client_nonce = self._full_nonce = self._server_first = ""
        self._login = self._authzid = ""
        self._keys: ScramKeys | None = None

    def first(self, data: bytes) -> Step:
        """client-first-message -> KeysWanted."""
        try:
            text = data.decode()
        except UnicodeDecodeError:
            return Malformed("not UTF-8")
        flag, _, rest = text.partition(",")
        authzid, _, bare = rest.partition(",")
        if (fault := self._bind(flag)) is not None:
            return fault
        if authzid and not authzid.startswith("a="):
            return Malformed("authzid")
        fields = bare.split(",")
        # RFC 5802 5.1: m= is an extension that must be understood; we understand none.
        if len(fields) < 2 or not fields[0].startswith("n=") or not fields[1].startswith("r="):
            return Malformed("client-first-message")
        self._gs2 = f"{flag},{authzid},".encode()
        self._bare = bare
        self._client_nonce = fields[1][2:]
        login, proxied = _saslname(fields[0][2:]), _saslname(authzid[2:])
        if not login or proxied is None or (authzid and not proxied) or not _printable(self._client_nonce):
            return Malformed("names or nonce")
        self._login, self._authzid = login, proxied
        return KeysWanted(login)

    def _bind(self, flag: str) -> Malformed | None:
        if flag.startswith("p="):
            name = flag[2:]
            if not self._plus or name not in _BINDING_TYPES or name not in self._bindings:
                return Malformed("channel binding not supported")
            self._binding = self._bindings[name]
        elif self._plus:
            return Malformed("-PLUS without channel binding")
        elif flag == "y" and self._announced_plus:
            # RFC 5802 6: the client believes we cannot bind, yet we announced it: someone took it out on the way.
            return Malformed("downgrade")
        elif flag not in ("n", "y"):
            return Malformed("gs2 header")
        return None

    def challenge(self, keys: ScramKeys) -> Challenge:
        """server-first-message."""
        self._keys = keys
        self._full_nonce = self._client_nonce + self._make_nonce()
        salt = b64encode(keys.salt).decode()
        self._server_first = f"r={self._full_nonce},s={salt},i={keys.iterations}"
        return Challenge(self._server_first.encode())

    def last(self, data: bytes) -> Step:
        """client-final-message -> LoginProven or LoginFailed."""
        without_proof, mark, proof64 = data.rpartition(b",p=")
        fields = without_proof.split(b",")
        if not mark or len(fields) < 2 or not fields[0].startswith(b"c=") or not fields[1].startswith(b"r="):
            return Malformed("client-final-message")
        proof, bound = decoded(proof64), decoded(fields[0][2:])
        if proof is None or bound is None:
            return Malformed("base64")
        if fields[1][2:] != self._full_nonce.encode() or len(proof) != 32:
            return Malformed("nonce or proof")
        keys = self._keys
        assert keys is not None
        message = f"{self._bare},{self._server_first},".encode() + without_proof
        signature = hmac.digest(keys.stored_key, message, "sha256")
        client_key = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
        proven = hmac.compare_digest(hashlib.sha256(client_key).digest(), keys.stored_key)
        if not proven or not hmac.compare_digest(bound, self._gs2 + self._binding):
            return LoginFailed(self._login)
        self.server_final = b"v=" + b64encode(hmac.digest(keys.server_key, message, "sha256"))
        return LoginProven(self._login, self._authzid)


def _saslname(text: str) -> str | None:
    """Undo =2C and =3D; None when "=" stands otherwise, or when SASLprep forbids the name (RFC 5802 5.1)."""
    if "=" in text.replace("=2C", "").replace("=3D", ""):
        return None
    name = text.replace("=2C", ",").replace("=3D", "=")
    try:
        return name if prepare(name) else ""
    except ValueError:
        return None


def _printable(nonce: str) -> bool:
    return bool(nonce) and all("!" <= char <= "~" for char in nonce)
