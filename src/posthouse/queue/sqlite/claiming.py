"""Finds what is due and claims it, and gives claims back.

Every function runs inside one transaction that its caller has opened. Times are in seconds since 1970.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import apsw
import msgspec

from posthouse.queue.interface import Delay, QueuedMessage, Try, Waiting
from posthouse.queue.sqlite.recording import add_try
from posthouse.queue.sqlite.rows import MESSAGE, UnreadableRowError, fetch_all, message_of, recipient_of

JOB_RECIPIENTS = 100  # of one message, claimed at once
_REPORTED_AT_ONCE = 50  # of those that wait for a destination that is down
_LOOKED_AT = 5000  # recipients of a destination, for those that may be taken
_FREE = "queued_recipient INDEXED BY queued_free WHERE state = 0 AND held = 0 AND claim = 0 AND destination = ?1"
_DUE = """
    SELECT destination FROM destination_due INDEXED BY destination_due_first
    WHERE due <= ?1 AND destination NOT IN (SELECT value FROM json_each(?2)) ORDER BY due, destination LIMIT ?3
"""
_DUE_OF = """
    SELECT d.destination FROM json_each(?2) j CROSS JOIN destination_due d ON d.destination = j.value
    WHERE d.due <= ?1 ORDER BY d.due, d.destination LIMIT ?3
"""
_NEXT = f"SELECT number, n FROM {_FREE} AND due <= ?2 ORDER BY due, number, n LIMIT ?3"
_FIRST = f"SELECT min(due) FROM {_FREE}"
_CLAIM = """
    UPDATE queued_recipient SET claim = ?3 WHERE number = ?1 AND n = ?2 AND state = 0 AND held = 0 AND claim = 0
    RETURNING number, n, address, notify, orcpt, destination, attempts, warned, due
"""
_LATE = f"""
    SELECT number, n, due, attempts, warned FROM {_FREE} AND due <= ?2 ORDER BY due, number, n LIMIT ?3
"""
_SET_ASIDE = "UPDATE queued_recipient SET held = 1, claim = 0 WHERE number = ? AND n = ?"
_LIFE = "SELECT created, expires, clock_offset FROM queued WHERE number = ?"
_POSTPONE = """
    UPDATE queued_recipient SET due = ?3, attempts = attempts + 1, written = ?4 WHERE number = ?1 AND n = ?2
