"""Writes down what became of claimed recipients.

Every function runs inside one transaction that its caller has opened. Times are in seconds since 1970.
"""

from collections.abc import Sequence

import apsw

from posthouse.queue.interface import AttemptRecord, RecipientState, Try
from posthouse.queue.sqlite.rows import fetch_all

TRIES_KEPT = 50  # attempts kept of one recipient
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
_IS_HELD = """
    SELECT EXISTS (SELECT 1 FROM queued_recipient WHERE number = ?1 AND n = ?2 AND state = 0
        AND (claim = ?3 OR ?5 OR (claim = 0 AND attempts = ?4)))
"""


class ClaimLostError(Exception):
    """A recipient whose outcome was to be reported is not ours any more."""


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
            add_try(connection, number, n, tried)
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
            over += [body for waiting, body in fetch_all(connection, _COUNT_DOWN, (number, now)) if waiting == 0]
    return over


def _take_over(connection: apsw.Connection, number: int, n: int, token: int) -> bool:
    """Claim a recipient that waits in another's hands; who sees within a second that it is its no more."""
    connection.execute(_LET_GO, (number, n, token))
    connection.execute(_TAKE_OVER, (number, n, token))
    return connection.changes() > 0


def add_try(connection: apsw.Connection, number: int, n: int, tried: Try) -> None:
    """Keep one attempt for `mail trace`."""
    connection.execute(_TRIED, (number, n, tried.at, tried.code, tried.reply, tried.host, tried.ip, tried.tls))


def is_held(connection: apsw.Connection, record: AttemptRecord, token: int) -> bool:
    """Whether a record would settle its recipient."""
    waiting = record.waiting
    values = (waiting.message.number, waiting.n, token, waiting.attempts, record.state is RecipientState.DELIVERED)
    return bool(connection.execute(_IS_HELD, values).get)
