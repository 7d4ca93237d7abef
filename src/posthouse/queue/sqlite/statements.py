"""The sender's side of the queue: put, claim, record, give up what is over.

Every function runs inside one transaction that its caller has opened. Times are in seconds since 1970.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import apsw
import msgspec

from posthouse.queue.interface import Fresh, Message, Record, State, Waiting
from posthouse.queue.sqlite.rows import MESSAGE, message_of, options_of, recipient_of

LEASE_SECONDS = 60  # how long a claimer's claims outlive it
KEPT_SECONDS = 7 * 86400  # settled messages, to be traced
_LATEST_RETRY = 4 * 3600  # no retry is ever set later than this; a clock that was set back must not delay mail
_PURGED_AT_ONCE = 500

_PUT = """
    INSERT INTO queued (id, body, octets, sender, options, account, message_id, created, expires, waiting)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_PUT_RECIPIENT = """
    INSERT INTO queued_recipient
        (number, n, address, notify, orcpt, destination, due, attempts, state, held, warned, claim)
    VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0, 0, 0, ?)
"""
_FREE = "claim NOT IN (SELECT token FROM claimer WHERE expires > ?1)"
_DUE = f"""
    SELECT number, n FROM queued_recipient INDEXED BY queued_due
    WHERE state = 0 AND held = 0 AND due <= ?1 AND {_FREE}
        AND destination NOT IN (SELECT value FROM json_each(?2))
    ORDER BY due LIMIT ?3
"""
_CLAIM = f"""
    UPDATE queued_recipient SET claim = ?2
    WHERE number = ?3 AND n = ?4 AND state = 0 AND held = 0 AND due <= ?1 AND {_FREE}
    RETURNING number, n, address, notify, orcpt, destination, attempts, warned, due
"""
_MESSAGE = f"SELECT {MESSAGE} FROM queued WHERE number = ?"
_SETTLE = """
    UPDATE queued_recipient SET state = ?3, attempts = attempts + ?4, due = ?5, warned = ?6, claim = 0, finished = ?7
    WHERE number = ?1 AND n = ?2 AND claim = ?8 AND state = 0 RETURNING 1
"""
_TRIED = "INSERT INTO attempt (number, n, at, code, reply, host, ip, tls) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_COUNT_DOWN = """
    UPDATE queued SET waiting = waiting - 1, settled = CASE WHEN waiting = 1 THEN ?2 END
    WHERE number = ?1 RETURNING waiting, body
"""


def _rows(connection: apsw.Connection, statement: str, values: Sequence[Any]) -> list[Any]:
    return connection.execute(statement, values).fetchall()


def put(connection: apsw.Connection, fresh: Fresh, body: int, claim: int) -> int:
    """Queue a message whose body the mailstore has; its number. `claim` is the token of whoever sends it at once."""
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
        ),
    )
    number = connection.last_insert_rowid()
    rows = (
        (number, n, str(to.address), ",".join(to.notify), to.orcpt, destination, fresh.due, claim)
        for n, (to, destination) in enumerate(fresh.recipients)
    )
    connection.executemany(_PUT_RECIPIENT, rows)
    return number


def due(connection: apsw.Connection, now: int, busy: Collection[str], limit: int) -> list[tuple[int, int]]:
    """The next recipients that nobody holds, oldest due first, none for a `busy` destination: (number, n)."""
    return _rows(connection, _DUE, (now, msgspec.json.encode(list(busy)).decode(), limit))


def claim(connection: apsw.Connection, wanted: Iterable[tuple[int, int]], token: int, now: int) -> list[Waiting]:
    """Take those of the wanted that are still free."""
    messages: dict[int, Message] = {}
    taken = []
    for number, n in wanted:
        for row in _rows(connection, _CLAIM, (now, token, number, n)):
            if number not in messages:
                messages[number] = message_of(_rows(connection, _MESSAGE, (number,))[0])
            address, notify, orcpt, destination, attempts, warned, when = row[2:]
            recipient = recipient_of(address, notify, orcpt)
            taken.append(Waiting(messages[number], n, recipient, destination, attempts, bool(warned), urgent=when == 0))
    return taken


def record(connection: apsw.Connection, records: Sequence[Record], token: int, now: int) -> list[int]:
    """Write down what became of claimed recipients; returns the bodies that nobody needs any more.

    Where the claim was lost meanwhile only the attempt is written: another holds it now, or an operator dropped it.
    """
    over = []
    for entry in records:
        number, n = entry.waiting.message.number, entry.waiting.n
        tried = entry.tried
        if tried is not None:
            connection.execute(_TRIED, (number, n, tried.at, tried.code, tried.reply, tried.host, tried.ip, tried.tls))
        settled = entry.state is not State.WAITING
        values = (
            number,
            n,
            int(entry.state),
            int(tried is not None),
            entry.due,
            int(entry.warned),
            now if settled else None,
            token,
        )
        if connection.execute(_SETTLE, values).fetchall() and settled:
            waiting, body = _rows(connection, _COUNT_DOWN, (number, now))[0]
            if waiting == 0:
                over.append(body)
    return over


def renew(connection: apsw.Connection, token: int, now: int) -> None:
    """Hold on to all claims of a claimer; drop claimers that are long gone."""
    connection.execute("INSERT OR REPLACE INTO claimer VALUES (?, ?)", (token, now + LEASE_SECONDS))
    connection.execute("DELETE FROM claimer WHERE expires < ?", (now - 86400,))


def leave(connection: apsw.Connection, token: int) -> None:
    """Give up all claims of a claimer."""
    connection.execute("DELETE FROM claimer WHERE token = ?", (token,))


def leave_all(connection: apsw.Connection) -> None:
    """End all claims: for a server that starts, when no other one can be alive."""
    connection.execute("DELETE FROM claimer")


def mend_clock(connection: apsw.Connection, now: int) -> int:
    """Have tried again what a clock that was set back has put off; how many recipients."""
    connection.execute(
        "UPDATE queued_recipient SET due = ?1 WHERE state = 0 AND attempts > 0 AND due > ?1 + ?2", (now, _LATEST_RETRY)
    )
    return connection.changes()


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
