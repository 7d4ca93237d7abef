"""The Sender Rewriting Scheme: forwarded mail gets a return address of ours, which knows where bounces belong.

SRS0=hash=day=domain=local@ours stands for local@domain; SRS1=hash=host==rest@ours for an SRS0 address that another
forwarder has made, so that a bounce takes one hop back to it and no more. Others may write + or - for the first of the
signs =, and SRS1 keeps theirs, since their hash may cover it. The hash keeps anyone else from making such
addresses; the day lets them lapse. RFC 5321 leaves 64 octets for all of it: where they do not suffice, the message goes
out with the null reverse-path, since a bounce that cannot find its way must not be sent at all.
"""

import hmac
import re
from base64 import b32encode
from collections.abc import Callable

from posthouse.message.address import MAX_LOCAL, Address, AddressError

_DAYS = "abcdefghijklmnopqrstuvwxyz234567"  # base 32, as in the scheme
_PERIOD = len(_DAYS) ** 2  # days until the stamps repeat
_VALID = 21  # days; longer than any queue tries
_FORM = re.compile(r"(SRS[01])[=+-]([^=]*)=(.+)", re.IGNORECASE | re.DOTALL)  # kind, hash, what the hash covers
_BEHIND = re.compile(r"[^=]+=[=+-].+", re.DOTALL)  # what that is in SRS1: a host, and its SRS0 without the word
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
        form = _FORM.fullmatch(sender.local)
        if form is not None and form[1].upper() == "SRS0":
            local = self._sealed("SRS1", f"{sender.domain_key}={sender.local[4:]}")
        elif form is not None and _BEHIND.fullmatch(form[3]):
            local = self._sealed("SRS1", form[3])  # the first forwarder, not the one before us
        else:
            local = self._sealed("SRS0", f"{self._stamp()}={sender.domain_key}={sender.local}")
        if len(local.encode()) > MAX_LOCAL:
            return None
        return Address(local, self._domain)

    def reverse(self, address: Address) -> Address | None:
        """Where a bounce to this address belongs; None: it is no address of this scheme. Raises SrsError."""
        form = _FORM.fullmatch(address.local)
        if form is None:
            return None
        kind, seal, value = form[1].upper(), form[2], form[3]
        expected = self._seal(kind, value).encode()
        if not hmac.compare_digest(expected, seal.upper().encode("utf-8", "surrogatepass")):
            raise SrsError("not made here")
        try:
            return self._opened(kind, value)
        except AddressError as error:
            raise SrsError(str(error)) from None

    def _opened(self, kind: str, value: str) -> Address:
        if kind == "SRS1":
            host, _, rest = value.partition("=")
            return Address(f"SRS0{rest}", Address.parse(f"x@{host}").domain)
        stamp, _, rest = value.partition("=")
        domain, _, local = rest.partition("=")
        if not self._is_fresh(stamp):
            raise SrsError("too long ago")
        return Address(local, Address.parse(f"x@{domain}").domain)

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
