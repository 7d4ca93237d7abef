"""The Sender Rewriting Scheme: forwarded mail gets a return address of ours, which knows where bounces belong.

SRS0=hash=day=domain=local@ours stands for local@domain; SRS1=hash=host==rest@ours for an SRS0 address that another
forwarder has made, so that a bounce takes one hop back to it and no more. The hash keeps anyone else from making such
addresses; the day lets them lapse. RFC 5321 leaves 64 octets for all of it: where they do not suffice, the message goes
out with the null reverse-path, since a bounce that cannot find its way must not be sent at all.
"""

import hmac
from base64 import b32encode
from collections.abc import Callable

from posthouse.message.address import MAX_LOCAL, Address, AddressError

_DAYS = "abcdefghijklmnopqrstuvwxyz234567"  # base 32, as in the scheme
_PERIOD = len(_DAYS) ** 2  # days until the stamps repeat
_VALID = 21  # days; longer than any queue tries
_HASH = 8  # characters of base 32: 40 bits, asked one at a time over SMTP


class SrsError(Exception):
    """An address in our form that we did not make, or too long ago."""


class Srs:
    """`domain` is ours. `clock` gives seconds since 1970."""

    def __init__(self, secret: bytes, domain: str, clock: Callable[[], float]) -> None:
        self._secret = secret
        self._domain = domain
        self._clock = clock

    def forward(self, sender: Address) -> Address | None:
        """The return address to forward with; None, the null reverse-path, when there is no room for it."""
        kind, _, rest = sender.local.partition("=")
        if kind.upper() == "SRS0" and rest:
            local = self._sealed("SRS1", f"{sender.domain_key}=={rest}")
        elif kind.upper() == "SRS1" and rest.partition("=")[2]:
            local = self._sealed("SRS1", rest.partition("=")[2])
        else:
            local = self._sealed("SRS0", f"{self._stamp()}={sender.domain_key}={sender.local}")
        if len(local.encode()) > MAX_LOCAL:
            return None
        return Address(local, self._domain)

    def reverse(self, address: Address) -> Address | None:
        """Where a bounce to this address belongs; None: it is no address of this scheme. Raises SrsError."""
        kind, _, rest = address.local.partition("=")
        seal, _, value = rest.partition("=")
        kind = kind.upper()
        if kind not in ("SRS0", "SRS1") or not value:
            return None
        if not hmac.compare_digest(self._seal(kind, value).encode(), seal.upper().encode()):
            raise SrsError("not made here")
        try:
            return self._opened(kind, value)
        except AddressError as error:
            raise SrsError(str(error)) from None

    def _opened(self, kind: str, value: str) -> Address:
        if kind == "SRS1":
            host, _, rest = value.partition("==")
            return Address.parse(f"SRS0={rest}@{host}")
        stamp, _, rest = value.partition("=")
        domain, _, local = rest.partition("=")
        if not self._is_fresh(stamp):
            raise SrsError("too long ago")
        found = Address.parse(f"x@{domain}")
        return Address(local, found.domain)

    def _sealed(self, kind: str, value: str) -> str:
        return f"{kind}={self._seal(kind, value)}={value}"

    def _seal(self, kind: str, value: str) -> str:
        # Case-blind: servers on the way may change it.
        digest = hmac.digest(self._secret, f"{kind}={value}".lower().encode("utf-8", "surrogatepass"), "sha256")
        return b32encode(digest)[:_HASH].decode()

    def _stamp(self) -> str:
        day = int(self._clock() // 86400) % _PERIOD
        return _DAYS[day // len(_DAYS)] + _DAYS[day % len(_DAYS)]

    def _is_fresh(self, stamp: str) -> bool:
        if len(stamp) != 2 or any(letter not in _DAYS for letter in stamp.lower()):
            return False
        day = _DAYS.index(stamp[0].lower()) * len(_DAYS) + _DAYS.index(stamp[1].lower())
        age = (int(self._clock() // 86400) - day) % _PERIOD
        return age <= _VALID or age == _PERIOD - 1  # made just before a clock was set back
