"""The sender's side of the queue: put, claim, record, give up what is over.

Every function runs inside one transaction that its caller has opened. Times are in seconds since 1970.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import apsw
import msgspec

from posthouse.message.address import Address
from posthouse.queue.interface import AttemptRecord, Delay, Fresh, QueuedMessage, RecipientState, Try, Waiting
from posthouse.queue.sqlite.rows import MESSAGE, UnreadableRowError, message_of, options_of, recipient_of

KEPT_SECONDS = 7 * 86400  # settled messages, to be traced
TRIES_KEPT = 50  # attempts kept of one recipient
CLOCK_SLACK = 60  # seconds that a clock may go back without anything being put right
JOB_RECIPIENTS = 100  # of one message, claimed at once
_PURGED_AT_ONCE = 500
_TOLD_AT_ONCE = 50  # of those that wait for a destination that is down
_REROUTED_AT_ONCE = 5000
_LOOKED_AT = 5000  # recipients of a destination, for those that may be taken

_WAITING_AFTER = """
    SELECT r.number, r.n, r.address, q.sender, r.destination
    FROM queued_recipient r JOIN queued q ON q.number = r.number
    WHERE r.state = 0 AND (r.number, r.n) > (?1, ?2) ORDER BY r.number, r.n LIMIT ?3
"""
# What was tried before is tried at once: what kept it waiting was the other way. Triggers look at `due`.
_REROUTE = """
    UPDATE queued_recipient
    SET destination = ?3, due = CASE WHEN attempts > 0 THEN min(due, ?4) ELSE due END, written = ?4
    WHERE number = ?1 AND n = ?2
"""
_PUT = """
    INSERT INTO queued (id, body, octets, sender, options, account, message_id, created, expires, waiting, hold_until,
        clock_offset)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_PUT_RECIPIENT = """
    INSERT INTO queued_recipient
        (number, n, address, notify, orcpt, destination, due, attempts, state, held, warned, claim, written)
    VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0, 0, 0, ?, ?)
"""
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
# A claim that was ended, and taken by nobody since: what came of the last try is still the last word. That a message
# was delivered stays true even if another try has failed meanwhile, or is being made.
_SETTLE = """
    UPDATE queued_recipient
    SET state = ?3, attempts = attempts + ?4, due = ?5, warned = ?6, claim = 0, finished = ?7, written = ?9
    WHERE number = ?1 AND n = ?2 AND state = 0 AND (claim = ?8 OR (claim = 0 AND (attempts = ?10 OR ?3 = 1)))
    RETURNING 1
"""
_TAKE_OVER = """
    UPDATE queued_recipient SET claim = ?3 WHERE number = ?1 AND n = ?2 AND state = 0 AND claim NOT IN (0, ?3)
"""
_LET_GO = """
    UPDATE claimer SET orders = orders + 1
    WHERE token = (SELECT claim FROM queued_recipient WHERE number = ?1 AND n = ?2) AND token <> ?3
"""
_TRIED = "INSERT INTO attempt (number, n, at, code, reply, host, ip, tls) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_FORGET_TRIES = f"""
    DELETE FROM attempt WHERE number = ?1 AND n = ?2 AND rowid <= (
        SELECT rowid FROM attempt WHERE number = ?1 AND n = ?2 ORDER BY rowid DESC LIMIT 1 OFFSET {TRIES_KEPT}
    )
"""
_COUNT_DOWN = """
    UPDATE queued SET waiting = waiting - 1, settled = CASE WHEN waiting = 1 THEN ?2 END
    WHERE number = ?1 RETURNING waiting, body
"""
_CLAIMED_BY = "SELECT number, n, held FROM queued_recipient INDEXED BY queued_claimed WHERE claim = ? AND claim <> 0"
_IS_HELD = """
    SELECT EXISTS (SELECT 1 FROM queued_recipient WHERE number = ?1 AND n = ?2 AND state = 0
        AND (claim = ?3 OR ?5 OR (claim = 0 AND attempts = ?4)))
