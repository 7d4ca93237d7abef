"""Removes messages, and later the rows of what nobody refers to any more."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import apsw

from posthouse.mailstore.interface import LOG_ROWS, Flag
from posthouse.mailstore.sqlite import keywords
from posthouse.mailstore.sqlite.boxes import bump, find, require
from posthouse.mailstore.sqlite.rows import Insert, fetch, numbers

FORGET_MESSAGES = 500  # of one account in one transaction
DROP_DELIVERIES = 5000
_LOG_SLACK = 1000  # rows beyond LOG_ROWS after which the log is cut

_SEEN, _DELETED = int(Flag.SEEN), int(Flag.DELETED)
_ANY = (1 << 62) - 1  # above every mailbox id

_EXPUNGE = """
    DELETE FROM message
    WHERE account_id = ?1 AND mailbox_id = ?2 AND message_id IN (SELECT value FROM carray(?3)) AND flags & ?4 = ?4
    RETURNING message_id, uid, blob_id, octets, flags
"""
_RELEASE = """
    UPDATE blob SET refs = refs - 1, freed = CASE WHEN refs = 1 THEN ?2 ELSE freed END
    WHERE blob_id IN (SELECT value FROM carray(?1))
"""
_SHRINK = """
    UPDATE account SET modseq = modseq + 1, messages = messages - ?2, octets = octets - ?3, log_rows = log_rows + ?4
    WHERE account_id = ?1 RETURNING modseq, log_rows
"""
_SHRINK_MAILBOX = """
    UPDATE mailbox SET modseq = ?3, messages = messages - ?4, unseen = unseen - ?5, deleted = deleted - ?6,
    octets = octets - ?7 WHERE account_id = ?1 AND mailbox_id = ?2
"""
_EXPUNGED = Insert("INSERT INTO expunged (account_id, modseq, mailbox_id, uid, message_id)", 5)
# The log is cut between two changes: of one change it knows all expunges or none.
_OLDEST = "SELECT modseq FROM expunged WHERE account_id = ?1 ORDER BY modseq LIMIT 1 OFFSET ?2"
_CUT_LOG = "DELETE FROM expunged WHERE account_id = ?1 AND modseq <= ?2"
_LOG_CUT = "UPDATE account SET log_rows = log_rows - ?2, log_start = ?3 WHERE account_id = ?1"
_FORGET_MESSAGES = """
    DELETE FROM message WHERE (account_id, mailbox_id, message_id) IN
    (SELECT account_id, mailbox_id, message_id FROM message WHERE account_id = ?1 AND mailbox_id BETWEEN ?2 AND ?3
    LIMIT ?4)
    RETURNING mailbox_id, blob_id, octets, flags
"""
_FORGET_EXPUNGED = """
    DELETE FROM expunged WHERE account_id = ?1 AND modseq IN
    (SELECT modseq FROM expunged WHERE account_id = ?1 ORDER BY modseq LIMIT ?2)
"""
_LOG_GONE = "UPDATE account SET log_rows = 0, log_start = modseq WHERE account_id = ?"
_DROP_BLOBS = "DELETE FROM blob WHERE blob_id IN (SELECT value FROM carray(?)) AND refs = 0 RETURNING pack"
_DROP_PACK = "DELETE FROM pack WHERE pack = ? AND live = 0 AND opened = ?"
_DROP_DELIVERIES = """
    DELETE FROM delivery WHERE (delivery, account_id, mailbox_id) IN
    (SELECT delivery, account_id, mailbox_id FROM delivery WHERE delivery < ?1 ORDER BY delivery LIMIT ?2)
"""


def expunge(connection: apsw.Connection, account: int, name: str, messages: Sequence[int], now: int) -> tuple[int, int]:
    """Remove messages from a mailbox by its name; how many were there, and the account's modseq after it."""
    for box in find(connection, account, name):
        uids, modseq = remove(connection, account, box, messages, now, marked=False)
        return len(uids), modseq
    return 0, 0


def remove(
    connection: apsw.Connection, account: int, box: int, messages: Sequence[int], now: int, *, marked: bool
) -> tuple[list[int], int]:
    """Remove messages, with `marked` those with Flag.DELETED; their uids, and the modseq if there were any, else 0."""
    if not messages:
        return [], 0
    wanted = int(Flag.DELETED) if marked else 0
    removed = fetch(connection, _EXPUNGE, (account, box, numbers(set(messages)), wanted))
    if not removed:
        return [], 0
    _release(connection, (blob for _, _, blob, _, _ in removed), now)
    sizes = [(box, octets, flags) for _, _, _, octets, flags in removed]
    modseq, log_rows = _count_down(connection, account, sizes, logged=True)
    _EXPUNGED.run(connection, [(account, modseq, box, uid, message) for message, uid, _, _, _ in removed])
    if log_rows >= LOG_ROWS + _LOG_SLACK:
        _cut_log(connection, account, log_rows - LOG_ROWS)
    return sorted(uid for _, uid, _, _, _ in removed), modseq


