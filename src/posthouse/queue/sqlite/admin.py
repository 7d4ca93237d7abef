"""The operator's view of the queue: what waits, what became of it, and the few things one may do about it."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import apsw

from posthouse.database.connection import BUSY_MILLISECONDS
from posthouse.database.errors import DatabaseError
from posthouse.database.opening import open_database
from posthouse.message.address import Address, AddressError, to_a_labels
from posthouse.message.ids import format_id, parse_id
from posthouse.queue.interface import Filter, RecipientState, Traced, Try
from posthouse.queue.sqlite.rows import MESSAGE, message_as_kept, recipient_as_kept
from posthouse.queue.sqlite.schema import MIGRATIONS, ROOM

MIN_ID = 6  # characters of an id that are enough to name it
_TRIES = 50

# Every condition holds for its empty value; so one statement serves all filters, and no SQL is ever put together.
# What is compared is compared octet by octet, case aside: LIKE would take the % and _ of an address for patterns.
_WHERE = """
    (?1 = '[]' OR EXISTS (SELECT 1 FROM json_each(?1) WHERE
        q.id >= unhex(json_extract(value, '$[0]')) AND q.id <= unhex(json_extract(value, '$[1]'))))
    AND (?2 = '' OR lower(q.sender) = lower(?2) OR (?2 = '<>' AND q.sender = '')
        OR (instr(?2, '@') = 0 AND substr(lower(q.sender), -length(?2) - 1) = '@' || lower(?2)))
    AND (?3 = '' OR lower(r.address) = lower(?3)
        OR (instr(?3, '@') = 0 AND substr(lower(r.address), -length(?3) - 1) = '@' || lower(?3)))
    AND (?4 = '' OR lower(r.destination) = lower(?4)
        OR (?4 GLOB 'route/*' AND substr(lower(r.destination), 1, length(?4) + 1) = lower(?4) || '/'))
    AND (?5 = '' OR q.message_id = ?5)
    AND (?6 IS NULL OR r.held = ?6)
    AND (?7 OR r.state = 0)
"""
_FROM = "FROM queued_recipient r JOIN queued q USING (number)"
_COLUMNS = ", ".join(f"q.{name.strip()}" for name in MESSAGE.split(","))
_LIST = f"""
    SELECT {_COLUMNS}, r.n, r.address, r.notify, r.orcpt, r.destination, r.state, r.held, r.due, r.attempts,
        r.claim <> 0, r.finished
    {_FROM} WHERE {_WHERE} ORDER BY q.number DESC, r.n LIMIT ?8
"""
_COUNT = f"SELECT count(*), count(DISTINCT r.number) {_FROM} WHERE {_WHERE}"
_TRIED = f"""
    SELECT at, code, reply, host, ip, tls FROM attempt WHERE number = ? AND n = ? ORDER BY rowid DESC LIMIT {_TRIES}
"""
_PICK = f"SELECT r.number, r.n {_FROM} WHERE {_WHERE} AND r.state = 0"
_UNDER_WAY = f"SELECT count(*) {_FROM} WHERE {_WHERE} AND r.state = 0 AND r.claim <> 0"
_RETRY = "UPDATE queued_recipient SET due = 0 WHERE number = ?2 AND n = ?3 AND held = 0 AND claim = 0 AND ?1 > 0"
_HOLD = "UPDATE queued_recipient SET held = 1 WHERE number = ?2 AND n = ?3 AND held = 0 AND ?1 > 0"
_RELEASE = "UPDATE queued_recipient SET held = 0, due = 0 WHERE number = ?2 AND n = ?3 AND held = 1 AND ?1 > 0"
_DROP = f"""
    UPDATE queued_recipient SET state = {int(RecipientState.DROPPED)}, finished = ?1, claim = 0
    WHERE number = ?2 AND n = ?3 AND state = 0
"""
_COUNT_DOWN = """
    UPDATE queued SET waiting = waiting - 1, settled = CASE WHEN waiting = 1 THEN ?1 END WHERE number = ?2