"""
_RELEASE = "UPDATE queued_recipient SET claim = 0 WHERE number = ?1 AND n = ?2 AND claim = ?3"
_RELEASE_ALL = "UPDATE queued_recipient SET claim = 0 WHERE claim = ?1"
_BEAT = "INSERT INTO claimer VALUES (?1, 1, 0) ON CONFLICT (token) DO UPDATE SET beat = beat + 1"
_TOKENS = """
    WITH RECURSIVE token (claim) AS (
        SELECT min(claim) FROM queued_recipient INDEXED BY queued_claimed WHERE claim <> 0
        UNION ALL
        SELECT (SELECT min(claim) FROM queued_recipient INDEXED BY queued_claimed WHERE claim <> 0 AND claim > t.claim)
        FROM token t WHERE t.claim IS NOT NULL
    )
    SELECT claim FROM token WHERE claim IS NOT NULL
"""
# Waits are kept, moments are not: what was written while the clock was ahead waits as long as it was to wait. But a
# moment that the sender asked for (RFC 4865, HOLDUNTIL) stays as it is.
_MEND_RECIPIENTS = """
    UPDATE queued_recipient SET written = ?1, due = max(
        ?1 + max(0, due - written),
        CASE WHEN attempts = 0 AND due > 0
            THEN coalesce((SELECT hold_until FROM queued q WHERE q.number = queued_recipient.number), 0) ELSE 0 END)
    WHERE state = 0 AND written > ?1 + ?2
"""
# A message is as old as the time that has run since it was written, in whatever steps the clock came to where it is.
_MEND_MESSAGES = """
    UPDATE queued SET clock_offset = ?1, created = created + ?1 - clock_offset,
        expires = max(created + ?1 - clock_offset, hold_until) + expires - max(created, hold_until)
    WHERE waiting > 0 AND abs(clock_offset - ?1) > ?2
"""
# After the system was started nothing but the clock tells how long it was off.
_BEGIN_MESSAGES = """
    UPDATE queued SET clock_offset = ?2, created = min(created, ?1),
        expires = max(min(created, ?1), hold_until) + expires - max(created, hold_until)
    WHERE waiting > 0
"""
_STEPPED = """
    SELECT EXISTS (SELECT 1 FROM queued_recipient WHERE state = 0 AND written > ?1 + ?2)
        OR EXISTS (SELECT 1 FROM queued WHERE settled > ?1 + ?2)
        OR EXISTS (SELECT 1 FROM queued WHERE waiting > 0 AND abs(clock_offset - ?3) > ?2)
