"""Puts messages into the queue, and gives those that wait another destination.

Every function runs inside one transaction that its caller has opened. Times are in seconds since 1970.
"""

from collections.abc import Callable

import apsw

from posthouse.message.address import Address
from posthouse.queue.interface import Fresh
from posthouse.queue.sqlite.rows import fetch_all, options_of

_REROUTED_AT_ONCE = 5000
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


def reroute(
    connection: apsw.Connection, choose: Callable[[Address, Address | None, str], str], now: int, after: tuple[int, int]
) -> tuple[int, tuple[int, int] | None]:
    """Give those that wait, some at a time, the destination that `choose` makes of recipient, sender and the last one.

    Returns how many have another now, and behind which to go on; None at the end. Nothing may be claimed.
    """
    rows = fetch_all(connection, _WAITING_AFTER, (*after, _REROUTED_AT_ONCE))
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