def remove_from(
    connection: apsw.Connection, account: int, box: int, messages: Sequence[int], now: int, marked: bool
) -> tuple[list[int], int]:
    """The same for a session, which learns when the mailbox is gone."""
    require(connection, account, box)
    return remove(connection, account, box, messages, now, marked=marked)


def forget(connection: apsw.Connection, account: int, now: int) -> tuple[bool, int]:
    """Remove some of what the account has; whether anything may be left, and its modseq when something changed.

    Its row stays, so that no message id, modseq or uidvalidity is given a second time.
    """
    modseq = purge(connection, account, 0, _ANY, now)
    if modseq:
        return True, modseq
    connection.execute(_FORGET_EXPUNGED, (account, FORGET_MESSAGES))
    if connection.changes():
        return True, 0
    connection.execute(_LOG_GONE, (account,))
    for table in ("keyword_set", "keyword", "subscription", "mailbox"):
        connection.execute(f"DELETE FROM {table} WHERE account_id = ?", (account,))
    if connection.changes():
        modseq = bump(connection, account)
    connection.execute("UPDATE account SET furnished = 0 WHERE account_id = ?", (account,))
    return False, modseq


def purge(connection: apsw.Connection, account: int, first: int, last: int, now: int) -> int:
    """Remove some messages of mailboxes nobody will see again; the account's modseq, or 0 when there were none."""
    removed = fetch(connection, _FORGET_MESSAGES, (account, first, last, FORGET_MESSAGES))
    if not removed:
        return 0
    _release(connection, (blob for _, blob, _, _ in removed), now)
    sizes = [(box, octets, flags) for box, _, octets, flags in removed]
    return _count_down(connection, account, sizes, logged=False)[0]


def drop_blobs(connection: apsw.Connection, blobs: Sequence[int]) -> int:
    """Drop rows of blobs nobody refers to; how many were still there."""
    packs = Counter(pack for (pack,) in fetch(connection, _DROP_BLOBS, (numbers(blobs),)))
    for pack, dropped in packs.items():
        connection.execute("UPDATE pack SET live = live - ?2 WHERE pack = ?1", (pack, dropped))
    return packs.total()


def drop_packs(connection: apsw.Connection, packs: Sequence[tuple[int, int]]) -> None:
    """Drop rows of packs that hold nothing and that nobody has opened since: (number, how often it was opened)."""
    for row in packs:
        connection.execute(_DROP_PACK, row)


def drop_deliveries(connection: apsw.Connection, before: bytes) -> bool:
    """Drop some deliveries with ids before that; whether there may be more."""
    connection.execute(_DROP_DELIVERIES, (before, DROP_DELIVERIES))
    return connection.changes() == DROP_DELIVERIES


def _cut_log(connection: apsw.Connection, account: int, rows: int) -> None:
    """Forget the oldest expunges of an account, about so many."""
    ((last,),) = fetch(connection, _OLDEST, (account, rows - 1))
    connection.execute(_CUT_LOG, (account, last))
    connection.execute(_LOG_CUT, (account, connection.changes(), last))


def _count_down(
    connection: apsw.Connection, account: int, removed: Sequence[tuple[int, int, int]], *, logged: bool
) -> tuple[int, int]:
    """Take (mailbox, octets, flags) of messages off the counters; the account's modseq, and the length of its log."""
    octets = sum(octets for _, octets, _ in removed)
    modseq, log_rows = fetch(connection, _SHRINK, (account, len(removed), octets, len(removed) if logged else 0))[0]
    boxes: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for box, size, flags in removed:
        boxes[box].append((size, flags))
    for box, those in boxes.items():
        unseen = sum(not flags & _SEEN for _, flags in those)
        deleted = sum(bool(flags & _DELETED) for _, flags in those)
        octets = sum(size for size, _ in those)
        connection.execute(_SHRINK_MAILBOX, (account, box, modseq, len(those), unseen, deleted, octets))
    keywords.count(connection, account, (flags for _, _, flags in removed), -1)
    return modseq, log_rows


def _release(connection: apsw.Connection, blobs: Iterable[int], now: int) -> None:
    """One reference less for each, as often as it is named."""
    counts = Counter(blobs)
    while counts:
        connection.execute(_RELEASE, (numbers(sorted(counts)), now))
        counts = Counter({blob: count - 1 for blob, count in counts.items() if count > 1})