"""


class ClaimLostError(Exception):
    """A recipient whose outcome was to be told is not ours any more."""


def _rows(connection: apsw.Connection, statement: str, values: Sequence[Any]) -> list[Any]:
    return connection.execute(statement, values).fetchall()


def _as_json(names: Collection[str]) -> str:
    return msgspec.json.encode(list(names)).decode()


def put(connection: apsw.Connection, fresh: Fresh, body: int, claim: int, offset: int) -> int:
    """Queue a message whose body the mailstore has; its number. `claim` is the token of the process that sends it now.

    `offset`: from a clock that does not step to the one that the message was written by.
    """
    sender = fresh.sender
    connection.execute(
        _PUT,
        (
            fresh.id,
            body,
            fresh.octets,
            str(sender.address) if sender.address is not None else "",
            options_of(sender),
            fresh.account,
            fresh.message_id,
            fresh.created,
            fresh.expires,
            len(fresh.recipients),
            # RFC 4865 3: HOLDFOR is a length of time, which a wrong clock does not change; HOLDUNTIL is a moment.
            0 if sender.hold_for else max(sender.hold_until, fresh.due if fresh.due > fresh.created else 0),
            offset,
        ),
    )
    number = connection.last_insert_rowid()
    rows = (
        (number, n, str(to.address), ",".join(to.notify), to.orcpt, destination, fresh.due, claim, fresh.created)
        for n, (to, destination) in enumerate(fresh.recipients)
    )
    connection.executemany(_PUT_RECIPIENT, rows)
    return number


def due(connection: apsw.Connection, now: int, busy: Collection[str], limit: int) -> list[str]:
    """The destinations that something is due for, the oldest first, but for the `busy` ones."""
    return [name for (name,) in _rows(connection, _DUE, (now, _as_json(busy), limit))]


def due_of(connection: apsw.Connection, now: int, only: Collection[str], limit: int) -> list[str]:
    """Those of the destinations that something is due for, the oldest first."""
    return [name for (name,) in _rows(connection, _DUE_OF, (now, _as_json(only), limit))]


def claim(
    connection: apsw.Connection,
    shares: Mapping[str, int],
    limit: int,
    token: int,
    now: int,
    holding: Collection[tuple[int, int]] = (),
    unreadable: list[str] | None = None,
) -> list[Waiting]:
    """Take what is due: for each destination up to so many messages. What is held in memory is left alone.

    What cannot be read is held, so that it keeps nothing else waiting, and named in `unreadable`.
    """
    taken: list[Waiting] = []
    messages: dict[int, QueuedMessage] = {}
    for destination, share in shares.items():
        if len(taken) >= limit:
            break
        rows = connection.execute(_NEXT, (destination, now, _LOOKED_AT))
        chosen = _cut(rows, share, limit - len(taken), holding)
        rows.close()
        for number, n in chosen:
            taken += _take(connection, messages, number, n, token, unreadable)
        _note_first(connection, destination)
    return taken


def _cut(
    rows: Iterable[tuple[int, int]], share: int, limit: int, holding: Collection[tuple[int, int]]
) -> list[tuple[int, int]]:
    """The first rows, of `share` messages at most, so many of each as go into one job."""
    counts: dict[int, int] = {}
    chosen: list[tuple[int, int]] = []
    for number, n in rows:
        if (number, n) in holding or counts.get(number, 0) >= JOB_RECIPIENTS:
            continue
        if len(chosen) >= limit or (number not in counts and len(counts) >= share):
            break
        counts[number] = counts.get(number, 0) + 1
        chosen.append((number, n))
    return chosen


def _take(
    connection: apsw.Connection,
    messages: dict[int, QueuedMessage],
    number: int,
    n: int,
    token: int,
    unreadable: list[str] | None,
) -> list[Waiting]:
    try:
        return [_claimed(connection, messages, row) for row in _rows(connection, _CLAIM, (number, n, token))]
    except (UnreadableRowError, UnicodeDecodeError) as error:
        _set_aside(connection, number, n, error, unreadable)
        return []


def _claimed(connection: apsw.Connection, messages: dict[int, QueuedMessage], row: Sequence[Any]) -> Waiting:
    number, n, address, notify, orcpt, destination, attempts, warned, when = row
    if number not in messages:
        for found in _rows(connection, _MESSAGE, (number,)):
            messages[number] = message_of(found)
        if number not in messages:
            raise UnreadableRowError("its message is missing")
    recipient = recipient_of(address, notify, orcpt)
    return Waiting(messages[number], n, recipient, destination, attempts, bool(warned), urgent=when == 0)


def _set_aside(
    connection: apsw.Connection, number: int, n: int, error: Exception, unreadable: list[str] | None
) -> None:
    """Hold what cannot be read: an operator may look at it, and drop it."""
    connection.execute(_SET_ASIDE, (number, n))
    if unreadable is not None:
        unreadable.append(f"recipient {n} of message {number} in the queue: {error}")


def _note_first(connection: apsw.Connection, destination: str) -> None:
    """Put right when the first free recipient of a destination is due."""
    first = connection.execute(_FIRST, (destination,)).get
    if first is None:
        connection.execute("DELETE FROM destination_due WHERE destination = ?", (destination,))
    else:
        connection.execute("UPDATE destination_due SET due = ?2 WHERE destination = ?1", (destination, first))


def postpone(
    connection: apsw.Connection,
    destination: str,
    tried: Try,
    later: Callable[[Delay], int | None],
    limit: int,
    token: int,
    now: int,
    offset: int,
    holding: Collection[tuple[int, int]] = (),
    unreadable: list[str] | None = None,
) -> list[Waiting]:
    """Count what is due for a destination that is down as tried, without a try; claims those that need more than that.

    `later` gives the next due time; None when the sender has to be notified. One that an operator wants tried is
    claimed, too: it will show whether the destination is still down. `unreadable` as for claim().
    """
    taken: list[Waiting] = []
    is_wanted = False
    messages: dict[int, QueuedMessage] = {}

    @cache  # those of one message are due again together, and leave in one transaction again
    def due_again(number: int, attempts: int, warned: bool) -> int | None:
        for created, expires, written in _rows(connection, _LIFE, (number,)):
            step = offset - written
            return later(Delay(attempts, warned, created + step, expires + step))
        return None  # where its message is missing it is claimed only to be set aside

    for number, n, when, attempts, warned in _rows(connection, _LATE, (destination, now, limit)):
        if len(taken) >= _TOLD_AT_ONCE:
            break
        if (number, n) in holding or (when == 0 and is_wanted):
            continue
        again = due_again(number, attempts, bool(warned)) if when else None
        if again is None:
            found = _take(connection, messages, number, n, token, unreadable)
            is_wanted = is_wanted or (when == 0 and bool(found))
            taken += found
            continue
        connection.execute(_POSTPONE, (number, n, again, now))
        if attempts == 0:  # that people see why it waits; the same words for each later one would only fill the disk
            connection.execute(_TRIED, _try_values(number, n, tried))
    _note_first(connection, destination)
    return taken


def record(connection: apsw.Connection, records: Sequence[AttemptRecord], token: int, now: int) -> list[int]:
    """Write down what became of claimed recipients; returns the bodies that nobody needs any more.

    Where the claim was lost meanwhile only the attempt is written: another holds it now, or an operator dropped it. But
    a delivery settles it, no matter who holds it: else the other try may fail, and a bounce say what is not true.
    """
    over = []
    for entry in records:
        number, n = entry.waiting.message.number, entry.waiting.n
        tried = entry.tried
        if tried is not None:
            connection.execute(_TRIED, _try_values(number, n, tried))
            if entry.waiting.attempts >= TRIES_KEPT:
                connection.execute(_FORGET_TRIES, (number, n))
        settled = entry.state is not RecipientState.WAITING
        values = (
            number,
            n,
            int(entry.state),
            int(tried is not None),
            entry.due,
            int(entry.warned),
            now if settled else None,
            token,
            now,
            entry.waiting.attempts,
        )
        is_ours = connection.execute(_SETTLE, values).fetchall()
        if not is_ours and entry.state is RecipientState.DELIVERED and _take_over(connection, number, n, token):
            is_ours = connection.execute(_SETTLE, values).fetchall()
        if is_ours and settled:
            over += [body for waiting, body in _rows(connection, _COUNT_DOWN, (number, now)) if waiting == 0]
    return over


def _take_over(connection: apsw.Connection, number: int, n: int, token: int) -> bool:
    """Claim a recipient that waits in another's hands; who sees within a second that it is its no more."""
    connection.execute(_LET_GO, (number, n, token))
    connection.execute(_TAKE_OVER, (number, n, token))
    return connection.changes() > 0


