"""Passwords that were found right, so that argon2id is paid for once a server and not at each login (decision 032).

What is kept of one is a digest, under a key of 32 random octets, of the password together with the very hash it was
compared with, its account and that account's generation. So it says no more than "this password fits this hash", which
stays true: after a change of the password, a removal, or a directory that was restored, another digest is asked for.
Without the key the digests cannot even be tried out; it never stands where they do (app/process/login_key.py).

Each process has its own in memory; all of them share rows that outlive a restart.
"""

import os
import time
from collections.abc import Callable
from hashlib import blake2b
from typing import Protocol

from posthouse.accounts.login_names import LoginName

KEY_OCTETS = 32
DAY = 86_400.0


class VerifiedPasswordRows(Protocol):
    """Where digests live that all processes share. Neither raises: what cannot be had or kept costs one more hash."""

    def until(self, fingerprint: bytes) -> float | None:
        """Until when it counts, in seconds since 1970; None when it is not there."""

    def add(self, fingerprint: bytes, until: float, now: float) -> None:
        """Keep it. Bounded in number: those that end first go first."""


class VerifiedPasswordCache:
    """A bounded set of digests, each for some seconds from the hash that found it right. `clock` is monotonic."""

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        seconds: float = DAY,
        bound: int = 16_384,
        key: bytes | None = None,
        rows: VerifiedPasswordRows | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """`key`: the one of all processes that share `rows`; without, one of this object's own."""
        self._clock = clock
        self._seconds = seconds
        self._bound = bound
        self._key = key or os.urandom(KEY_OCTETS)
        self._rows = rows
        self._wall_clock = wall_clock
        self._until: dict[bytes, float] = {}

    def fingerprint(self, login_name: LoginName, password: str, stored: str | None = None) -> bytes:
        """What stands for this password held against the hash of that login, or `stored`. The same cost for all."""
        login = login_name.login
        credential = login.credential if login is not None else None
        hashed = stored or (credential.hash if credential is not None else "")
        account, generation = (login.account.id, login.generation) if login is not None else (0, -1)
        text = f"{account}:{generation}:{len(hashed)}:{len(login_name.name)}:{hashed}{login_name.name}{password}"
        return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16, key=self._key).digest()

    def holds(self, fingerprint: bytes) -> bool:
        """Whether this was right less than `seconds` ago, here or in another process."""
        until = self._until.get(fingerprint)
        if until is not None and self._clock() < until:
            return True
        left = self._left_in_rows(fingerprint)
        if left <= 0:
            return False
        self._keep(fingerprint, self._clock() + left)
        return True

    def add(self, fingerprint: bytes) -> None:
        """Remember what was right just now."""
        if self._seconds <= 0:
            return
        self._keep(fingerprint, self._clock() + self._seconds)
        if self._rows is not None:
            now = self._wall_clock()
            self._rows.add(fingerprint, now + self._seconds, now)

    def _left_in_rows(self, fingerprint: bytes) -> float:
        """Seconds; 0 when it is not there. What ends later than anything can was written by a clock that was ahead."""
        until = self._rows.until(fingerprint) if self._rows is not None else None
        left = until - self._wall_clock() if until is not None else 0.0
        return left if left <= self._seconds else 0.0

    def _keep(self, fingerprint: bytes, until: float) -> None:
        self._until.pop(fingerprint, None)
        self._until[fingerprint] = until
        while len(self._until) > self._bound:
            del self._until[next(iter(self._until))]  # the one that was kept first