"""
_MESSAGE = f"SELECT {MESSAGE} FROM queued WHERE number = ?"
_CLAIMED_BY = "SELECT number, n, held FROM queued_recipient INDEXED BY queued_claimed WHERE claim = ? AND claim <> 0"
_RELEASE = "UPDATE queued_recipient SET claim = 0 WHERE number = ?1 AND n = ?2 AND claim = ?3"


def _as_json(names: Collection[str]) -> str:
    return msgspec.json.encode(list(names)).decode()


def due(connection: apsw.Connection, now: int, busy: Collection[str], limit: int) -> list[str]:
    """The destinations that something is due for, the oldest first, but for the `busy` ones."""
    return [name for (name,) in fetch_all(connection, _DUE, (now, _as_json(busy), limit))]


def due_of(connection: apsw.Connection, now: int, only: Collection[str], limit: int) -> list[str]:
    """Those of the destinations that something is due for, the oldest first."""
    return [name for (name,) in fetch_all(connection, _DUE_OF, (now, _as_json(only), limit))]


class Claim:
    """One round of claiming for the claimer `token`. What is `holding` in memory is left alone.

    What cannot be read is held, so that it keeps nothing else waiting, and named in `unreadable`.
    """

    def __init__(
        self, connection: apsw.Connection, token: int, now: int, holding: Collection[tuple[int, int]] = ()
    ) -> None:
        self._connection = connection
        self._token = token
        self._now = now
        self._holding = holding
        self._messages: dict[int, QueuedMessage] = {}
        self.unreadable: list[str] = []

    def take_due(self, shares: Mapping[str, int], limit: int) -> list[Waiting]:
        """Take what is due: for each destination up to so many messages."""
        taken: list[Waiting] = []
        for destination, share in shares.items():
            if len(taken) >= limit:
                break
            rows = self._connection.execute(_NEXT, (destination, self._now, _LOOKED_AT))
            chosen = self._choose(rows, share, limit - len(taken))
            rows.close()
            for number, n in chosen:
                taken += self._take(number, n)
            self._note_first(destination)
        return taken

    def _choose(self, rows: Iterable[tuple[int, int]], share: int, limit: int) -> list[tuple[int, int]]:
        """The first rows, of `share` messages at most, so many of each as go into one job."""
        counts: dict[int, int] = {}
        chosen: list[tuple[int, int]] = []
        for number, n in rows:
            if (number, n) in self._holding or counts.get(number, 0) >= JOB_RECIPIENTS:
                continue
            if len(chosen) >= limit or (number not in counts and len(counts) >= share):
                break
            counts[number] = counts.get(number, 0) + 1
            chosen.append((number, n))
        return chosen

    def postpone(
        self, destination: str, tried: Try, later: Callable[[Delay], int | None], limit: int, offset: int
    ) -> list[Waiting]:
        """Count what is due for a destination that is down as tried, without a try; claims what needs more than that.

        `later` gives the next due time; None when the sender has to be notified. One that an operator wants tried is
        claimed, too: it will show whether the destination is still down. `offset`: see QueuedMessage.clock_offset.
        """
        taken: list[Waiting] = []
        is_wanted = False
        due_again = self._due_again(later, offset)
        for number, n, when, attempts, warned in fetch_all(self._connection, _LATE, (destination, self._now, limit)):
            if len(taken) >= _REPORTED_AT_ONCE:
                break
            if (number, n) in self._holding or (when == 0 and is_wanted):
                continue
            again = due_again(number, attempts, bool(warned)) if when else None
            if again is None:
                found = self._take(number, n)
                is_wanted = is_wanted or (when == 0 and bool(found))
                taken += found
                continue
            self._connection.execute(_POSTPONE, (number, n, again, self._now))
            if attempts == 0:  # so that people see why it waits; the same again for each later one would fill the disk
                add_try(self._connection, number, n, tried)
        self._note_first(destination)
        return taken

    def _due_again(self, later: Callable[[Delay], int | None], offset: int) -> Callable[[int, int, bool], int | None]:
        """When a recipient is due again, by number, attempts and whether its sender was warned."""

        @cache  # those of one message are due again together, and leave in one transaction again
        def due_again(number: int, attempts: int, warned: bool) -> int | None:
            for created, expires, written in fetch_all(self._connection, _LIFE, (number,)):
                step = offset - written
                return later(Delay(attempts, warned, created + step, expires + step))
            return None  # where its message is missing it is claimed only to be set aside

        return due_again

    def _take(self, number: int, n: int) -> list[Waiting]:
        try:
            return [self._claimed(row) for row in fetch_all(self._connection, _CLAIM, (number, n, self._token))]
        except (UnreadableRowError, UnicodeDecodeError) as error:
            # Held: an operator may look at it, and drop it.
            self._connection.execute(_SET_ASIDE, (number, n))
            self.unreadable.append(f"recipient {n} of message {number} in the queue: {error}")
            return []

    def _claimed(self, row: Sequence[Any]) -> Waiting:
        number, n, address, notify, orcpt, destination, attempts, warned, when = row
        message = self._messages.get(number)
        if message is None:
            for found in fetch_all(self._connection, _MESSAGE, (number,)):
                message = self._messages[number] = message_of(found)
        if message is None:
            raise UnreadableRowError("its message is missing")
        recipient = recipient_of(address, notify, orcpt)
        return Waiting(message, n, recipient, destination, attempts, bool(warned), urgent=when == 0)

    def _note_first(self, destination: str) -> None:
        """Put right when the first free recipient of a destination is due."""
        first = self._connection.execute(_FIRST, (destination,)).get
        if first is None:
            self._connection.execute("DELETE FROM destination_due WHERE destination = ?", (destination,))
        else:
            self._connection.execute("UPDATE destination_due SET due = ?2 WHERE destination = ?1", (destination, first))


def release(connection: apsw.Connection, keys: Iterable[tuple[int, int]], token: int) -> None:
    """Give claims back."""
    connection.executemany(_RELEASE, ((number, n, token) for number, n in keys))


def claimed_by(connection: apsw.Connection, token: int) -> list[tuple[int, int, int]]:
    """What a claimer holds: (number, n, whether an operator holds it)."""
    return fetch_all(connection, _CLAIMED_BY, (token,))