def _try_values(number: int, n: int, tried: Try) -> tuple[Any, ...]:
    return (number, n, tried.at, tried.code, tried.reply, tried.host, tried.ip, tried.tls)


def is_held(connection: apsw.Connection, record: AttemptRecord, token: int) -> bool:
    """Whether a record would settle its recipient."""
    waiting = record.waiting
    values = (waiting.message.number, waiting.n, token, waiting.attempts, record.state is RecipientState.DELIVERED)
    return bool(connection.execute(_IS_HELD, values).get)


def release(connection: apsw.Connection, keys: Iterable[tuple[int, int]], token: int) -> None:
    """Give claims back."""
    connection.executemany(_RELEASE, ((number, n, token) for number, n in keys))


def claimed_by(connection: apsw.Connection, token: int) -> list[tuple[int, int, int]]:
    """What a claimer holds: (number, n, whether an operator holds it)."""
    return _rows(connection, _CLAIMED_BY, (token,))


def renew(connection: apsw.Connection, token: int) -> None:
    """Show that a claimer is alive."""
    connection.execute(_BEAT, (token,))


def claimers(connection: apsw.Connection) -> dict[int, tuple[int, int]]:
    """All claimers: their beats, and the orders given to them. Whose claims are all that is left has the beat -1."""
    found = {token: (-1, 0) for (token,) in _rows(connection, _TOKENS, ())}
    found |= {token: (beat, orders) for token, beat, orders in _rows(connection, "SELECT * FROM claimer", ())}
    return found