"""
_ORDER = "UPDATE claimer SET orders = orders + 1"  # senders look at what they hold in memory


class QueueAdminError(Exception):
    """The queue cannot be read or changed now, or the question makes no sense; the text is a sentence."""


class QueueBusyError(QueueAdminError):
    """Others have been writing for too long."""


class QueueAdmin:
    """See queue.interface.Queue. A context manager; `path` is the mailstore's database. Raises DeskError.

    `patience` is how many seconds it waits for others who write.
    """

    def __init__(
        self, path: Path, *, clock: Callable[[], float] = time.time, patience: float = BUSY_MILLISECONDS / 1000
    ) -> None:
        self._clock = clock
        try:
            self._connection = open_database(path, {ROOM: MIGRATIONS})
        except (apsw.Error, OSError, DatabaseError) as error:
            raise _not_opened(path, error) from error
        self._connection.set_busy_timeout(int(patience * 1000))

    def __enter__(self) -> "QueueAdmin":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def recipients(self, wanted: Filter, *, limit: int = 1000) -> list[Traced]:
        """See Queue."""
        with self._transaction("BEGIN"):
            rows = self._run(_LIST, (*_values(wanted), limit))
            return [self._traced(row) for row in rows]

    def count(self, wanted: Filter) -> tuple[int, int]:
        """How many recipients are meant, of how many messages."""
        recipients, messages = self._run(_COUNT, _values(wanted))[0]
        return recipients, messages

    def under_way(self, wanted: Filter) -> int:
        """See Queue."""
        return int(self._run(_UNDER_WAY, _values(wanted))[0][0])

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
        with self._transaction("BEGIN IMMEDIATE"):
            for number, n in self._run(_PICK, _values(wanted)):
                self._run(change, (now, number, n))
                if self._connection.changes():
                    changed += 1
                    if then:
                        self._run(then, (now, number))
            if changed:
                self._run(_ORDER, ())
        return changed

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        self._run(begin, ())
        try:
            yield
            self._run("COMMIT", ())
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def _traced(self, row: Sequence[Any]) -> Traced:
        message = message_as_kept(tuple(row[:11]))
        n, address, notify, orcpt, destination, state, held, due, attempts, claimed, finished = row[11:]
        tries = [Try(*each) for each in self._run(_TRIED, (message.number, n))]
        return Traced(
            message,
            n,
            recipient_as_kept(address, notify, orcpt),
            destination,
            RecipientState(state),
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
            raise QueueBusyError("the queue is busy; try again in a moment") from error
        except apsw.Error as error:
            raise QueueAdminError(f"the queue cannot be used: {error}") from error
        except UnicodeEncodeError:  # an argument that was no UTF-8
            raise QueueAdminError("what was asked for is no text") from None
        except UnicodeDecodeError as error:
            raise QueueAdminError(f"the queue holds something that is no text: {error}") from error


def _not_opened(path: Path, error: Exception) -> QueueAdminError:
    if isinstance(error, apsw.BusyError):
        return QueueBusyError("the queue is busy; try again in a moment")
    return QueueAdminError(f"the queue in {path.parent} cannot be opened: {error}")


def _values(wanted: Filter) -> tuple[Any, ...]:
    """The values of _WHERE."""
    ranges = [_range(each) for each in wanted.ids]
    held = None if wanted.held is None else int(wanted.held)
    return (
        "[" + ",".join(f'["{low}","{high}"]' for low, high in ranges) + "]",
        _as_kept(wanted.sender),
        _as_kept(wanted.recipient),
        _destination(wanted.destination),
        wanted.message_id.strip().removeprefix("<").removesuffix(">"),
        held,
        int(wanted.settled),
    )


def _as_kept(text: str) -> str:
    """An address or a domain in the form that the tables have; as it stands where it is neither."""
    text = text.strip()
    if text in ("", "<>"):
        return text
    text = text.removeprefix("<").removesuffix(">")
    try:
        return str(Address.parse_path(text)) if "@" in text else Address.parse(f"x@{text}").domain
    except AddressError:
        return text


def _destination(text: str) -> str:
    try:
        return text if text.isascii() or "/" in text else to_a_labels(text)
    except AddressError:
        return text


def _range(text: str) -> tuple[str, str]:
    """The first and the last id that begin so, in hexadecimal."""
    if len(text) < MIN_ID:
        raise QueueAdminError(f"{text} is too short for an id; give at least {MIN_ID} characters")
    try:
        low, high = parse_id(text)
    except ValueError:
        raise QueueAdminError(f"{text} is no message id; posthouse queue list shows them") from None
    assert format_id(low)[: len(text)] == text.lower()
    return low.hex(), high.hex()
