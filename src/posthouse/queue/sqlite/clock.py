"""Puts right what was written by a clock that has stepped since.

Every function runs inside one transaction that its caller has opened. Times are in seconds since 1970.
"""

import apsw

CLOCK_SLACK = 60  # seconds that a clock may go back without anything being put right
# Waits are kept, moments are not: what was written while the clock was ahead waits as long as it was to wait. But a
# moment that the sender asked for (RFC 4865, HOLDUNTIL) stays as it is.
_CORRECT_RECIPIENTS = """
    UPDATE queued_recipient SET written = ?1, due = max(
        ?1 + max(0, due - written),
        CASE WHEN attempts = 0 AND due > 0
            THEN coalesce((SELECT hold_until FROM queued q WHERE q.number = queued_recipient.number), 0) ELSE 0 END)
    WHERE state = 0 AND written > ?1 + ?2
"""
# A message is as old as the time that has run since it was written, in whatever steps the clock came to where it is.
_CORRECT_MESSAGES = """
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


def has_stepped(connection: apsw.Connection, now: int, offset: int) -> bool:
    """Whether something was written by a clock that has stepped since."""
    return bool(connection.execute(_STEPPED, (now, CLOCK_SLACK, offset)).get)


def correct_clock(connection: apsw.Connection, now: int, offset: int) -> None:
    """Put right what was written before the clock stepped: ages and lives stay, what waits does not wait longer."""
    connection.execute(_CORRECT_RECIPIENTS, (now, CLOCK_SLACK))
    connection.execute(_CORRECT_MESSAGES, (offset, CLOCK_SLACK))
    connection.execute("UPDATE queued SET settled = ?1 WHERE settled > ?1 + ?2", (now, CLOCK_SLACK))


def begin_clock(connection: apsw.Connection, boot: str, now: int, offset: int) -> None:
    """For a server that starts: where the system was started meanwhile, ages go on from what the clock says now."""
    if boot and connection.execute("SELECT id FROM queue_boot").get == boot:
        return
    connection.execute(_BEGIN_MESSAGES, (now, offset))
    connection.execute("DELETE FROM queue_boot")
    connection.execute("INSERT INTO queue_boot VALUES (?)", (boot,))