def bury(connection: apsw.Connection, token: int, beat: int) -> bool:
    """End the claims of a claimer, unless its beat is another one by now; whether that was done."""
    current = connection.execute("SELECT beat FROM claimer WHERE token = ?", (token,)).get
    if (-1 if current is None else current) != beat:
        return False
    leave(connection, token)
    return True


def leave(connection: apsw.Connection, token: int) -> None:
    """Give up all claims of a claimer."""
    connection.execute("DELETE FROM claimer WHERE token = ?", (token,))
    connection.execute(_RELEASE_ALL + " AND claim <> 0", (token,))


def leave_all(connection: apsw.Connection) -> None:
    """End all claims: for a server that starts, when no other one can be alive."""
    connection.execute("DELETE FROM claimer")
    connection.execute("UPDATE queued_recipient SET claim = 0 WHERE claim <> 0")


def has_stepped(connection: apsw.Connection, now: int, offset: int) -> bool:
    """Whether something was written by a clock that has stepped since."""
    return bool(connection.execute(_STEPPED, (now, CLOCK_SLACK, offset)).get)


def correct_clock(connection: apsw.Connection, now: int, offset: int) -> None:
    """Put right what was written before the clock stepped: ages and lives stay, what waits does not wait longer."""
    connection.execute(_MEND_RECIPIENTS, (now, CLOCK_SLACK))
    connection.execute(_MEND_MESSAGES, (offset, CLOCK_SLACK))
    connection.execute("UPDATE queued SET settled = ?1 WHERE settled > ?1 + ?2", (now, CLOCK_SLACK))


def reroute(
    connection: apsw.Connection, choose: Callable[[Address, Address | None, str], str], now: int, after: tuple[int, int]
) -> tuple[int, tuple[int, int] | None]:
    """Give those that wait, some at a time, the destination that `choose` makes of recipient, sender and the last one.

    Returns how many have another now, and behind which to go on; None at the end. Nothing may be claimed.
    """
    rows = _rows(connection, _WAITING_AFTER, (*after, _REROUTED_AT_ONCE))
    changed = 0
    for number, n, address, sender, before in rows:
        try:
            path = Address.parse_path(sender) if sender else None
            destination = choose(Address.parse_path(address), path, before)
        except (ValueError, TypeError, AttributeError):  # cannot be read: the claim sets it aside
            continue
        if destination != before:
            connection.execute(_REROUTE, (number, n, destination, now))
            changed += 1
    return changed, (rows[-1][0], rows[-1][1]) if len(rows) == _REROUTED_AT_ONCE else None


def begin_clock(connection: apsw.Connection, boot: str, now: int, offset: int) -> None:
    """For a server that starts: where the system was started meanwhile, ages go on from what the clock says now."""
    if boot and connection.execute("SELECT id FROM queue_boot").get == boot:
        return
    connection.execute(_BEGIN_MESSAGES, (now, offset))
    connection.execute("DELETE FROM queue_boot")
    connection.execute("INSERT INTO queue_boot VALUES (?)", (boot,))


def purge(connection: apsw.Connection, now: int) -> int:
    """Forget messages that were settled a week ago, some at a time; how many."""
    old = connection.execute(
        "SELECT number FROM queued WHERE settled IS NOT NULL AND settled < ? LIMIT ?",
        (now - KEPT_SECONDS, _PURGED_AT_ONCE),
    ).fetchall()
    for table in ("queued", "queued_recipient", "attempt"):
        connection.executemany(f"DELETE FROM {table} WHERE number = ?", old)
    return len(old)


def needed_bodies(connection: apsw.Connection) -> set[int]:
    """The bodies that recipients still wait for."""
    return {body for (body,) in _rows(connection, "SELECT body FROM queued WHERE waiting > 0", ())}


def waiting_count(connection: apsw.Connection) -> int:
    """How many recipients wait, held ones too."""
    return int(connection.execute("SELECT count(*) FROM queued_recipient WHERE state = 0").get)
