"""How much an account may send: messages, and recipients it never wrote to before, in any 24 hours.

A stolen password is first noticed by what is sent with it. An account that writes to hundreds of
new recipients is stopped; one that writes to people it knows is not.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from hashlib import blake2b
from typing import Protocol

from posthouse.accounts.interface import UNBOUNDED, Account
from posthouse.message.address import Address

PERIOD = 86400  # seconds
_CLOCK_SLACK = 3600  # seconds


class Limit(Enum):
    """What there is too much of."""

    MESSAGES = "messages"
    RECIPIENTS = "new recipients"


@dataclass(frozen=True, slots=True)
class LimitExceeded:
    """A limit that this message would pass. `lifts`: when there is room again, seconds since 1970; 0: never."""

    kind: Limit
    limit: int
    lifts: int


@dataclass(frozen=True, slots=True)
class Taken:
    """One message that was counted, and those of its recipients that the account had never written to."""

    account: int
    row: int
    new_recipients: tuple[bytes, ...]
    at: int


class SendingLimitRows(Protocol):
    """The counters, shared by all processes."""

    def count_sent(self, account: int, since: int, until: int) -> int:
        """How many messages the account sent after `since`, up to `until`."""

    def sent(self, account: int, since: int) -> list[int]:
        """When the account sent messages after `since`, ascending."""

    def new_recipients(self, account: int, recipients: Sequence[bytes]) -> set[bytes]:
        """Those of the recipients that the account never wrote to."""

    def count_first_contacts(self, account: int, since: int, until: int) -> int:
        """To how many the account first wrote after `since`, up to `until`."""

    def first_contacts(self, account: int, since: int) -> list[int]:
        """When the account first wrote to somebody, after `since`, ascending."""

    def transaction(self) -> AbstractContextManager[None]:
        """What is asked and added within is one: nobody else adds meanwhile."""

    def add(self, account: int, recipients: Sequence[bytes], now: int) -> Taken:
        """Count one message to these, within a transaction."""

    def remove(self, taken: Taken) -> None:
        """Take one message out of the count again."""


class SendingLimits:
    """`default_messages`, `default_recipients`: for accounts without bounds of their own; 0: no bound."""

    def __init__(
        self,
        rows: SendingLimitRows,
        clock: Callable[[], float],
        *,
        default_messages: int = 0,
        default_recipients: int = 0,
    ) -> None:
        self._rows = rows
        self._clock = clock
        self._default_messages = default_messages
        self._default_recipients = default_recipients

    def take(self, account: Account, recipients: Sequence[Address]) -> Taken | LimitExceeded | None:
        """Count a message to these, if the account may send it now: many sessions at once pass no bound.

        None: it may, and nothing is counted because nothing is bounded. Give back what is not sent after all.
        """
        messages = self._limit(account.day_messages, self._default_messages)
        new_recipients = self._limit(account.day_recipients, self._default_recipients)
        if messages is None and new_recipients is None:
            return None
        now, hashed = int(self._clock()), _hashed(recipients)
        with self._rows.transaction():
            exceeded = self._exceeded(account, hashed, now, messages, new_recipients)
            return exceeded if exceeded is not None else self._rows.add(account.id, hashed, now)

    def give_back(self, taken: Taken) -> None:
        """The message was not taken in."""
        with self._rows.transaction():
            self._rows.remove(taken)

    def _exceeded(
        self, account: Account, recipients: Sequence[bytes], now: int, messages: int | None, new: int | None
    ) -> LimitExceeded | None:
        # What was counted later than `until` was counted while the clock was ahead: it would count for too long.
        since, until = now - PERIOD, now + _CLOCK_SLACK
        if messages is not None and self._rows.count_sent(account.id, since, until) + 1 > messages:
            times = [at for at in self._rows.sent(account.id, since) if at <= until]
            return _limit_exceeded(Limit.MESSAGES, messages, times, 1)
        more = len(self._rows.new_recipients(account.id, recipients)) if new is not None else 0
        if new is not None and more and self._rows.count_first_contacts(account.id, since, until) + more > new:
            times = [at for at in self._rows.first_contacts(account.id, since) if at <= until]
            return _limit_exceeded(Limit.RECIPIENTS, new, times, more)
        return None

    @staticmethod
    def _limit(own: int | None, default: int) -> int | None:
        if own == UNBOUNDED:
            return None
        return own if own is not None else default or None


def _limit_exceeded(kind: Limit, limit: int, times: Sequence[int], more: int) -> LimitExceeded:
    """When enough of `times` are a day old that `more` fit again."""
    surplus = len(times) + more - limit
    if more > limit or surplus > len(times):
        return LimitExceeded(kind, limit, 0)
    return LimitExceeded(kind, limit, times[surplus - 1] + PERIOD)


def _hashed(recipients: Sequence[Address]) -> list[bytes]:
    return [
        blake2b(f"{each.local.lower()}@{each.domain_key}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
        for each in recipients
    ]
