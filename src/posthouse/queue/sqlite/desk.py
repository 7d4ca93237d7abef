"""The operator's view of the queue: what waits, what became of it, and the few things one may do about it."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import apsw

from posthouse.database.connection import open_connection
from posthouse.database.migrations import migrate
from posthouse.message.ids import shown, unshown
from posthouse.queue.interface import Filter, State, Traced, Try
from posthouse.queue.sqlite.rows import MESSAGE, message_of, recipient_of
from posthouse.queue.sqlite.schema import MIGRATIONS, ROOM

MIN_ID = 6  # characters of an id that are enough to name it
_TRIES = 50

# Every condition holds for its empty value; so one statement serves all filters, and no SQL is ever put together.
_WHERE = """
    (?1 = '[]' OR EXISTS (SELECT 1 FROM json_each(?1) WHERE
        q.id >= unhex(json_extract(value, '$[0]')) AND q.id <= unhex(json_extract(value, '$[1]'))))
    AND (?2 = '' OR lower(q.sender) = ?2 OR (instr(?2, '@') = 0 AND lower(q.sender) LIKE '%@' || ?2))
    AND (?3 = '' OR lower(r.address) = ?3 OR (instr(?3, '@') = 0 AND lower(r.address) LIKE '%@' || ?3))
    AND (?4 = '' OR r.destination = ?4)
    AND (?5 = '' OR q.message_id = ?5)
    AND (?6 IS NULL OR r.held = ?6)
    AND (?7 OR r.state = 0)
"""
_FROM = "FROM queued_recipient r JOIN queued q USING (number)"
_COLUMNS = ", ".join(f"q.{name.strip()}" for name in MESSAGE.split(","))
_LIST = f"""
    SELECT {_COLUMNS}, r.n, r.address, r.notify, r.orcpt, r.destination, r.state, r.held, r.due, r.attempts,
        r.claim IN (SELECT token FROM claimer WHERE expires > ?8), r.finished
    {_FROM} WHERE {_WHERE} ORDER BY q.number DESC, r.n LIMIT ?9
"""
_TRIED = f"""
    SELECT at, code, reply, host, ip, tls FROM attempt WHERE number = ? AND n = ? ORDER BY rowid DESC LIMIT {_TRIES}
"""
_PICK = f"SELECT r.number, r.n {_FROM} WHERE {_WHERE} AND r.state = 0"
_IDLE = "claim NOT IN (SELECT token FROM claimer WHERE expires > ?1)"
_RETRY = f"UPDATE queued_recipient SET due = 0 WHERE number = ?2 AND n = ?3 AND {_IDLE}"
_HOLD = "UPDATE queued_recipient SET held = 1 WHERE number = ?2 AND n = ?3 AND held = 0 AND ?1 > 0"
_RELEASE = "UPDATE queued_recipient SET held = 0, due = 0 WHERE number = ?2 AND n = ?3 AND held = 1 AND ?1 > 0"
_DROP = f"""
    UPDATE queued_recipient SET state = {int(State.DROPPED)}, finished = ?1, claim = 0
    WHERE number = ?2 AND n = ?3 AND state = 0
"""
_COUNT_DOWN = """
    UPDATE queued SET waiting = waiting - 1, settled = CASE WHEN waiting = 1 THEN ?1 END WHERE number = ?2
"""


class DeskError(Exception):
    """The queue cannot be read or changed now, or the question makes no sense; the text is a sentence."""


class Desk:
    """See queue.interface.Queue. A context manager; `path` is the mailstore's database."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        try:
            self._connection = open_connection(path)
            migrate(self._connection, MIGRATIONS, room=ROOM)
        except (apsw.Error, OSError) as error:
            raise DeskError(f"the queue in {path.parent} cannot be opened: {error}") from error

    def __enter__(self) -> "Desk":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def recipients(self, wanted: Filter, *, limit: int = 1000) -> list[Traced]:
        """See Queue; the newest first."""
        rows = self._run(_LIST, (*_values(wanted), int(self._clock()), limit))
        return [self._traced(row) for row in rows]

    def retry(self, wanted: Filter) -> int:
        """See Queue."""
        return self._each(wanted, _RETRY)

    def hold(self, wanted: Filter) -> int:
        """See Queue."""
        return self._each(wanted, _HOLD)

    def release(self, wanted: Filter) -> int:
        """See Queue."""
        return self._each(wanted, _RELEASE)

    def drop(self, wanted: Filter) -> int:
        """See Queue."""
        return self._each(wanted, _DROP, _COUNT_DOWN)

    def _each(self, wanted: Filter, change: str, then: str = "") -> int:
        """Change every recipient meant, in one transaction; how many were changed."""
        now, changed = int(self._clock()), 0
        self._run("BEGIN IMMEDIATE", ())
        try:
            for number, n in self._run(_PICK, _values(wanted)):
                self._run(change, (now, number, n))
                if self._connection.changes():
                    changed += 1
                    if then:
                        self._run(then, (now, number))
            self._run("COMMIT", ())
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        return changed

    def _traced(self, row: Sequence[Any]) -> Traced:
        message = message_of(tuple(row[:10]))
        n, address, notify, orcpt, destination, state, held, due, attempts, claimed, finished = row[10:]
        tries = [Try(*each) for each in self._run(_TRIED, (message.number, n))]
        return Traced(
            message,
            n,
            recipient_of(address, notify, orcpt),
            destination,
            State(state),
            bool(held),
            due,
            attempts,
            bool(claimed),
            finished,
            tuple(reversed(tries)),
        )

    def _run(self, statement: str, values: Sequence[Any]) -> list[Any]:
        try:
            return self._connection.execute(statement, values).fetchall()
        except apsw.BusyError as error:
            raise DeskError("the queue is busy; try again in a moment") from error
        except apsw.Error as error:
            raise DeskError(f"the queue cannot be used: {error}") from error


def _values(wanted: Filter) -> tuple[Any, ...]:
    """The values of _WHERE."""
    ranges = [_range(each) for each in wanted.ids]
    held = None if wanted.held is None else int(wanted.held)
    return (
        "[" + ",".join(f'["{low}","{high}"]' for low, high in ranges) + "]",
        wanted.sender.lower(),
        wanted.recipient.lower(),
        wanted.destination.lower(),
        wanted.message_id.strip().removeprefix("<").removesuffix(">"),
        held,
        int(wanted.settled),
    )


def _range(text: str) -> tuple[str, str]:
    """The first and the last id that begin so, in hexadecimal."""
    if len(text) < MIN_ID:
        raise DeskError(f"{text} is too short for an id; give at least {MIN_ID} characters")
    try:
        low, high = unshown(text)
    except ValueError:
        raise DeskError(f"{text} is no message id; posthouse queue list shows them") from None
    assert shown(low)[: len(text)] == text.lower()
    return low.hex(), high.hex()
