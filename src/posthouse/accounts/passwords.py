"""Password hashes: argon2id for our own, and the foreign schemes that may move in.

A stored hash reads "{SCHEME}rest". Everything here is slow by intent and belongs on a thread.

A password is prepared by SASLprep (RFC 4013) before it is hashed. Hashes from elsewhere may have been
made of the text as typed, so a check tries both forms where they differ: how many it tries depends on what the peer
sent, never on the account.

An unknown name costs what a wrong password costs, as long as the account's hash is our own; until a hash from elsewhere
is renewed by its owner's first login, its price is that scheme's. When the answer goes out says none of that: see
verifier.py.
"""

import hmac
import os
import re
from base64 import b64encode
from dataclasses import dataclass

import bcrypt
from argon2.exceptions import Argon2Error
from argon2.low_level import Type, hash_secret, verify_secret

from posthouse.accounts import sha512crypt
from posthouse.accounts.errors import BadHashError, BadPasswordError, WeakPasswordError
from posthouse.accounts.rows import Credential
from posthouse.message.credentials import ScramKeys, prepare

MAX_PASSWORD = 1024  # octets: bounds what one check can cost
SCHEMES = "{ARGON2ID}, {ARGON2I}, {BLF-CRYPT} and {SHA512-CRYPT}"

_ARGON2 = re.compile(
    r"\$(argon2id?)\$v=19\$m=([0-9]{1,9}),t=([0-9]{1,9}),p=([0-9]{1,4})\$[A-Za-z0-9+/]{11,88}\$[A-Za-z0-9+/]{16,172}"
)
_BCRYPT = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}")
_NAMED = re.compile(r"\{([A-Za-z0-9.-]{1,32})\}(.*)", re.DOTALL)
_BY_PREFIX = (("$argon2id$", "ARGON2ID"), ("$argon2i$", "ARGON2I"), ("$6$", "SHA512-CRYPT"), ("$2", "BLF-CRYPT"))
_ARGON2_TYPES = {"ARGON2ID": Type.ID, "ARGON2I": Type.I}


@dataclass(frozen=True, slots=True)
class HashCost:
    """What one hash costs. The default takes about 20 ms and 19 MiB; 50,000 SCRAM iterations take about 11 ms.

    RFC 7677 4: at least 4096 iterations. More protect a stolen directory better, but each SCRAM login makes the client,
    perhaps an old telephone, compute them again.
    """

    memory: int = 19_456  # KiB
    passes: int = 2
    lanes: int = 1
    iterations: int = 50_000


class PasswordHasher:
    """Makes and checks password hashes. Holds no state: safe on many threads at once."""

    def __init__(self, cost: HashCost | None = None) -> None:
        self.cost = cost or HashCost()
        # Never computed from a password, so nothing matches it; checking it costs what checking a real one costs.
        self._dummy = f"{{ARGON2ID}}{self._prefix()}{_unpadded(os.urandom(16))}${_unpadded(os.urandom(32))}"

    def make(self, password: str) -> Credential:
        """Hash a new password. Raises WeakPasswordError, BadPasswordError."""
        return self._make(checked_password(password))

    def check(self, stored: str | None, password: str) -> bool:
        """Whether `password` is the one behind `stored`; None stands for an account that does not exist."""
        candidates = _candidates(password)
        if not candidates:  # empty, or longer than any password: wrong, at the usual price
            stored, candidates = None, [b"-"]
        return any(_matches(stored or self._dummy, secret) for secret in candidates)

    def is_current(self, credential: Credential) -> bool:
        """Whether the credential has today's scheme and cost, and SCRAM keys."""
        scram = credential.scram
        own = credential.hash.startswith("{ARGON2ID}" + self._prefix())
        return own and scram is not None and scram.iterations == self.cost.iterations

    def renewed(self, password: str) -> Credential | None:
        """A credential of today from a password just checked; None when SASLprep forbids the password."""
        try:
            return self._make(checked_password(password))
        except (WeakPasswordError, BadPasswordError):
            return None

    def _make(self, prepared: str) -> Credential:
        cost = self.cost
        made = hash_secret(prepared.encode(), os.urandom(16), cost.passes, cost.memory, cost.lanes, 32, Type.ID)
        return Credential("{ARGON2ID}" + made.decode(), ScramKeys.derive(prepared, os.urandom(16), cost.iterations))

    def _prefix(self) -> str:
        return f"$argon2id$v=19$m={self.cost.memory},t={self.cost.passes},p={self.cost.lanes}$"


