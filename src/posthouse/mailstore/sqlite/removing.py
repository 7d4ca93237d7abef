"""Removes messages, and later the rows of what nobody refers to any more."""

from collections import Counter
from collections.abc import Iterable, Sequence

import apsw

from posthouse.mailstore.sqlite.filing import EXPUNGED
from posthouse.mailstore.sqlite.rows import Insert, fetch, numbers

FORGET_MESSAGES = 500  # of one account in one transaction
DROP_DELIVERIES = 5000

_FIND_MAILBOX = "SELECT mailbox_id FROM mailbox WHERE account_id = ? AND name = ?"
_EXPUNGE = """
    DELETE FROM message
    WHERE account_id = ?1 AND mailbox_id = ?2 AND message_id IN (SELECT value FROM carray(?3))
    RETURNING message_id, uid, blob_id, octets
"""
_RELEASE = """
    UPDATE blob SET refs = refs - 1, freed = CASE WHEN refs = 1 THEN ?2 ELSE freed END
    WHERE blob_id IN (SELECT value FROM carray(?1))
"""
_SHRINK = """
    UPDATE account SET modseq = modseq + ?2, messages = messages - ?3, octets = octets - ?4
    WHERE account_id = ?1 RETURNING modseq
"""
_CHANGES = Insert("INSERT INTO change (account_id, modseq, mailbox_id, message_id, uid, kind)", 6)
_FORGET_MESSAGES = """
    DELETE FROM message WHERE (account_id, mailbox_id, message_id) IN
    (SELECT account_id, mailbox_id, message_id FROM message WHERE account_id = ?1 LIMIT ?2)
    RETURNING blob_id, octets
"""
_FORGET_CHANGES = """
    DELETE FROM change WHERE account_id = ?1 AND modseq IN
    (SELECT modseq FROM change WHERE account_id = ?1 ORDER BY modseq LIMIT ?2)
"""
_DROP_BLOBS = "DELETE FROM blob WHERE blob_id IN (SELECT value FROM carray(?)) AND refs = 0 RETURNING pack"
_DROP_PACKS = "DELETE FROM pack WHERE pack IN (SELECT value FROM carray(?)) AND live = 0"
_DROP_DELIVERIES = """
    DELETE FROM delivery WHERE (delivery, account_id, mailbox_id) IN
    (SELECT delivery, account_id, mailbox_id FROM delivery WHERE delivery < ?1 ORDER BY delivery LIMIT ?2)
"""


def expunge(
    connection: apsw.Connection, account: int, mailbox: str, messages: Sequence[int], now: int
) -> tuple[int, int]:
    """Remove messages; how many were there, and the account's modseq after it."""
    box = connection.execute(_FIND_MAILBOX, (account, mailbox)).get
    if box is None or not messages:
        return 0, 0
    removed = fetch(connection, _EXPUNGE, (account, box, numbers(set(messages))))
    if not removed:
        return 0, 0
    removed.sort()
    _release(connection, (blob for _, _, blob, _ in removed), now)
    octets = sum(octets for _, _, _, octets in removed)
    modseq: int = connection.execute(_SHRINK, (account, len(removed), len(removed), octets)).get
    first = modseq - len(removed) + 1
    changes = [
        (account, number, box, message, uid, EXPUNGED) for number, (message, uid, _, _) in enumerate(removed, first)
    ]
    _CHANGES.run(connection, changes)
    return len(removed), modseq


def forget(connection: apsw.Connection, account: int, now: int) -> tuple[bool, int]:
    """Remove some of what the account has; whether anything may be left, and its modseq when something changed.

    Its row stays, so that no message id, modseq or uidvalidity is given a second time.
    """
    removed = fetch(connection, _FORGET_MESSAGES, (account, FORGET_MESSAGES))
    if removed:
        _release(connection, (blob for blob, _ in removed), now)
        octets = sum(octets for _, octets in removed)
        return True, connection.execute(_SHRINK, (account, 1, len(removed), octets)).get
    connection.execute(_FORGET_CHANGES, (account, FORGET_MESSAGES))
    if connection.changes() == FORGET_MESSAGES:
        return True, 0
    connection.execute("DELETE FROM mailbox WHERE account_id = ?", (account,))
    return False, 0


def drop_blobs(connection: apsw.Connection, blobs: Sequence[int]) -> int:
    """Drop rows of blobs nobody refers to; how many were still there."""
    packs = Counter(pack for (pack,) in fetch(connection, _DROP_BLOBS, (numbers(blobs),)))
    for pack, dropped in packs.items():
        connection.execute("UPDATE pack SET live = live - ?2 WHERE pack = ?1", (pack, dropped))
    return packs.total()


def drop_packs(connection: apsw.Connection, packs: Sequence[int]) -> None:
    """Drop rows of packs that hold nothing."""
    connection.execute(_DROP_PACKS, (numbers(packs),))


def drop_deliveries(connection: apsw.Connection, before: bytes) -> bool:
    """Drop some deliveries with ids before that; whether there may be more."""
    connection.execute(_DROP_DELIVERIES, (before, DROP_DELIVERIES))
    return connection.changes() == DROP_DELIVERIES


def _release(connection: apsw.Connection, blobs: Iterable[int], now: int) -> None:
    """One reference less for each, as often as it is named."""
    counts = Counter(blobs)
    while counts:
        connection.execute(_RELEASE, (numbers(sorted(counts)), now))
        counts = Counter({blob: count - 1 for blob, count in counts.items() if count > 1})
