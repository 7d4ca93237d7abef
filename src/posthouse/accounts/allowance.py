"""How much an account may send: messages, and recipients it never wrote to before, in any 24 hours.

A stolen password is first noticed by what is sent with it. Who writes to strangers by the hundred is stopped; who
writes to people they know is not.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from hashlib import blake2b
from typing import Protocol

from posthouse.accounts.interface import Account
from posthouse.message.address import Address

PERIOD = 86400  # seconds
_CLOCK_SLACK = 3600  # seconds; what was counted later than this from now was counted while the clock was ahead


class Limit(Enum):
    """What there is too much of."""

    MESSAGES = "messages"
    RECIPIENTS = "new recipients"


@dataclass(frozen=True, slots=True)
class Excess:
    """A bound that this message would pass. `lifts`: when there is room again, seconds since 1970; 0: never."""

    kind: Limit
    limit: int
    lifts: int


class AllowanceRows(Protocol):
    """The counters, shared by all processes."""

    def sent(self, account: int, since: int) -> list[int]:
        """When the account sent messages after `since`, ascending."""

    def strangers(self, account: int, recipients: Sequence[bytes]) -> set[bytes]:
        """Those of the recipients that the account never wrote to."""

    def met(self, account: int, since: int) -> list[int]:
        """When the account first wrote to somebody, after `since`, ascending."""

    def add(self, account: int, recipients: Sequence[bytes], now: int) -> None:
        """Count one message to these."""


class Allowance:
    """`default_messages`, `default_recipients`: for accounts without bounds of their own; 0: no bound."""

    def __init__(
        self,
        rows: AllowanceRows,
        clock: Callable[[], float],
        *,
        default_messages: int = 0,
        default_recipients: int = 0,
    ) -> None:
        self._rows = rows
        self._clock = clock
        self._default_messages = default_messages
        self._default_recipients = default_recipients

    def check(self, account: Account, recipients: Sequence[Address]) -> Excess | None:
        """Whether the account may send a message to these now; None: yes."""
        now = int(self._clock())
        since = now - PERIOD
        limit = self._limit(account.day_messages, self._default_messages)
        if limit is not None:
            sent = _until(now, self._rows.sent(account.id, since))
            if len(sent) + 1 > limit:
                return _excess(Limit.MESSAGES, limit, sent, 1)
        limit = self._limit(account.day_recipients, self._default_recipients)
        if limit is not None:
            strangers = len(self._rows.strangers(account.id, _hashed(recipients)))
            met = _until(now, self._rows.met(account.id, since)) if strangers else []
            if strangers and len(met) + strangers > limit:
                return _excess(Limit.RECIPIENTS, limit, met, strangers)
        return None

    def count(self, account: Account, recipients: Sequence[Address]) -> None:
        """The account has sent a message to these. Costs nothing where nothing is bounded."""
        messages = self._limit(account.day_messages, self._default_messages)
        if messages is not None or self._limit(account.day_recipients, self._default_recipients) is not None:
            self._rows.add(account.id, _hashed(recipients), int(self._clock()))

    @staticmethod
    def _limit(own: int | None, default: int) -> int | None:
        return own if own is not None else default or None


def _until(now: int, times: Sequence[int]) -> list[int]:
    """Without those that lie ahead: after a clock was set back they would count until it has caught up."""
    return [at for at in times if at <= now + _CLOCK_SLACK]


def _excess(kind: Limit, limit: int, times: Sequence[int], more: int) -> Excess:
    """When enough of `times` are a day old that `more` fit again."""
    surplus = len(times) + more - limit
    if more > limit or surplus > len(times):
        return Excess(kind, limit, 0)
    return Excess(kind, limit, times[surplus - 1] + PERIOD)


def _hashed(recipients: Sequence[Address]) -> list[bytes]:
    return [
        blake2b(f"{each.local.lower()}@{each.domain_key}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
        for each in recipients
    ]