def checked_password(password: str) -> str:
    """The prepared form of a new password. Raises WeakPasswordError, BadPasswordError."""
    if not password:
        raise WeakPasswordError("the password is empty; choose one, the longer the better")
    try:
        prepared = prepare(password)
    except ValueError as error:
        raise BadPasswordError(f"the password cannot be used for logins ({error}); choose other characters") from None
    if not prepared:
        raise WeakPasswordError("nothing is left of the password once it is prepared (RFC 4013); choose another")
    if len(prepared.encode()) > MAX_PASSWORD:
        raise BadPasswordError(f"the password is longer than {MAX_PASSWORD} octets; choose a shorter one")
    return prepared


def recognised(text: str) -> str:
    """A hash from elsewhere in the form it is stored, "{SCHEME}rest". Raises BadHashError naming what is accepted."""
    scheme, rest = _scheme_of(text.strip())
    if scheme in _ARGON2_TYPES:
        _check_argon2(scheme, rest)
    elif scheme == "BLF-CRYPT":
        form = _BCRYPT.fullmatch(rest)
        if form is None or not 4 <= int(form[1]) <= 16:
            raise BadHashError("this {BLF-CRYPT} hash is damaged or costs too much; it reads $2b$12$ and 53 characters")
    elif scheme == "SHA512-CRYPT":
        parts = sha512crypt.split(rest)
        if parts is None or parts[0] > sha512crypt.MAX_ROUNDS:
            raise BadHashError(
                "this {SHA512-CRYPT} hash is damaged or costs too much; it reads $6$salt$ and 86 characters"
            )
    else:
        raise BadHashError(f"the hash scheme {scheme!a} is not known; accepted are {SCHEMES}")
    return f"{{{scheme}}}{rest}"


def looks_hashed(text: str) -> bool:
    """Whether an imported field holds a hash ("{SCHEME}..." or a bare "$argon2id$...") and not the password."""
    return any(form.fullmatch(text) for form in (_NAMED, _BCRYPT)) or text.startswith(("$argon2", "$6$"))


def _scheme_of(text: str) -> tuple[str, str]:
    named = _NAMED.fullmatch(text)
    scheme, rest = (named[1].upper(), named[2]) if named else ("", text)
    if scheme in ("", "CRYPT"):  # "{CRYPT}" says no more than the prefix does
        return next((name for prefix, name in _BY_PREFIX if rest.startswith(prefix)), scheme), rest
    return scheme, rest


def _check_argon2(scheme: str, rest: str) -> None:
    form = _ARGON2.fullmatch(rest)
    if form is None or form[1] != scheme.lower() or any(len(part) % 4 == 1 for part in rest.split("$")[4:]):
        raise BadHashError(
            f"this {{{scheme}}} hash is damaged; it reads ${scheme.lower()}$v=19$m=...,t=...,p=...$salt$digest"
        )
    memory, passes, lanes = int(form[2]), int(form[3]), int(form[4])
    if not (8 * lanes <= memory <= 1 << 18 and 1 <= passes <= 64 and 1 <= lanes <= 16):
        raise BadHashError(f"this {{{scheme}}} hash costs more than 256 MiB or 64 passes; set a new password instead")


def _candidates(password: str) -> list[bytes]:
    raw = password.encode("utf-8", "surrogatepass")
    try:
        prepared = prepare(password).encode()
    except ValueError:
        prepared = raw
    return [secret for secret in dict.fromkeys((prepared, raw)) if 0 < len(secret) <= MAX_PASSWORD]


def _matches(stored: str, secret: bytes) -> bool:
    scheme, rest = _scheme_of(stored)
    if scheme in _ARGON2_TYPES:
        try:
            return verify_secret(rest.encode(), secret, _ARGON2_TYPES[scheme])
        except Argon2Error:
            return False
    if scheme == "BLF-CRYPT":
        # bcrypt never looked past 72 octets; the library now raises there, and hashes from elsewhere relied on it.
        return bcrypt.checkpw(secret[:72], rest.encode())
    parts = sha512crypt.split(rest)
    if parts is None:
        return False
    rounds, salt, digest = parts
    return hmac.compare_digest(sha512crypt.digest(secret, salt.encode(), rounds), digest)


def _unpadded(octets: bytes) -> str:
    return b64encode(octets).rstrip(b"=").decode()
